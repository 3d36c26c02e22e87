"""What happens by itself: renewals, trial ends, finalisation, retries, notices, phases; each at its own time."""

from collections.abc import Callable

from portal.sandbox import events, invoices, payments, phases, plan, refunds, schedules, standing, subscriptions, timers
from portal.sandbox.render import present
from portal.sandbox.subscription_update import apply_plan
from portal.sandbox.tx import Doc, Tx


def renew(tx: Tx, subscription: Doc) -> None:
    """The period is over: end, or bill the next one (a draft that finalises in an hour)."""
    if subscription["cancel_at"] and subscription["cancel_at"] <= tx.now:
        cancel(tx, subscription)
        return
    if subscription["status"] == "trialing" and _without_method(tx, subscription):
        return
    if schedules.over(tx, subscription):
        return
    phase = phases.starting_at(tx, subscription, tx.now)
    customer = tx.get("customer", subscription["customer"])
    planned = plan.renewal(tx, subscription)
    fields = invoices.compose(
        tx, customer, subscription, planned.lines, "subscription_cycle", timers.period(subscription), taxed_as=phase
    )
    plan.apply(subscription, planned)
    if phase:
        schedules.enter(tx, subscription, phase)
    if subscription["status"] == "unpaid":
        invoices.draft(tx, subscription, {**fields, "auto_advance": False})  # kept for when somebody pays
    else:
        invoices.draft(tx, subscription, fields, finalizes_at=tx.now + invoices.HOUR)
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)


def _without_method(tx: Tx, subscription: Doc) -> bool:
    """A trial that ends without a card: cancelled or paused if its settings say so."""
    customer = tx.get("customer", subscription["customer"])
    wish = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if wish == "create_invoice" or payments.method_for(tx, subscription, customer):
        return False
    if wish == "cancel":
        standing.end(tx, subscription, "payment_failed")
        return True
    subscription["status"] = "paused"
    cause = {"type": "trial_end_without_payment_method"}
    subscription["status_details"] = {
        "paused": {"type": "subscription", "subscription": cause, "transitioned_at": tx.now}
    }
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.paused", subscription)
    return True


def cancel(tx: Tx, subscription: Doc) -> None:
    """The announced end has come; what still waits for an invoice is invoiced."""
    subscriptions.final_invoice(tx, subscription, bool(subscription["_private"].get("cancel_prorated")))
    standing.end(tx, subscription, "cancellation_requested")


def trial_will_end(tx: Tx, subscription: Doc) -> None:
    """Three days before a trial ends (at once for a shorter one)."""
    subscription["_private"]["told"]["trial_will_end"] = timers.period(subscription)[1]
    events.emit(tx, "customer.subscription.trial_will_end", subscription)


def upcoming(tx: Tx, subscription: Doc) -> None:
    """A week before a renewal: the invoice as it would be, without an id."""
    subscription["_private"]["told"]["upcoming"] = timers.period(subscription)[1]
    customer = tx.get("customer", subscription["customer"])
    start, end = timers.period(subscription)
    phase, found = phases.starting_at(tx, subscription, end), plan.renewal(tx, subscription).lines
    fields = invoices.compose(tx, customer, subscription, found, "upcoming", (start, end), taxed_as=phase)
    notice = {**fields, "object": "invoice", "created": tx.now, "livemode": False}
    events.record(tx, "invoice.upcoming", {"object": present(tx, notice)})


def lapse(tx: Tx, subscription: Doc) -> None:
    """A pending update that was never paid is forgotten."""
    standing.drop_pending_update(tx, subscription)
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)
    events.emit(tx, "customer.subscription.pending_update_expired", subscription)


def incomplete_expiry(tx: Tx, subscription: Doc) -> None:
    """A first invoice that stayed unpaid for 23 hours: voided, the subscription never came to be."""
    invoice = tx.get("invoice", subscription["latest_invoice"])
    if invoice["status"] == "open":
        invoices.void(tx, invoice)
    subscription.update(status="incomplete_expired", ended_at=tx.now)
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)


def finalize(tx: Tx, invoice: Doc) -> None:
    """The hour of a draft is over: finalise it and try to collect."""
    if invoice["status"] != "draft":
        return
    invoices.finalize(tx, invoice)
    if invoice["status"] == "open":
        standing.pay(tx, invoice)
    else:
        standing.paid(tx, invoice, standing.subscription_of(tx, invoice))


def retry(tx: Tx, invoice: Doc) -> None:
    """Try a refused card again."""
    if invoice["status"] == "open" and invoice["auto_advance"]:
        standing.pay(tx, invoice)


def phase(tx: Tx, schedule: Doc) -> None:
    """A phase ends within a period (one that ends with the period is taken over by the renewal)."""
    subscription = tx.get("subscription", schedule["subscription"])
    if timers.period(subscription)[1] <= tx.now or schedules.over(tx, subscription):
        return
    following = phases.starting_at(tx, subscription, tx.now)
    if following:
        items = plan.items_of_phase(tx, subscription, following)
        planned = plan.change(tx, subscription, {"proration_behavior": following["proration_behavior"]}, items)
        schedules.enter(tx, subscription, following)
        apply_plan(tx, subscription, planned, "allow_incomplete")
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)


HANDLERS: dict[str, Callable[[Tx, Doc], None]] = {
    "renew": renew,
    "cancel": cancel,
    "trial_will_end": trial_will_end,
    "upcoming": upcoming,
    "lapse": lapse,
    "incomplete_expiry": incomplete_expiry,
    "finalize": finalize,
    "retry": retry,
    "phase": phase,
    "settle_refund": refunds.settle,
}
