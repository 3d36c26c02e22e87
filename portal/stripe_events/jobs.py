"""Jobs of the inbox."""

from datetime import timedelta

from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit import clock, outbox
from portal.kit.tasks import periodic, task
from portal.stripe_events import flows, reconcile, replay


@task("stripe_events.handle", kind="flow")
def handle(event: str) -> None:
    """Act on a stored event."""
    flows.handle(event)


@task("stripe_events.replay_failed")
def replay_failed(after: int, up_to: int, cause: str) -> None:
    """Handle the next events anew that had failed when somebody asked for all of them."""
    replay.some_failed(after, up_to, cause)


@periodic("stripe_events.reconcile", every=timedelta(days=1))
@task("stripe_events.reconcile")
def reconcile_all() -> None:
    """Once a day, one job per vendor that Stripe knows."""
    if not stripe.is_configured():
        return
    day = clock.business().date().isoformat()
    for vendor_id in identity.vendors_with_customer():
        outbox.enqueue(
            "stripe_events.reconcile_vendor",
            dedupe_key=f"reconcile:{vendor_id}:{day}",
            vendor_id=vendor_id,
            vendor=vendor_id,
        )


@task("stripe_events.reconcile_vendor", kind="flow")
def reconcile_vendor(vendor: int) -> None:
    """Bring one vendor in step with Stripe."""
    reconcile.repair(vendor)
