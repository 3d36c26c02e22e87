"""How a subscription stands after a payment was tried, and how it ends."""

from portal.sandbox import dunning, events, invoices, payments, plan, timers
from portal.sandbox.periods import DAY
from portal.sandbox.tx import Doc, Tx


def subscription_of(tx: Tx, invoice: Doc) -> Doc:
    """The subscription an invoice belongs to."""
    return tx.get("subscription", invoice["parent"]["subscription_details"]["subscription"])


def pay(
    tx: Tx, invoice: Doc, method: Doc | None = None, *, present: bool = False, authenticated: bool = False
) -> payments.Outcome:
    """Try to collect an open invoice (by default from the subscription's card) and let the subscription feel it."""
    subscription = subscription_of(tx, invoice)
    customer = tx.get("customer", invoice["customer"])
    card = method or payments.method_for(tx, subscription, customer)
    outcome = payments.collect(tx, invoice, card, present=present, authenticated=authenticated)
    if outcome.kind == "paid":
        paid(tx, invoice, subscription)
    else:
        failed(tx, invoice, subscription)
    return outcome


def paid(tx: Tx, invoice: Doc, subscription: Doc) -> None:
    """Apply what waited for this payment; the latest invoice paid means active again."""
    pending = subscription["_private"]["pending"]
    applied = bool(pending and pending["invoice"] == invoice["id"])
    if applied:
        plan.apply(subscription, plan.Plan(**pending["plan"]))
        subscription["pending_update"], subscription["_private"]["pending"] = None, None
    if subscription["latest_invoice"] == invoice["id"] and subscription["status"] in (
        "past_due",
        "unpaid",
        "incomplete",
    ):
        subscription["status"] = "active"
        _delinquent(tx, subscription, False)
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)
    if applied:
        events.emit(tx, "customer.subscription.pending_update_applied", subscription)


def failed(tx: Tx, invoice: Doc, subscription: Doc) -> None:
    """past_due, and when it is tried again; a pending update and a first invoice wait for the customer instead."""
    pending = subscription["_private"]["pending"]
    if (pending and pending["invoice"] == invoice["id"]) or subscription["status"] in ("incomplete", "canceled"):
        return
    _retry(tx, invoice)
    if subscription["status"] in ("active", "trialing"):
        subscription["status"] = "past_due"
        _delinquent(tx, subscription, True)
        timers.appoint(tx, subscription)
        events.emit(tx, "customer.subscription.updated", subscription)
    if subscription["status"] == "past_due" and invoice["auto_advance"] and not invoice["next_payment_attempt"]:
        _after_retries(tx, subscription)


def _after_retries(tx: Tx, subscription: Doc) -> None:
    """The last attempt failed: what the account's settings say."""
    wish = dunning.end_of(tx)
    if wish == "cancel":
        end(tx, subscription, "payment_failed")
    elif wish == "unpaid":
        subscription["status"] = "unpaid"
        timers.appoint(tx, subscription)
        events.emit(tx, "customer.subscription.updated", subscription)


def voided(tx: Tx, invoice: Doc) -> None:
    """Nothing is owed for it any more (void or uncollectible): a pending update is dropped; the latest one gone means
    good standing.
    """
    if invoice["parent"] is None:
        return
    subscription = subscription_of(tx, invoice)
    pending = subscription["_private"]["pending"]
    if pending and pending["invoice"] == invoice["id"]:
        drop_pending_update(tx, subscription)
    elif subscription["latest_invoice"] == invoice["id"]:
        after = {"past_due": "active", "unpaid": "active", "incomplete": "incomplete_expired"}
        subscription["status"] = after.get(subscription["status"], subscription["status"])
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)


def _retry(tx: Tx, invoice: Doc) -> None:
    first = invoice["_private"]["first_failed_at"] or tx.now
    invoice["_private"]["first_failed_at"] = first
    later = [first + days * DAY for days in dunning.RETRY_DAYS if first + days * DAY > tx.now]
    invoice["next_payment_attempt"] = later[0] if later and invoice["auto_advance"] else None
    tx.unschedule("retry", invoice["id"])
    if invoice["next_payment_attempt"]:
        tx.schedule(later[0], "retry", invoice["id"])
    events.emit(tx, "invoice.updated", invoice)


def _delinquent(tx: Tx, subscription: Doc, owes: bool) -> None:
    customer = tx.get("customer", subscription["customer"])
    customer["delinquent"] = owes
    events.emit(tx, "customer.updated", customer)


def end(tx: Tx, subscription: Doc, reason: str) -> None:
    """Cancel for good: nothing is collected by itself any more, nothing is refunded."""
    drop_pending_update(tx, subscription)
    subscription.update(status="canceled", ended_at=tx.now, canceled_at=subscription["canceled_at"] or tx.now)
    subscription["cancellation_details"]["reason"] = subscription["cancellation_details"]["reason"] or reason
    for invoice in list(tx.scan("invoice", parent=subscription["id"])):
        if invoice["status"] in ("draft", "open"):
            invoice.update(auto_advance=False, next_payment_attempt=None, automatically_finalizes_at=None)
            tx.unschedule("retry", invoice["id"])
            tx.unschedule("finalize", invoice["id"])
            events.emit(tx, "invoice.updated", invoice)
    timers.appoint(tx, subscription)
    close_schedule(tx, subscription, "canceled")
    events.emit(tx, "customer.subscription.deleted", subscription)


def close_schedule(tx: Tx, subscription: Doc, status: str) -> None:
    """Part the subscription from its schedule, which becomes released, canceled or completed."""
    if not subscription["schedule"]:
        return
    schedule = tx.get("subscription_schedule", subscription["schedule"])
    schedule.update(status=status, current_phase=None)
    schedule[f"{status}_at"] = tx.now
    if status == "released":
        schedule.update(released_subscription=subscription["id"], subscription=None)
    subscription["schedule"] = None
    tx.unschedule("phase", schedule["id"])
    events.emit(tx, f"subscription_schedule.{status}", schedule)


def drop_pending_update(tx: Tx, subscription: Doc) -> None:
    """Forget a change that was never paid: its invoice is voided."""
    pending = subscription["_private"]["pending"]
    if not pending:
        return
    subscription["pending_update"], subscription["_private"]["pending"] = None, None
    invoice = tx.get("invoice", pending["invoice"])
    if invoice["status"] == "open":
        invoices.void(tx, invoice)
