"""POST /v1/subscriptions/{id}: changes with their prorations and payment behaviours, and cancelling at a date."""

from dataclasses import asdict

from portal.sandbox import customers, events, invoices, phases, plan, schedules, standing, taxes, timers
from portal.sandbox.calls import Call
from portal.sandbox.errors import StripeError, invalid, unsupported
from portal.sandbox.subscriptions import cancel_at_end, set_cancellation_details
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

CHANGES = ("items", "billing_cycle_anchor", "trial_end")
WITH_PENDING = {*CHANGES, "proration_behavior", "proration_date", "payment_behavior", "off_session", "expand"}
PENDING_FOR = 23 * 3_600


def update(tx: Tx, params: Params, ident: str) -> Doc:
    """Change a live subscription; what its invoice could not collect is settled by payment_behavior."""
    subscription = tx.get("subscription", ident)
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    _refuse(subscription, params)
    _plain_fields(tx, subscription, params)
    if "cancel_at_period_end" in params or "cancel_at" in params:
        _cancellation(tx, subscription, params)
    if _is_change(params):
        change(tx, subscription, params)
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)
    return subscription


def _is_change(params: Params) -> bool:
    anchor = params.get("billing_cycle_anchor", {}).get("type", "unchanged")
    return bool(params.get("items")) or "trial_end" in params or anchor != "unchanged"


def _refuse(subscription: Doc, params: Params) -> None:
    if subscription["schedule"] and ("cancel_at_period_end" in params or "cancel_at" in params):
        raise invalid(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead."
        )
    if subscription["schedule"] and "trial_end" in params:
        raise unsupported("moving a trial's end under a schedule (release the schedule first)", param="trial_end")
    refuse_beside_pending(params)


def refuse_beside_pending(params: Params) -> None:
    """Only what can wait for a payment goes with pending_if_incomplete."""
    odd = sorted(set(params) - WITH_PENDING)
    if params.get("payment_behavior") == "pending_if_incomplete" and odd:
        raise invalid(f"You cannot use {odd[0]} with payment_behavior=pending_if_incomplete.", param=odd[0])


def _plain_fields(tx: Tx, subscription: Doc, params: Params) -> None:
    subscription["metadata"] = metadata_of(params.get("metadata"), subscription["metadata"])
    set_cancellation_details(subscription, params.get("cancellation_details", {}))
    if "default_payment_method" in params:
        customer = tx.get("customer", subscription["customer"])
        method = params["default_payment_method"]
        subscription["default_payment_method"] = (
            method and customers.owned(tx, method, customer, "default_payment_method")["id"]
        )
    if "description" in params:
        subscription["description"] = params["description"] or None
    subscription.update(taxes.settings(tx, params, tx.get("customer", subscription["customer"])))
    if "trial_settings" in params:
        subscription["trial_settings"] = params["trial_settings"]


def _cancellation(tx: Tx, subscription: Doc, params: Params) -> None:
    if "cancel_at" in params and "cancel_at_period_end" in params:
        raise invalid(
            "You may only specify one of these parameters: cancel_at, cancel_at_period_end.", param="cancel_at"
        )
    at = params.get("cancel_at")
    if params.get("cancel_at_period_end"):
        cancel_at_end(tx, subscription)
    elif at:
        _cancel_at(tx, subscription, at, params.get("proration_behavior", "create_prorations"))
    elif at == "" or subscription["cancel_at_period_end"]:
        subscription.update(cancel_at=None, cancel_at_period_end=False, canceled_at=None)
        subscription["cancellation_details"]["reason"] = None


def _cancel_at(tx: Tx, subscription: Doc, at: int | str, behaviour: str) -> None:
    """End at a moment, which is frozen; what was paid for the time after it is credited then, unless told otherwise."""
    ends = [item["current_period_end"] for item in subscription["items"]["data"]]
    named = {"min_period_end": min(ends), "max_period_end": max(ends)}
    moment = named[at] if isinstance(at, str) and at in named else at
    if not isinstance(moment, int):
        raise unsupported(f"cancel_at={at}", param="cancel_at")
    if moment <= tx.now:
        raise invalid("cancel_at must be a timestamp in the future.", param="cancel_at")
    subscription.update(cancel_at=moment, cancel_at_period_end=False, canceled_at=tx.now)
    subscription["cancellation_details"]["reason"] = "cancellation_requested"
    subscription["_private"]["cancel_prorated"] = behaviour != "none"


def change(tx: Tx, subscription: Doc, params: Params) -> None:
    """Items, anchor or trial: worked out, invoiced and, once that may be, applied."""
    wanted = {name: params[name] for name in (*CHANGES, "proration_behavior", "proration_date") if name in params}
    standing.drop_pending_update(tx, subscription)
    planned = plan.change(tx, subscription, wanted)
    before = subscription["items"]["data"]
    apply_plan(tx, subscription, planned, params.get("payment_behavior", "allow_incomplete"))
    schedule = phases.schedule_of(tx, subscription)
    if schedule and subscription["items"]["data"] is not before:
        schedules.split_running_phase(tx, schedule, subscription)
    if subscription["cancel_at_period_end"]:
        subscription["cancel_at"] = timers.period(subscription)[1]


def apply_plan(tx: Tx, subscription: Doc, planned: plan.Plan, behaviour: str) -> None:
    """Carry out a planned change; with an invoice at once, `behaviour` says what an unpaid one means."""
    if not planned.invoice_now:
        plan.apply(subscription, planned)
        return
    waits = behaviour == "pending_if_incomplete"
    invoice = _invoice(tx, subscription, planned, applied=not waits)
    if invoice["status"] == "paid":
        if waits:
            plan.apply(subscription, planned)
        standing.paid(tx, invoice, subscription)
        return
    if waits:
        _wait_for_payment(tx, subscription, planned, invoice)
    if behaviour == "default_incomplete":
        subscription["status"] = "past_due"
        return
    outcome = standing.pay(tx, invoice)
    if outcome.kind != "paid" and behaviour == "error_if_incomplete":
        raise _incomplete(outcome.error(None, keep=False))


def _incomplete(error: StripeError) -> StripeError:
    if error.error["code"] == "invoice_payment_intent_requires_action":
        error.error["code"] = "subscription_payment_intent_requires_action"
    return error


def _invoice(tx: Tx, subscription: Doc, planned: plan.Plan, *, applied: bool) -> Doc:
    customer = tx.get("customer", subscription["customer"])
    fields = invoices.compose(
        tx, customer, subscription, planned.lines, "subscription_update", (tx.now, tx.now), planned.proration_date
    )
    if applied:
        plan.apply(subscription, planned)
    invoice = invoices.draft(tx, subscription, fields)
    invoices.finalize(tx, invoice)
    return invoice


def _wait_for_payment(tx: Tx, subscription: Doc, planned: plan.Plan, invoice: Doc) -> None:
    subscription["_private"]["pending"] = {"invoice": invoice["id"], "plan": asdict(planned)}
    subscription["pending_update"] = {
        "billing_cycle_anchor": planned.anchor if planned.anchor != subscription["billing_cycle_anchor"] else None,
        "discount": None,
        "discounts": None,
        "expires_at": _lapses_at(tx, subscription),
        "metadata": None,
        "subscription_items": planned.items,
        "trial_end": planned.trial_end if planned.trial_end != subscription["trial_end"] else None,
        "trial_from_plan": None,
    }


def _lapses_at(tx: Tx, subscription: Doc) -> int:
    """The earliest of 23 hours, the end of period or trial, and a schedule's next phase."""
    schedule = phases.schedule_of(tx, subscription)
    turns = [schedule["current_phase"]["end_date"]] if schedule and schedule["current_phase"] else []
    return int(min([tx.now + PENDING_FOR, timers.period(subscription)[1], *turns]))


UPDATE = (
    "billing_cycle_anchor.type cancel_at "
    "cancel_at_period_end cancellation_details.comment cancellation_details.feedback "
    "default_payment_method description items.id items.price "
    "items.quantity items.deleted items.metadata metadata off_session "
    "payment_behavior proration_behavior proration_date trial_end trial_settings.end_behavior.missing_payment_method "
    "automatic_tax.enabled default_tax_rates"
)
CALLS = [Call("POST", "/v1/subscriptions/{}", "SubscriptionUpdateParams", update, UPDATE)]
