"""What runs in the background for add-ons: steps at their time, and promises that were not kept."""

from datetime import timedelta

from portal.addons import (
    buying_jobs,  # noqa: F401 - what is bought, kept and ended
    certificates,
    domain_jobs,  # noqa: F401 - domains and mailboxes
    runner,
)
from portal.addons import provisioning_tending as tending
from portal.addons.providers import (  # noqa: F401 - each registers its recipe
    certificate,
    mailboxes,
    manual,
    own_domain,
    registrar,
    storage,
)
from portal.kit import clock, outbox
from portal.kit.tasks import periodic, task


@task("addons.step", kind="flow")
def step(step_id: int) -> None:
    """One attempt of a step."""
    runner.run(step_id)


@periodic("addons.tend", every=timedelta(minutes=10))
@task("addons.tend")
def tend() -> None:
    """Write one job per step whose own job was lost, whose worker died, or whose time came by moving the clock."""
    now = clock.business()
    for vendor_id, step_id in list(tending.due_steps(now)):
        # Named by the moment: a job that came too early for its step must not be the last one.
        key = f"addons.step:{step_id}:{now:%Y-%m-%dT%H:%M:%S}"
        outbox.enqueue("addons.step", dedupe_key=key, vendor_id=vendor_id, step_id=step_id)


@periodic("addons.tend_promises", every=timedelta(hours=1))
@task("addons.tend_promises")
def tend_promises() -> None:
    """Write one job per add-on that should be ready by now."""
    for vendor_id, run_id in list(tending.late_runs(clock.business())):
        outbox.enqueue("addons.tell_late", dedupe_key=f"addons.tell_late:{run_id}", vendor_id=vendor_id, run_id=run_id)


@task("addons.tell_late")
def tell_late(run_id: int) -> None:
    """Tell of one promise that was not kept."""
    tending.tell_late(run_id, now=clock.business())


@periodic("addons.tend_certificates", every=timedelta(days=1))
@task("addons.tend_certificates")
def tend_certificates() -> None:
    """Write one job per certificate that runs out within 30 days."""
    for vendor_id, addon_id, certificate_id in list(certificates.expiring(clock.business())):
        outbox.enqueue(
            "addons.renew_certificate",
            dedupe_key=f"addons.renew_certificate:{certificate_id}",
            vendor_id=vendor_id,
            addon_id=addon_id,
            certificate_id=certificate_id,
        )


@task("addons.renew_certificate")
def renew_certificate(addon_id: int, certificate_id: int) -> None:
    """Begin to renew one certificate."""
    certificates.renew(addon_id, certificate_id, now=clock.business())
