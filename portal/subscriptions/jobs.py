"""Jobs of subscriptions: trials are tended every hour, unfinished changes are carried on."""

from datetime import timedelta

from portal.gateways.stripe import CardRefused, StripeMismatch
from portal.kit import clock, outbox
from portal.kit.tasks import periodic, task
from portal.subscriptions import change_flows, flows, service


@periodic("subscriptions.tend_trials", every=timedelta(hours=1))
@task("subscriptions.tend_trials")
def tend_trials() -> None:
    """Write one job per trial that ends or wants a reminder; one vendor's trouble stays its own."""
    for due in list(service.due_trials(clock.business())):
        outbox.enqueue(
            "subscriptions.tend_trial",
            dedupe_key=f"tend-trial:{due.cause}",
            vendor_id=due.vendor_id,
            vendor=due.vendor_id,
        )


@task("subscriptions.tend_trial")
def tend_trial(vendor: int) -> None:
    """End or remind of one trial."""
    service.tend_trial(vendor, now=clock.business())


@task("subscriptions.carry_on_change", kind="flow")
def carry_on_change(change_id: int) -> None:
    """Finish a tier change whose request died between us and Stripe; a refusal is written down and is the end."""
    try:
        change_flows.carry_on(change_id)
    except (CardRefused, StripeMismatch):
        return


@task("subscriptions.end_trial_now", kind="flow")
def end_trial_now(vendor: int) -> None:
    """The card had a trial before: the rest of this one ends."""
    flows.end_trial_now(vendor)
