"""Changing the tier: its preview, carrying it out at once or at the next cycle, taking it back or giving it up."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from portal.audit import service as audit
from portal.catalog import queries as catalog
from portal.catalog.rules import Price, Tier
from portal.gateways import stripe
from portal.gateways.stripe import CardRefused, StripeMismatch
from portal.kit import clock, outbox
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, Invalid, NotFound, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import changes, coming_flows, queries, remote, service, transfer_changes, transfer_renewals
from portal.subscriptions.flows import figures, offered, release_schedule, sync
from portal.subscriptions.history import expect_version, lock
from portal.subscriptions.rules import ChangeState, Ended, Provider, When, next_charge, preview_holds


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do, as Stripe computes it. ``proration_at`` belongs to the figures.

    lines + tax + balance = due. ``next_at``: when the new price is due for the first time in full.
    """

    when: When
    tier: Tier
    price: Price
    lines: tuple[tuple[str, Money], ...]
    tax: Money
    balance: Money
    due: Money
    effective_at: datetime
    next_at: datetime
    proration_at: datetime | None


def preview_change(vendor_id: int, price_id: int, when: When, at: datetime | None = None) -> Preview:
    """What changing to ``price_id`` would cost, to the cent, without changing anything.

    Without a provider (a trial) and for the next cycle nothing is due now. ``at`` computes a preview that was shown
    before once more, for its own second, while it may still be confirmed. Invalid for a price that is not offered,
    Conflict ``paid_ahead`` while a period that is paid by transfer has not begun.
    """
    held = queries.held(vendor_id)
    price, tier = offered(price_id, vendor_id)
    if held.provider == Provider.STRIPE and price.stripe_price_id is None:
        raise Conflict(N_("Stripe does not know this price yet. Please try again in a few minutes."), code="not_pushed")
    now = clock.business()
    free = _free(when, tier, price, held, now)
    if held.provider == Provider.TRANSFER:
        transfer_renewals.refuse_preview(vendor_id, held.period_end)
    if held.provider == Provider.TRANSFER and when == When.NOW:
        return _by_transfer(free, held, at, now)
    if held.provider != Provider.STRIPE or when == When.NEXT or held.stripe_subscription_id is None:
        return free
    if at is None or not preview_holds(at, held.period_start, now):
        at = now.replace(microsecond=0)
    if held.trial_ends_at and held.trial_ends_at > now:
        # Free days are not prorated: the new price is first due when they end. Stripe's preview would show that charge.
        return replace(free, proration_at=at)
    present = catalog.price(held.price_id) if held.price_id else None
    next_at = next_charge(at, price.cycle, present.cycle if present else None, held.period_end)
    end_reading()
    document = stripe.current().invoice_preview(
        {
            "customer": held.stripe_customer_id,
            "subscription": held.stripe_subscription_id,
            "subscription_details": _change(held.stripe_item_id, price, at),
        }
    )
    return replace(free, **figures(document), next_at=next_at, proration_at=at)


def _by_transfer(free: Preview, held: queries.Held, at: datetime | None, now: datetime) -> Preview:
    if at is None or not preview_holds(at, held.period_start, now):
        at = now.replace(microsecond=0)
    found = transfer_changes.prospect(held, free.price, free.tier, at, now)
    lines = tuple((line.description, Money(line.amount_minor, free.due.currency)) for line in found.lines)
    q = found.quote
    return replace(free, lines=lines, tax=q.tax, balance=q.balance, due=q.due, next_at=found.next_at, proration_at=at)


def _free(when: When, tier: Tier, price: Price, held: queries.Held, now: datetime) -> Preview:
    """Nothing is due now: before anything is paid for, in free days, and for the next cycle."""
    nothing = Money(0, price.amount.currency)
    effective = now if when == When.NOW else held.period_end
    trial = held.trial_ends_at if held.trial_ends_at and held.trial_ends_at > now else None
    return Preview(when, tier, price, (), nothing, nothing, nothing, effective, trial or held.period_end, None)


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
    shown: Money | None = None,
    choices: dict[str, Any] | None = None,
) -> ChangeState:
    """Change the tier now (with proration) or at the next cycle; gives where the change stands.

    ``proration_at`` is the second of the preview that was confirmed and ``shown`` its amount: exactly that is charged,
    or Conflict ``preview_changed`` and nothing (SUB-4). Raises what ``changes.request`` raises (a preview older than
    15 minutes is a Conflict), and CardRefused when the card was refused: then nothing has changed. When Stripe does
    not answer (Unavailable), the intent stays and a job carries it on with the same idempotency key; with code
    ``preview_unavailable`` it did not answer before the intent was written, and nothing has happened.
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
    if shown is not None and held.version == base_version and held.provider == Provider.STRIPE:
        _check_shown(vendor_id, price_id, when, shown, proration_at)
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
            shown=shown,
            choices=choices,
        )
        data = {"price": price.id, "tier": tier.code, "when": str(when), "change": change.id}
        audit.record(actor, "subscription.change_requested", vendor_id=vendor_id, data=data, now=now)
        if held.provider == Provider.TRANSFER:
            return transfer_changes.carry_out(change, actor=actor, shown=shown, now=now)
        outbox.enqueue(
            "subscriptions.carry_on_change",
            dedupe_key=f"carry-on-change:{change.id}",
            delay=timedelta(seconds=30),
            vendor_id=vendor_id,
            change_id=change.id,
        )
    return carry_on(change.id)


def _check_shown(vendor_id: int, price_id: int, when: When, shown: Money, proration_at: datetime | None) -> None:
    """Compute the confirmed preview once more: a balance, a tax or a second tab may have changed what is due."""
    try:
        again = preview_change(vendor_id, price_id, when, proration_at)
    except Unavailable as error:
        raise Unavailable(code="preview_unavailable") from error
    if again.proration_at != proration_at:
        raise Conflict(N_("These figures are out of date. Look at them again, then confirm."), code="preview_expired")
    if again.due != shown:
        raise Conflict(
            N_("The amount has changed since it was shown. Nothing was charged; look at it again, then confirm."),
            code="preview_changed",
        )


def carry_on(change_id: int, *, unseen: bool = False) -> ChangeState:
    """Bring a requested change to Stripe and its answer back; safe to repeat after a crash at any point.

    ``unseen``: nobody waits for the answer, so a refusal is told by mail.
    """
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
            changes.refuse(change_id, str(error), unseen=unseen, now=clock.business())
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
    document = gateway.subscription(str(held.stripe_subscription_id))
    present = remote.read(document, held.stripe_item_id)
    schedule = gateway.schedule(present.schedule_id) if present.schedule_id else None
    if schedule is not None and len(schedule["phases"]) > 1 and not _is_for(schedule, change) and not present.planned:
        gateway.schedule_release(schedule["id"], f"release-{schedule['id']}")
        schedule = None
    if schedule is None:
        schedule = gateway.schedule_create(present.id, f"tier-change-{change.id}-schedule")
    if not _is_for(schedule, change):
        params = coming_flows.params(document, present, schedule, change)
        gateway.schedule_update(schedule["id"], params, f"tier-change-{change.id}-phases")
    with unit_of_work():
        changes.scheduled(change.id, schedule["id"], now=clock.business())


def _is_for(schedule: dict[str, Any], change: queries.Change) -> bool:
    return (schedule.get("metadata") or {}).get("change") == str(change.id)


def undo_change(vendor_id: int, *, actor: Actor, base_version: int) -> None:
    """Take back a change that is scheduled; Conflict when it has happened or was undone meanwhile."""
    held = queries.held(vendor_id)
    if held.provider == Provider.TRANSFER:
        _drop_by_transfer(vendor_id, actor, base_version, "subscription.change_undone")
        return
    change = queries.scheduled_change(vendor_id)
    if change is None or held.stripe_subscription_id is None:
        raise Conflict(N_("There is no scheduled change to undo."))
    with unit_of_work():
        expect_version(lock(vendor_id), base_version)
        changes.mark(change.id, Ended.TAKEN_BACK)
    coming_flows.let_go(held)
    with unit_of_work():
        changes.undone(change.id, actor=actor, now=clock.business())
        audit.record(actor, "subscription.change_undone", vendor_id=vendor_id, data={"change": change.id},
                     now=clock.business())  # fmt: skip
    sync(vendor_id, held.stripe_subscription_id)


def give_up(vendor_id: int, *, actor: Actor, base_version: int) -> ChangeState:
    """Give up a change that waits for its payment: its invoice is voided and the tier stays.

    Gives ``applied`` when it was paid at the same moment. Conflict when nothing waits, or somebody was quicker.
    """
    held = queries.held(vendor_id)
    if held.provider == Provider.TRANSFER:
        return _drop_by_transfer(vendor_id, actor, base_version, "subscription.change_given_up")
    change = queries.awaited_change(vendor_id)
    if change is None or held.stripe_subscription_id is None:
        raise Conflict(N_("There is no change that waits for a payment."), code="nothing_waits")
    with unit_of_work():
        expect_version(lock(vendor_id), base_version)
        changes.mark(change.id, Ended.GIVEN_UP)
        audit.record(actor, "subscription.change_given_up", vendor_id=vendor_id, data={"change": change.id},
                     now=clock.business())  # fmt: skip
    if change.stripe_invoice_id:
        with suppress(StripeMismatch):  # paid or voided meanwhile: what Stripe says now decides
            stripe.current().invoice_void(change.stripe_invoice_id, f"give-up-{change.id}")
    sync(vendor_id, held.stripe_subscription_id)
    return queries.change(change.id).state


def _drop_by_transfer(vendor_id: int, actor: Actor, base_version: int, what: str) -> ChangeState:
    now = clock.business()
    with unit_of_work():
        change = transfer_changes.undo(vendor_id, actor=actor, base_version=base_version, now=now)
        audit.record(actor, what, vendor_id=vendor_id, data={"change": change.id}, now=now)
        return ChangeState(change.state)


def drop_unsold(change_id: int) -> None:
    """On the day: a change whose target was retired since does not happen; the present tier stays (SUB-5).

    What was confirmed at a price that is closed by now is kept: the vendor bought it at that price. Repeatable.
    """
    change = queries.change(change_id)
    tier = catalog.tier_by_id(change.price.tier_id)
    if change.state != ChangeState.SCHEDULED or (tier is not None and tier.is_active):
        return
    held = queries.held(change.vendor_id)
    with unit_of_work():
        changes.mark(change_id, Ended.RETIRED)
    if held.provider != Provider.STRIPE or held.stripe_subscription_id is None:
        with unit_of_work():
            changes.dropped(change_id, now=clock.business())
        return
    if coming_flows.let_go(held):  # the schedule goes on for add-ons, so its end does not tell
        with unit_of_work():
            changes.dropped(change_id, now=clock.business())
    sync(change.vendor_id, held.stripe_subscription_id)
