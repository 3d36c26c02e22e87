"""Jobs of subscriptions: trials, unpaid and ending ones are tended every hour, what was begun is carried on."""

from datetime import timedelta

from portal.entitlements.overrides import lapsed as lapsed_overrides
from portal.gateways.stripe import CardRefused, StripeMismatch
from portal.kit import clock, outbox
from portal.kit.tasks import periodic, task
from portal.subscriptions import (
    agreed_flows,
    change_flows,
    coming_flows,
    dunning,
    ending_flows,
    endings,
    flows,
    news,
    overrides,
    queries,
    service,
    transfer_changes,
    transfer_renewals,
)


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


@task("subscriptions.publish")
def publish(subscription_id: int, version: int, change: str) -> None:
    """Tell programs how a subscription stands after a change."""
    news.publish(subscription_id, version, change)


@task("subscriptions.carry_on_change", kind="flow")
def carry_on_change(change_id: int) -> None:
    """Finish a tier change whose request died between us and Stripe; a refusal is written down and is the end."""
    try:
        change_flows.carry_on(change_id, unseen=True)
    except (CardRefused, StripeMismatch):
        return


@task("subscriptions.end_trial_now", kind="flow")
def end_trial_now(vendor: int) -> None:
    """The card had a trial before: the rest of this one ends."""
    flows.end_trial_now(vendor)


@periodic("subscriptions.recheck_changes", every=timedelta(hours=1))
@task("subscriptions.recheck_changes")
def recheck_changes() -> None:
    """On the day before a planned change: write one job per change whose target is not sold any more (SUB-5)."""
    for change_id, vendor_id in queries.unsold_changes(clock.business() + timedelta(days=1)):
        outbox.enqueue(
            "subscriptions.drop_unsold", dedupe_key=f"drop-unsold:{change_id}", vendor_id=vendor_id, change_id=change_id
        )


@task("subscriptions.drop_unsold", kind="flow")
def drop_unsold(change_id: int) -> None:
    """Take back a planned change to a tier that was retired, and tell vendor and operator."""
    change_flows.drop_unsold(change_id)


@periodic("subscriptions.tend_past_due", every=timedelta(hours=1))
@task("subscriptions.tend_past_due")
def tend_past_due() -> None:
    """Write one job per vendor that owes and wants a mail, or whose grace is over (SUB-8)."""
    for due in list(dunning.due(clock.business())):
        outbox.enqueue(
            "subscriptions.tend_one_past_due",
            dedupe_key=f"tend-past-due:{due.cause}",
            vendor_id=due.vendor_id,
            vendor=due.vendor_id,
        )


@task("subscriptions.tend_one_past_due")
def tend_one_past_due(vendor: int) -> None:
    """Remind or suspend one vendor."""
    dunning.tend_vendor(vendor, now=clock.business())


@periodic("subscriptions.end_due", every=timedelta(hours=1))
@task("subscriptions.end_due")
def end_due() -> None:
    """Write one job per subscription without Stripe whose announced end has come (SUB-7)."""
    for vendor_id, cause in list(endings.due(clock.business())):
        outbox.enqueue(
            "subscriptions.end_one_due", dedupe_key=f"end-due:{cause}", vendor_id=vendor_id, vendor=vendor_id
        )


@task("subscriptions.end_one_due")
def end_one_due(vendor: int) -> None:
    """End one subscription."""
    endings.end_due(vendor, now=clock.business())


@task("subscriptions.carry_on_cancel", kind="flow")
def carry_on_cancel(vendor: int, asked_at: str, at_once: int, notify: int, by: str) -> None:
    """Finish a cancellation whose request died between us and Stripe; a refusal is written down and is the end."""
    try:
        ending_flows.carry_on_cancel(vendor, asked_at, at_once=bool(at_once), notify=bool(notify), by=by)
    except StripeMismatch:
        return


@task("subscriptions.carry_on_resume", kind="flow")
def carry_on_resume(vendor: int, cause: str, by: str) -> None:
    """Finish taking back a cancellation."""
    try:
        ending_flows.carry_on_resume(vendor, cause, by=by)
    except StripeMismatch:
        return


@periodic("subscriptions.tend_transfers", every=timedelta(hours=1))
@task("subscriptions.tend_transfers")
def tend_transfers() -> None:
    """Write one job per subscription paid by transfer, transfer or change that wants something (SUB-10)."""
    now = clock.business()
    for due in list(transfer_renewals.due_renewals(now)):
        outbox.enqueue(
            "subscriptions.tend_renewal",
            dedupe_key=f"tend-renewal:{due.cause}",
            vendor_id=due.vendor_id,
            vendor=due.vendor_id,
        )
    for due in list(transfer_renewals.due_reminders(now)):
        outbox.enqueue(
            "subscriptions.remind_transfer",
            dedupe_key=f"remind-transfer:{due.cause}",
            vendor_id=due.vendor_id,
            transfer_id=due.id,
        )
    for due in list(transfer_changes.due_changes(now)):
        outbox.enqueue(
            "subscriptions.lapse_change",
            dedupe_key=f"lapse-change:{due.cause}",
            vendor_id=due.vendor_id,
            vendor=due.vendor_id,
            change_id=due.id,
        )


@task("subscriptions.tend_renewal")
def tend_renewal(vendor: int) -> None:
    """Invoice, begin or miss the next period of one subscription."""
    transfer_renewals.tend(vendor, now=clock.business())


@task("subscriptions.remind_transfer")
def remind_transfer(transfer_id: int) -> None:
    """Remind of one transfer."""
    transfer_renewals.remind(transfer_id, now=clock.business())


@task("subscriptions.lapse_change")
def lapse_change(vendor: int, change_id: int) -> None:
    """A change was not paid in time."""
    transfer_changes.lapse(change_id, vendor, now=clock.business())


@task("subscriptions.keep_coming", kind="flow")
def keep_coming(vendor: int) -> None:
    """Let Stripe's schedule say what is planned, also for add-ons that came or went since it was written."""
    coming_flows.keep(vendor)


@periodic("subscriptions.lapse_overrides", every=timedelta(minutes=10))
@task("subscriptions.lapse_overrides")
def lapse_overrides() -> None:
    """Write one job per limit that was set for a vendor until a day that is over now (LIM-7)."""
    for override_id, vendor_id in list(lapsed_overrides(clock.business())):
        outbox.enqueue(
            "subscriptions.lapse_override",
            dedupe_key=f"lapse-override:{override_id}",
            vendor_id=vendor_id,
            vendor=vendor_id,
            override_id=override_id,
        )


@task("subscriptions.lapse_override")
def lapse_override(vendor: int, override_id: int) -> None:
    """Close one; its grant has ended by itself."""
    overrides.lapse(vendor, override_id, now=clock.business())


@task("subscriptions.push_agreed", kind="flow")
def push_agreed(price_id: int) -> None:
    """Let Stripe know an agreed price that it did not take at once."""
    agreed_flows.push(price_id)
