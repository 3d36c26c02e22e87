"""Changing the tier: its preview, carrying it out at once or at the next cycle, and taking it back."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portal.audit import service as audit
from portal.catalog.rules import Price, Tier
from portal.gateways import stripe
from portal.gateways.stripe import CardRefused, StripeMismatch
from portal.kit import clock, outbox
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, Invalid, NotFound, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import changes, queries, remote, service
from portal.subscriptions.flows import offered, release_schedule, sync
from portal.subscriptions.history import expect_version, lock
from portal.subscriptions.rules import ChangeState, Provider, When, preview_holds


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do, as Stripe computes it. ``proration_at`` belongs to the figures."""

    when: When
    tier: Tier
    price: Price
    lines: tuple[tuple[str, Money], ...]
    due: Money
    balance: Money
    effective_at: datetime
    proration_at: datetime | None


def preview_change(vendor_id: int, price_id: int, when: When, at: datetime | None = None) -> Preview:
    """What changing to ``price_id`` would cost, to the cent, without changing anything.

    Without a provider (a trial) and for the next cycle nothing is due now. ``at`` computes a preview that was shown
    before once more, for its own second, while it may still be confirmed. Invalid for a price that is not offered.
    """
    held = queries.held(vendor_id)
    price, tier = offered(price_id, vendor_id)
    now = clock.business()
    free = Money(0, price.amount.currency)
    if held.provider != Provider.STRIPE or when == When.NEXT or held.stripe_subscription_id is None:
        effective = now if when == When.NOW else held.period_end
        return Preview(when, tier, price, (), free, free, effective, None)
    end_reading()
    if at is None or not preview_holds(at, held.period_start, now):
        at = now.replace(microsecond=0)
    if held.trial_ends_at and held.trial_ends_at > now:
        # Free days are not prorated: the new price is first due when they end. Stripe's preview would show that charge.
        return Preview(when, tier, price, (), free, free, now, at)
    document = stripe.current().invoice_preview(
        {
            "customer": held.stripe_customer_id,
            "subscription": held.stripe_subscription_id,
            "subscription_details": _change(held.stripe_item_id, price, at),
        }
    )
    currency = document["currency"].upper()
    lines = tuple((line["description"] or "", Money(line["amount"], currency)) for line in document["lines"]["data"])
    balance = Money(document["amount_due"] - document["total"], currency)
    return Preview(when, tier, price, lines, Money(document["amount_due"], currency), balance, now, at)


def _change(item_id: str | None, price: Price, at: datetime) -> dict[str, Any]:
    """The same words for preview and charge, so that they agree to the second."""
    return {
        "items": [{"id": item_id, "price": price.stripe_price_id, "quantity": 1}],
        "proration_behavior": "always_invoice",
        "proration_date": int(at.timestamp()),
    }


def change_tier(
    vendor_id: int,
    price_id: int,
    when: When,
    *,
    actor: Actor,
    base_version: int,
    notify: bool = True,
    proration_at: datetime | None = None,
) -> ChangeState:
    """Change the tier now (with proration) or at the next cycle; gives where the change stands.

    ``proration_at`` is the second of the preview that was confirmed: exactly its amount is charged. Raises what
    ``changes.request`` raises (a preview older than 15 minutes is a Conflict), and CardRefused when the card was
    refused: then nothing has changed. When Stripe does not answer (Unavailable), the intent stays and a job carries
    it on with the same idempotency key.
    """
    price, tier = offered(price_id, vendor_id)
    held = queries.held(vendor_id)
    now = clock.business()
    if held.provider == Provider.NONE:
        if when == When.NEXT:
            raise Invalid(fields={"when": N_("In a trial the tier changes at once and costs nothing.")})
        with unit_of_work():
            service.choose_tier(vendor_id, tier, price, actor=actor, now=now, base_version=base_version)
        return ChangeState.APPLIED
    with unit_of_work():
        change = changes.request(
            vendor_id,
            price,
            when,
            actor=actor,
            now=now,
            base_version=base_version,
            notify=notify,
            proration_at=proration_at,
        )
        data = {"price": price.id, "tier": tier.code, "when": str(when), "change": change.id}
        audit.record(actor, "subscription.change_requested", vendor_id=vendor_id, data=data, now=now)
        outbox.enqueue(
            "subscriptions.carry_on_change",
            dedupe_key=f"carry-on-change:{change.id}",
            delay=timedelta(seconds=30),
            vendor_id=vendor_id,
            change_id=change.id,
        )
    return carry_on(change.id)


def carry_on(change_id: int) -> ChangeState:
    """Bring a requested change to Stripe and its answer back; safe to repeat after a crash at any point."""
    change = queries.change(change_id)
    if change.state != ChangeState.REQUESTED:
        return ChangeState(change.state)
    held = queries.held(change.vendor_id)
    if held.stripe_subscription_id is None:
        raise NotFound
    end_reading()
    try:
        if change.when_to_apply == When.NOW:
            _apply_now(change, held)
        else:
            _apply_next(change, held)
    except (CardRefused, StripeMismatch) as error:
        with unit_of_work():
            changes.refuse(change_id, str(error), now=clock.business())
        raise
    except Unavailable:
        if not _came_through(change, held.stripe_subscription_id):
            raise
    sync(change.vendor_id, held.stripe_subscription_id)
    return ChangeState(queries.change(change_id).state)


def _came_through(change: queries.Change, stripe_subscription_id: str) -> bool:
    """Was a call without an answer carried out? Stripe repeats a 500 for its key, so its present state must tell."""
    sync(change.vendor_id, stripe_subscription_id)
    return queries.change(change.id).state != ChangeState.REQUESTED


def _apply_now(change: queries.Change, held: queries.Held) -> None:
    gateway = stripe.current()
    release_schedule(held)
    if change.proration_at is None or held.stripe_subscription_id is None:
        raise Conflict
    params = {
        **_change(held.stripe_item_id, change.price, change.proration_at),
        "payment_behavior": "pending_if_incomplete",
    }
    gateway.subscription_update(held.stripe_subscription_id, params, f"tier-change-{change.id}")


def _apply_next(change: queries.Change, held: queries.Held) -> None:
    """Two calls that are not atomic: on repetition a schedule with one phase is found and finished, a finished one
    left as it is (Stripe repeats a 500 for its key, also when it did the work).
    """
    gateway = stripe.current()
    present = remote.read(gateway.subscription(str(held.stripe_subscription_id)))
    schedule = gateway.schedule(present.schedule_id) if present.schedule_id else None
    if schedule is not None and len(schedule["phases"]) > 1 and not _is_for(schedule, change):
        gateway.schedule_release(schedule["id"], f"release-{schedule['id']}")
        schedule = None
    if schedule is None:
        schedule = gateway.schedule_create(present.id, f"tier-change-{change.id}-schedule")
    if not _is_for(schedule, change):
        gateway.schedule_update(schedule["id"], _phases(schedule, change), f"tier-change-{change.id}-phases")
    with unit_of_work():
        changes.scheduled(change.id, schedule["id"], now=clock.business())


def _is_for(schedule: dict[str, Any], change: queries.Change) -> bool:
    return (schedule.get("metadata") or {}).get("change") == str(change.id)


def _phases(schedule: dict[str, Any], change: queries.Change) -> dict[str, Any]:
    now_phase = schedule["phases"][0]
    interval = "year" if change.price.cycle == "yearly" else "month"
    items = [{"price": remote.id_of(i["price"]), "quantity": i["quantity"]} for i in now_phase["items"]]
    present: dict[str, Any] = {"items": items, "start_date": now_phase["start_date"], "end_date": now_phase["end_date"]}
    if now_phase.get("trial_end"):
        present["trial_end"] = now_phase["trial_end"]
    coming = {
        "items": [{"price": change.price.stripe_price_id, "quantity": 1}],
        "duration": {"interval": interval, "interval_count": 1},
        "proration_behavior": "none",
    }
    return {"end_behavior": "release", "metadata": {"change": str(change.id)}, "phases": [present, coming]}


def undo_change(vendor_id: int, *, actor: Actor, base_version: int) -> None:
    """Take back a change that is scheduled; Conflict when it has happened or was undone meanwhile."""
    held = queries.held(vendor_id)
    change = queries.scheduled_change(vendor_id)
    if change is None or held.stripe_subscription_id is None:
        raise Conflict(N_("There is no scheduled change to undo."))
    with unit_of_work():
        expect_version(lock(vendor_id), base_version)
    release_schedule(held)
    with unit_of_work():
        changes.undone(change.id, actor=actor, now=clock.business())
        audit.record(actor, "subscription.change_undone", vendor_id=vendor_id, data={"change": change.id},
                     now=clock.business())  # fmt: skip
    sync(vendor_id, held.stripe_subscription_id)
