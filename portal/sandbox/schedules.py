"""Subscription schedules: made from a subscription, phases changed on their date, released or cancelled."""

from portal.sandbox import catalog, events, paging, phases, standing, taxes, timers
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid, unsupported
from portal.sandbox.periods import add, boundary_after
from portal.sandbox.subscriptions import final_invoice
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

TAXES = ("automatic_tax", "default_tax_rates")
LONGEST = {"day": 1_825, "week": 260, "month": 60, "year": 5}


def create(tx: Tx, params: Params) -> Doc:
    """A schedule from a subscription, with one phase that is its running period; nothing else may be said here."""
    if "from_subscription" not in params:
        raise unsupported("schedules without from_subscription", param="from_subscription")
    for name in sorted(set(params) - {"from_subscription", "expand"}):
        raise invalid(f"You cannot set `{name}` if `from_subscription` is set.", param=name)
    subscription = tx.get("subscription", params["from_subscription"], param="from_subscription", status=400)
    if subscription["schedule"]:
        raise invalid(
            f"You cannot migrate a subscription that is already attached to a schedule: `{subscription['schedule']}`.",
            param="from_subscription",
        )
    if subscription["status"] not in timers.LIVE:
        raise invalid("You cannot migrate a subscription that is not active.", param="from_subscription")
    schedule = _insert(tx, subscription)
    subscription["schedule"] = schedule["id"]
    _appoint(tx, schedule)
    events.emit(tx, "subscription_schedule.created", schedule)
    events.emit(tx, "customer.subscription.updated", subscription)
    return schedule


def _insert(tx: Tx, subscription: Doc) -> Doc:
    start, end = timers.period(subscription)
    empty = (
        "application",
        "canceled_at",
        "completed_at",
        "customer_account",
        "released_at",
        "released_subscription",
        "test_clock",
    )
    return tx.insert(
        "subscription_schedule",
        {
            **dict.fromkeys(empty),
            "billing_mode": subscription["billing_mode"],
            "current_phase": {"start_date": start, "end_date": end},
            "customer": subscription["customer"],
            "default_settings": {
                "application_fee_percent": None,
                "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
                "billing_cycle_anchor": "automatic",
                "billing_thresholds": None,
                "collection_method": "charge_automatically",
                "default_payment_method": None,
                "description": None,
                "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
                "on_behalf_of": None,
                "transfer_data": None,
            },
            "end_behavior": "cancel" if subscription["cancel_at"] else "release",
            "metadata": {},
            "pause_schedules": [],
            "phases": [running_phase(subscription, start, end)],
            "status": "active",
            "subscription": subscription["id"],
        },
    )


def running_phase(subscription: Doc, start: int, end: int) -> Doc:
    """A phase that says what the subscription is now."""
    items = [_phase_item(item["price"], item["quantity"], item["metadata"]) for item in subscription["items"]["data"]]
    trial = subscription["trial_end"] if subscription["status"] == "trialing" else None
    made = _phase(subscription, items, start, end, trial, subscription["metadata"], "create_prorations")
    return {**made, **{name: subscription[name] for name in TAXES}}


def _phase_item(price: str, quantity: int, metadata: Doc) -> Doc:
    return {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": dict(metadata),
        "price": price,
        "quantity": quantity,
        "tax_rates": [],
    }


def _phase(
    subscription: Doc, items: list[Doc], start: int, end: int, trial: int | None, metadata: Doc, behaviour: str
) -> Doc:
    empty = (
        "application_fee_percent billing_cycle_anchor billing_thresholds collection_method default_payment_method "
        "description invoice_settings on_behalf_of transfer_data"
    )
    return {
        **dict.fromkeys(empty.split()),
        "add_invoice_items": [],
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "currency": subscription["currency"],
        "default_tax_rates": [],
        "discounts": [],
        "end_date": end,
        "items": items,
        "metadata": dict(metadata),
        "proration_behavior": behaviour,
        "start_date": start,
        "trial_end": trial,
    }


def _appoint(tx: Tx, schedule: Doc) -> None:
    tx.unschedule("phase", schedule["id"])
    if schedule["status"] == "active":
        tx.schedule(schedule["current_phase"]["end_date"], "phase", schedule["id"])


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The schedule."""
    return tx.get("subscription_schedule", ident)


def list_all(tx: Tx, params: Params) -> Doc:
    """Schedules, by customer."""
    return paging.page(
        tx, "subscription_schedule", params, "/v1/subscription_schedules", customer=params.get("customer")
    )


def update(tx: Tx, params: Params, ident: str) -> Doc:
    """Replace the running and all future phases; what is left out is unset."""
    schedule = tx.get("subscription_schedule", ident)
    _must_run(schedule, "update")
    subscription = tx.get("subscription", schedule["subscription"])
    schedule["metadata"] = metadata_of(params.get("metadata"), schedule["metadata"])
    schedule["end_behavior"] = params.get("end_behavior", schedule["end_behavior"])
    if schedule["end_behavior"] not in ("release", "cancel"):
        raise unsupported(f"end_behavior={schedule['end_behavior']}", param="end_behavior")
    if "phases" in params:
        _replace_phases(tx, schedule, subscription, params["phases"])
    ends = schedule["end_behavior"] == "cancel"
    subscription.update(cancel_at=schedule["phases"][-1]["end_date"] if ends else None, cancel_at_period_end=False)
    timers.appoint(tx, subscription)
    _appoint(tx, schedule)
    events.emit(tx, "subscription_schedule.updated", schedule)
    events.emit(tx, "customer.subscription.updated", subscription)
    return schedule


def _must_run(schedule: Doc, verb: str) -> None:
    if schedule["status"] not in ("not_started", "active"):
        raise invalid(
            f"You cannot {verb} a subscription schedule that is currently in the `{schedule['status']}` status. "
            "It must be in `not_started` or `active` status."
        )


def _replace_phases(tx: Tx, schedule: Doc, subscription: Doc, wanted: list[Params]) -> None:
    if not 1 <= len(wanted) <= 10:
        raise invalid("You must pass between 1 and 10 phases.", param="phases")
    begins = schedule["current_phase"]["start_date"]
    if wanted[0].get("start_date", begins) != begins:
        raise invalid("You can not modify the start date of the current phase.", param="phases[0][start_date]")
    made: list[Doc] = []
    for place, phase in enumerate(wanted):
        start = made[-1]["end_date"] if made else begins
        made.append(_checked_phase(tx, subscription, phase, place, start))
    running = {(item["price"], item["quantity"]) for item in subscription["items"]["data"]}
    if {(item["price"], item["quantity"]) for item in made[0]["items"]} != running:
        raise unsupported(
            "another set of items in the running phase (update the subscription instead)", param="phases[0][items]"
        )
    if made[0]["end_date"] <= tx.now:
        raise invalid("The current phase must end in the future.", param="phases[0][end_date]")
    past = [phase for phase in schedule["phases"] if phase["end_date"] <= begins]
    schedule["phases"] = past + made
    schedule["current_phase"] = {"start_date": begins, "end_date": made[0]["end_date"]}
    subscription.update({name: made[0][name] for name in TAXES})  # what the phase leaves out is unset at once


def _checked_phase(tx: Tx, subscription: Doc, phase: Params, place: int, start: int) -> Doc:
    param = f"phases[{place}]"
    if phase.get("start_date", start) != start:
        raise invalid("A phase must start when the one before it ends.", param=f"{param}[start_date]")
    items = []
    for index, item in enumerate(phase["items"]):
        where = f"{param}[items][{index}][price]"
        if "price" not in item:
            raise invalid(f"Missing required param: {where}.", param=where, code="parameter_missing")
        kept = [existing["price"] for existing in subscription["items"]["data"]]
        price = catalog.recurring_price(tx, item["price"], where, kept)
        items.append(_phase_item(price["id"], item.get("quantity", 1), metadata_of(item.get("metadata"))))
    end = _phase_end(tx, subscription, phase, param, start, items)
    trial = phase.get("trial_end")
    if place == 0 and trial is None and subscription["status"] == "trialing":
        raise unsupported("ending the running trial by leaving it out of its phase", param=f"{param}[trial_end]")
    if trial is not None and (place > 0 or trial != subscription["trial_end"]):
        raise unsupported("a trial that begins with a phase", param=f"{param}[trial_end]")
    behaviour = phase.get("proration_behavior", "create_prorations")
    made = _phase(subscription, items, start, end, trial, metadata_of(phase.get("metadata")), behaviour)
    return {**made, **taxes.settings(tx, phase, tx.get("customer", subscription["customer"]), param)}


def _phase_end(tx: Tx, subscription: Doc, phase: Params, param: str, start: int, items: list[Doc]) -> int:
    if "end_date" in phase and "duration" in phase:
        raise invalid("You may only specify one of these parameters: end_date, duration.", param=f"{param}[end_date]")
    if "duration" in phase:
        length = phase["duration"]
        count = length.get("interval_count", 1)
        if not 1 <= count <= LONGEST[length["interval"]]:
            raise invalid("A phase lasts from one day to five years.", param=f"{param}[duration][interval_count]")
        return add(start, length["interval"], count)
    end = phase.get("end_date")
    if end is None:
        recurring = tx.get("price", items[0]["price"])["recurring"]
        return boundary_after(subscription["billing_cycle_anchor"], recurring, start)
    if not isinstance(end, int) or end <= start:
        raise invalid("A phase must end after it starts.", param=f"{param}[end_date]")
    return end


def release(tx: Tx, params: Params, ident: str) -> Doc:
    """Let the subscription go on by itself, as it is now."""
    schedule = tx.get("subscription_schedule", ident)
    _must_run(schedule, "release")
    subscription = tx.get("subscription", schedule["subscription"])
    if not params.get("preserve_cancel_date"):
        subscription.update(cancel_at=None, cancel_at_period_end=False)
    standing.close_schedule(tx, subscription, "released")
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)
    return schedule


def cancel(tx: Tx, params: Params, ident: str) -> Doc:
    """Cancel the schedule and with it the subscription, at once."""
    schedule = tx.get("subscription_schedule", ident)
    _must_run(schedule, "cancel")
    subscription = tx.get("subscription", schedule["subscription"])
    if params.get("invoice_now", True):
        final_invoice(tx, subscription, bool(params.get("prorate", True)))
    standing.end(tx, subscription, "cancellation_requested")
    return schedule


# --- what happens by itself


def over(tx: Tx, subscription: Doc) -> bool:
    """At the end of the last phase: release the schedule, or cancel; tells whether the subscription has ended."""
    schedule = phases.schedule_of(tx, subscription)
    if schedule is None or schedule["phases"][-1]["end_date"] > tx.now:
        return False
    if schedule["end_behavior"] == "cancel":
        standing.close_schedule(tx, subscription, "completed")
        standing.end(tx, subscription, "cancellation_requested")
        return True
    standing.close_schedule(tx, subscription, "released")
    return False


def enter(tx: Tx, subscription: Doc, phase: Doc) -> None:
    """The schedule notes that this phase runs now; its metadata joins the subscription's."""
    schedule = tx.get("subscription_schedule", subscription["schedule"])
    schedule["current_phase"] = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
    subscription["metadata"] = metadata_of(phase["metadata"], subscription["metadata"])
    subscription.update({name: phase[name] for name in TAXES})
    _appoint(tx, schedule)
    events.emit(tx, "subscription_schedule.updated", schedule)


def split_running_phase(tx: Tx, schedule: Doc, subscription: Doc) -> None:
    """An update of the subscription under its schedule: the running phase ends now and goes on with the new items."""
    running = phases.current(schedule)
    if running is None or running["start_date"] == tx.now:
        return
    after = running_phase(subscription, tx.now, running["end_date"])
    place = schedule["phases"].index(running)
    schedule["phases"][place + 1 : place + 1] = [after]
    running["end_date"] = tx.now
    schedule["current_phase"] = {"start_date": tx.now, "end_date": after["end_date"]}
    events.emit(tx, "subscription_schedule.updated", schedule)


PHASE = (
    "items.price items.quantity items.metadata start_date end_date duration.interval duration.interval_count "
    "proration_behavior metadata trial_end automatic_tax.enabled default_tax_rates"
)
UPDATE = "end_behavior metadata proration_behavior " + " ".join(f"phases.{name}" for name in PHASE.split())
BASE = "/v1/subscription_schedules"
CALLS = [
    Call("POST", BASE, "SubscriptionScheduleCreateParams", create, "from_subscription metadata end_behavior phases"),
    Call("GET", BASE, "SubscriptionScheduleListParams", list_all, f"{LIST} created customer"),
    Call("GET", BASE + "/{}", "SubscriptionScheduleRetrieveParams", retrieve),
    Call("POST", BASE + "/{}", "SubscriptionScheduleUpdateParams", update, UPDATE),
    Call("POST", BASE + "/{}/release", "SubscriptionScheduleReleaseParams", release, "preserve_cancel_date"),
    Call("POST", BASE + "/{}/cancel", "SubscriptionScheduleCancelParams", cancel, "invoice_now prorate"),
]
