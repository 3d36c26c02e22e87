"""Add-ons on the tier's Stripe subscription: shown, added, changed, planned for the period's end, removed.

Every verb can be repeated with the same ``key`` (and the same ``at``): what was done is found, not done again. What is
charged is what was shown, or nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from portal.gateways import stripe
from portal.gateways.stripe import StripeMismatch
from portal.kit.errors import Conflict, NotFound, PaymentRequired, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading
from portal.subscriptions import changes, coming_flows, queries, remote
from portal.subscriptions.flows import figures, sync
from portal.subscriptions.queries import Held
from portal.subscriptions.remote import Planned, Remote, RemoteItem
from portal.subscriptions.rules import ChangeState, Provider, Status, preview_holds

Document = dict[str, Any]


class ItemState(StrEnum):
    """What came of it."""

    APPLIED = "applied"
    AWAITING_PAYMENT = "awaiting_payment"


@dataclass(frozen=True, slots=True)
class ItemPreview:
    """What a change of an item costs now, as Stripe computes it for the second ``proration_at``.

    lines + tax + balance = due; a credit leaves ``due`` at 0. ``next_at``: when a whole period is charged first.
    """

    lines: tuple[tuple[str, Money], ...]
    tax: Money
    balance: Money
    due: Money
    next_at: datetime
    proration_at: datetime


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """How it stands: the item as it is now (None while it waits for its payment, or once it is gone), and the invoice
    with Stripe's page to pay it.
    """

    state: ItemState
    item: RemoteItem | None
    invoice_id: str | None
    pay_url: str | None


def takes_items(vendor_id: int, now: datetime) -> bool:
    """Can an add-on of the tier's cycle be added to the tier's subscription? If not, it gets one of its own.

    Not in free days, while money is owed, once an end is planned, or without a card on file.
    """
    held = queries.held(vendor_id)
    open_trial = held.trial_ends_at is not None and held.trial_ends_at > now
    runs = held.provider == Provider.STRIPE and held.stripe_subscription_id is not None and held.has_card
    return runs and held.status == Status.ACTIVE and not open_trial and not held.cancel_at_period_end


def preview_item(
    vendor_id: int,
    stripe_price_id: str,
    quantity: int,
    *,
    now: datetime,
    at: datetime | None = None,
    item_id: str | None = None,
) -> ItemPreview:
    """What adding so many would cost, or (``item_id``) changing an item to them; a quantity of 0 removes it.

    Nothing is changed. ``at`` computes a preview that was shown before once more, while it may still be confirmed.
    Raises what ``add_item`` raises before it charges.
    """
    held = _open(vendor_id, now)
    if at is None or not preview_holds(at, held.period_start, now):
        at = now.replace(microsecond=0)
    end_reading()
    wanted = _wanted(stripe_price_id, quantity, item_id)
    document = stripe.current().preview_items(
        str(held.stripe_customer_id), str(held.stripe_subscription_id), [wanted], int(at.timestamp())
    )
    ends = [remote.at(line["period"]["end"]) for line in document["lines"]["data"]]
    return ItemPreview(**figures(document), next_at=max(ends, default=held.period_end), proration_at=at)


def _wanted(stripe_price_id: str, quantity: int, item_id: str | None) -> Document:
    if item_id is None:
        return {"price": stripe_price_id, "quantity": quantity}
    if quantity == 0:
        return {"id": item_id, "deleted": True}
    return {"id": item_id, "price": stripe_price_id, "quantity": quantity}


def add_item(
    vendor_id: int, stripe_price_id: str, quantity: int, *, key: str, at: datetime, shown: Money | None, now: datetime
) -> ItemOutcome:
    """Add an item; its share of the running period is charged at once.

    ``at`` is the second of the preview that was confirmed and ``shown`` its amount: exactly that is charged, or
    Conflict ``preview_changed``/``preview_expired`` and nothing. ``shown`` None carries on what was confirmed before.
    PaymentRequired ``invoice_unpaid`` (its action leads to paying) while money is owed, Conflict where items are not
    taken, ``change_under_way`` while a tier change is with Stripe, ``item_exists`` for a price that stands there
    already. When Stripe does not answer (Unavailable) nobody knows: repeat it with the same key.
    """
    held = _open(vendor_id, now)
    present = _present(held)
    if shown is not None and _by_price(present, stripe_price_id) is None and not present.pending_update:
        _check(preview_item(vendor_id, stripe_price_id, quantity, now=now, at=at), at, shown)
    before = _by_price(present, stripe_price_id)
    try:
        stripe.current().item_add(present.id, stripe_price_id, quantity, int(at.timestamp()), key)
    except StripeMismatch as error:
        if before is not None:
            raise Conflict(N_("This add-on is on the subscription already."), code="item_exists") from error
        raise
    except Unavailable:
        came = _present(held)
        if _by_price(came, stripe_price_id) is None and not came.pending_update:
            raise
    return _outcome(held, lambda now_there: _by_price(now_there, stripe_price_id))


def change_item(
    vendor_id: int,
    item_id: str,
    stripe_price_id: str,
    quantity: int,
    *,
    key: str,
    at: datetime,
    shown: Money | None,
    now: datetime,
) -> ItemOutcome:
    """Give an item another price or quantity at once, with what that costs for the rest of its period.

    What was planned for it is dropped. Raises what ``add_item`` raises; NotFound for an item that is not there.
    """
    held = _open(vendor_id, now)
    item = _mine(_present(held), item_id)
    done = (item.stripe_price_id, item.quantity) == (stripe_price_id, quantity)
    if shown is not None and not done:
        _check(preview_item(vendor_id, stripe_price_id, quantity, now=now, at=at, item_id=item_id), at, shown)
    if item.planned:
        _plan(held, item_id, None, f"{key}-unplan")
    if not done:
        try:
            stripe.current().item_change(item_id, stripe_price_id, quantity, int(at.timestamp()), key)
        except Unavailable:
            came = _present(held)
            if not _is(came, item_id, stripe_price_id, quantity) and not came.pending_update:
                raise
    return _outcome(held, lambda there: _is(there, item_id, stripe_price_id, quantity))


def plan_item(vendor_id: int, item_id: str, stripe_price_id: str, quantity: int, *, key: str) -> None:
    """Let an item become this with its next period (a quantity of 0: end); nothing is charged or credited.

    Visible in ``RemoteItem.planned``, undone by ``keep_item``. ``key`` is new for every wish. Conflict where the
    subscription ends anyway, NotFound for an item that is not there.
    """
    held = _running(vendor_id)
    present = _present(held)
    _mine(present, item_id)
    if present.leaving:
        raise Conflict(N_("The subscription ends anyway, and its add-ons with it."), code="already_cancelled")
    _plan(held, item_id, Planned(stripe_price_id, quantity), key)
    _settle(held)


def keep_item(vendor_id: int, item_id: str, *, key: str) -> None:
    """Drop what was planned for an item: it renews as it is. ``key`` is new for every wish."""
    held = _running(vendor_id)
    _mine(_present(held), item_id)
    _plan(held, item_id, None, key)
    _settle(held)


def remove_item(
    vendor_id: int, item_id: str, *, at_period_end: bool, key: str, at: datetime, credit: bool = True
) -> None:
    """End an item with its period, or at once; then (``credit``) what is unused goes to the vendor's balance.

    ``at`` is the second from which it is credited. An item that is gone already is no error.
    """
    held = _running(vendor_id)
    item = next((i for i in _present(held).addon_items if i.id == item_id), None)
    if item is None:
        return
    if at_period_end:
        plan_item(vendor_id, item_id, item.stripe_price_id, 0, key=key)
        return
    try:
        stripe.current().item_remove(item_id, int(at.timestamp()) if credit else None, key)
    except NotFound:
        pass  # removed meanwhile
    except Unavailable:
        if any(i.id == item_id for i in _present(held).addon_items):
            raise
    _settle(held)


# the steps of these verbs ---------------------------------------------------------------------------------------------


def _running(vendor_id: int) -> Held:
    held = queries.held(vendor_id)
    if held.provider != Provider.STRIPE or held.stripe_subscription_id is None:
        raise Conflict(N_("Nothing is paid for this subscription yet."), code="no_items")
    return held


def _open(vendor_id: int, now: datetime) -> Held:
    """The subscription, where add-ons may be put on it now."""
    held = _running(vendor_id)
    if held.status == Status.PAST_DUE or changes.owes(vendor_id):
        raise PaymentRequired(
            N_("An invoice is unpaid. Pay it first, then change your add-ons."),
            code="invoice_unpaid",
            action=(N_("Pay the invoice"), changes.pay_url(vendor_id) or ""),
        )
    if not takes_items(vendor_id, now):
        raise Conflict(N_("Add-ons cannot be put on this subscription now."), code="no_items")
    change = changes.under_way(held.id)
    if change is not None and change.state != ChangeState.SCHEDULED:
        raise Conflict(N_("Another change of the tier is still under way."), code="change_under_way")
    return held


def _present(held: Held) -> Remote:
    end_reading()
    document = stripe.current().subscription(str(held.stripe_subscription_id))
    return remote.read(document, held.stripe_item_id)


def _by_price(present: Remote, stripe_price_id: str) -> RemoteItem | None:
    return next((item for item in present.addon_items if item.stripe_price_id == stripe_price_id), None)


def _is(present: Remote, item_id: str, stripe_price_id: str, quantity: int) -> RemoteItem | None:
    wanted = (item_id, stripe_price_id, quantity)
    return next((i for i in present.addon_items if (i.id, i.stripe_price_id, i.quantity) == wanted), None)


def _mine(present: Remote, item_id: str) -> RemoteItem:
    found = next((item for item in present.addon_items if item.id == item_id), None)
    if found is None:
        raise NotFound
    return found


def _check(again: ItemPreview, at: datetime, shown: Money) -> None:
    if again.proration_at != at:
        raise Conflict(N_("These figures are out of date. Look at them again, then confirm."), code="preview_expired")
    if again.due != shown:
        raise Conflict(
            N_("The amount has changed since it was shown. Nothing was charged; look at it again, then confirm."),
            code="preview_changed",
        )


def _plan(held: Held, item_id: str, planned: Planned | None, key: str) -> None:
    """Write into the subscription's metadata what becomes of an item; None forgets it."""
    text = planned.text() if planned else ""
    params = {"metadata": {remote.plan_key(item_id): text}}
    stripe.current().subscription_update(str(held.stripe_subscription_id), params, key)


def _settle(held: Held) -> None:
    coming_flows.keep(held.vendor_id)
    sync(held.vendor_id, str(held.stripe_subscription_id))


def _outcome(held: Held, find: Any) -> ItemOutcome:
    """Mirror what happened and tell it from Stripe's present state, not from an answer that may be a repetition."""
    _settle(held)
    document = stripe.current().subscription(str(held.stripe_subscription_id))
    present = remote.read(document, held.stripe_item_id)
    latest = document.get("latest_invoice")
    invoice: Document = latest if isinstance(latest, dict) else {}
    item = find(present)
    if item is None and not present.pending_update:
        raise Conflict(N_("The payment did not come through. Nothing was changed."), code="not_applied")
    state = ItemState.APPLIED if item else ItemState.AWAITING_PAYMENT
    return ItemOutcome(state, item, invoice.get("id"), None if item else invoice.get("hosted_invoice_url"))
