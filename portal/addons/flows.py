"""What takes Stripe's answer between two transactions: following, cancelling and resizing an add-on."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from portal.addons import changes, mirror, purchase, queries, service, transfers
from portal.addons.changes import Figures
from portal.addons.mirror import Own
from portal.addons.purchase import Wish
from portal.addons.queries import Had
from portal.addons.rules import AddonStatus
from portal.billing import stripe_invoice
from portal.billing.stripe_invoice import StripeInvoice
from portal.gateways import stripe
from portal.gateways.stripe import StripeMismatch
from portal.kit import clock
from portal.kit.actor import STRIPE, SYSTEM, Actor
from portal.kit.errors import Conflict, NotFound
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import item_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions import remote as tier
from portal.subscriptions.flows import figures as stripe_figures
from portal.subscriptions.history import lock, lock_if_any
from portal.subscriptions.item_flows import ItemState
from portal.subscriptions.mirror import keep_invoice
from portal.subscriptions.rules import Provider, preview_holds

#: How often a fetch is repeated because the row changed while Stripe was answering.
PATIENCE = 5


def fetch(subscription_id: str, invoice_id: str | None = None) -> tuple[Own, StripeInvoice | None]:
    """Stripe's present state of an add-on's own subscription, with one invoice of it (else the latest)."""
    gateway = stripe.current()
    document = gateway.subscription(subscription_id)
    own, latest = mirror.read(document), document.get("latest_invoice")
    wanted = invoice_id or own.latest_invoice_id
    if wanted is None:
        return own, None
    if not isinstance(latest, dict) or latest["id"] != wanted:
        return own, stripe_invoice.read(gateway.invoice(wanted))
    return own, stripe_invoice.read(gateway.in_full(latest))


def sync(vendor_id: int, subscription_id: str, invoice_id: str | None = None, *, actor: Actor = STRIPE) -> bool:
    """Mirror Stripe's present state of an add-on's own subscription and invoice in one commit; True when it is ours.

    Repeated when somebody changed the row meanwhile: an older answer never overwrites a newer one.
    """
    for _ in range(PATIENCE):
        known = queries.by_subscription(vendor_id, subscription_id)
        end_reading()
        if known is None:
            return False
        own, invoice = fetch(subscription_id, invoice_id)
        with unit_of_work():
            addon = service.locked(known.id, vendor_id)
            if addon.version != known.version:
                continue
            if invoice:
                keep_invoice(lock(vendor_id), invoice, now=clock.business())
            mirror.mirror(addon, own, actor=actor, now=clock.business())
            return True
    raise Conflict


def sync_items(vendor_id: int, *, actor: Actor = STRIPE) -> None:
    """Mirror the add-ons that are items of the tier's subscription."""
    held = subscriptions.held(vendor_id)
    if held.stripe_subscription_id is None:
        return
    end_reading()
    document = stripe.current().subscription(held.stripe_subscription_id)
    present = tier.read(document, held.stripe_item_id)
    with unit_of_work():
        lock_if_any(vendor_id)
        mirror.mirror_items(vendor_id, present, actor=actor, now=clock.business())


def cancel(addon_id: int, vendor_id: int, *, actor: Actor) -> datetime | None:
    """Let it end with what is paid for; gives when (None: at once, because nothing is paid). Again changes nothing.

    Conflict when it is over already, Unavailable when Stripe does not answer: then nothing is certain, and the same
    again is harmless.
    """
    had = _running(addon_id, vendor_id)
    if had.cancel_at_period_end:
        return had.ends_at
    if had.provider == Provider.NONE:
        with unit_of_work():
            service.end(service.locked(addon_id, vendor_id), "asked", actor=actor, now=clock.business())
        return None
    if had.provider == Provider.TRANSFER:
        _by_transfer(addon_id, vendor_id, ends=True, actor=actor)
    elif had.stripe_subscription_id:
        _flag(had, ends=True, actor=actor)
    else:
        now = clock.business()
        item_flows.remove_item(vendor_id, str(had.stripe_item_id), at_period_end=True, key=_key(had, "cancel"), at=now)
        sync_items(vendor_id, actor=actor)
    return queries.one(vendor_id, addon_id).ends_at


def resume(addon_id: int, vendor_id: int, *, actor: Actor) -> None:
    """Go on after all, before the end has come. Again changes nothing; Conflict when it is over or its plan ends."""
    had = _running(addon_id, vendor_id)
    if not had.cancel_at_period_end:
        return
    if subscriptions.held(vendor_id).cancel_at_period_end:
        raise Conflict(N_("It ends with your plan. Take the cancellation of the plan back first."), code="plan_ends")
    if had.provider in (Provider.TRANSFER, Provider.NONE):
        _by_transfer(addon_id, vendor_id, ends=False, actor=actor)
    elif had.stripe_subscription_id:
        _flag(had, ends=False, actor=actor)
    else:
        item_flows.keep_item(vendor_id, str(had.stripe_item_id), key=_key(had, "keep"))
        sync_items(vendor_id, actor=actor)


def _by_transfer(addon_id: int, vendor_id: int, *, ends: bool, actor: Actor) -> None:
    now = clock.business()
    with unit_of_work():
        addon = service.locked(addon_id, vendor_id)
        service.ends_with(addon, addon.period_end if ends else None, actor=actor, now=now)
        transfers.refresh(lock(vendor_id), now=now)


def _flag(had: Had, *, ends: bool, actor: Actor) -> None:
    """Stripe is told first: its word is what is mirrored, in the name of whoever asked."""
    end_reading()
    key = _key(had, "ends" if ends else "stays")
    stripe.current().subscription_update(str(had.stripe_subscription_id), {"cancel_at_period_end": ends}, key)
    sync(had.vendor_id, str(had.stripe_subscription_id), actor=actor)


def _key(had: Had, what: str) -> str:
    """A key for each try: Stripe repeats a 500 for its key, and these calls can be repeated."""
    with unit_of_work():
        addon = service.locked(had.id, had.vendor_id)
        addon.version += 1
        return f"addon-{what}-{had.id}-{addon.version}"


def _running(addon_id: int, vendor_id: int) -> Had:
    had = queries.one(vendor_id, addon_id)
    if had.status == AddonStatus.CANCELLED:
        raise Conflict(N_("This add-on has ended."), code="ended")
    return had


def end_now(addon_id: int, vendor_id: int, cause: str, *, actor: Actor, tell: bool = True) -> None:
    """End it at once, at Stripe too; what was paid is not given back (staff refund it on the invoice). Repeatable."""
    had = queries.one(vendor_id, addon_id)
    end_reading()
    try:
        if had.provider == Provider.STRIPE and had.stripe_subscription_id:
            stripe.current().subscription_cancel(had.stripe_subscription_id, {}, f"addon-end-{had.id}")
        elif had.provider == Provider.STRIPE and had.stripe_item_id:
            now = clock.business()
            item_flows.remove_item(vendor_id, had.stripe_item_id, at_period_end=False, key=f"addon-end-{had.id}",
                                   at=now, credit=False)  # fmt: skip
    except (NotFound, StripeMismatch):
        pass  # It is gone at Stripe already.
    now = clock.business()
    with unit_of_work():
        addon = service.locked(addon_id, vendor_id)
        service.end(addon, cause, actor=actor, now=now, tell=tell)
        if addon.provider == Provider.TRANSFER:
            transfers.refresh(lock(vendor_id), now=now)


def end_with_period(addon_id: int, vendor_id: int) -> None:
    """Its plan has ended: its own subscription ends with what is paid, at once where unpaid. Repeatable."""
    had = queries.one(vendor_id, addon_id)
    if had.is_over or had.cancel_at_period_end:
        return
    if had.past_due_since is not None:
        end_now(addon_id, vendor_id, "plan", actor=SYSTEM)
    else:
        _flag(had, ends=True, actor=SYSTEM)


# another size or number -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Changed:
    """How a change stands: done, planned for the next period, or waiting for its payment at ``pay_url``."""

    state: str
    pay_url: str | None = None
    invoice_id: int | None = None


def preview(addon_id: int, vendor_id: int, wish: Wish, at: datetime | None = None) -> Figures:
    """What another size or number costs now, to the cent; a smaller one costs nothing and begins with the next period.

    Raises what ``changes.check`` raises, and Unavailable when Stripe does not answer.
    """
    had, now = _running(addon_id, vendor_id), clock.business()
    found = changes.check(had, wish, now)
    if at is None or not preview_holds(at, had.period_start or now, now):
        at = now.replace(microsecond=0)
    plain = changes.plain(had, found, wish.quantity, at)
    if not plain.is_now or had.provider == Provider.NONE:
        return plain
    if had.provider == Provider.TRANSFER:
        return changes.by_transfer(had, found, wish.quantity, plain, now)
    if had.stripe_subscription_id is None:
        shown = item_flows.preview_item(
            vendor_id, str(found.stripe_price_id), wish.quantity, now=now, at=at, item_id=had.stripe_item_id
        )
        return replace(plain, lines=shown.lines, tax=shown.tax, balance=shown.balance, due=shown.due,
                       at=shown.proration_at)  # fmt: skip
    customer = subscriptions.held(vendor_id).stripe_customer_id
    end_reading()
    params = {"customer": customer, "subscription": had.stripe_subscription_id,
              "subscription_details": _wanted(had, found, wish.quantity, at)}  # fmt: skip
    return replace(plain, **stripe_figures(stripe.current().invoice_preview(params)))


def _wanted(had: Had, found: purchase.Offer, quantity: int, at: datetime) -> dict[str, Any]:
    return {
        "items": [{"id": had.stripe_item_id, "price": found.stripe_price_id, "quantity": quantity}],
        "proration_behavior": "always_invoice",
        "proration_date": int(at.timestamp()),
    }


def change(
    addon_id: int, vendor_id: int, wish: Wish, *, shown: Money, at: datetime, base_version: int, actor: Actor
) -> Changed:
    """Make it larger now, for exactly ``shown``, or smaller from the next period on.

    Conflict ``preview_changed`` when it would cost something else now, and when the add-on changed since
    ``base_version``: nothing has happened then.
    """
    had = _running(addon_id, vendor_id)
    if had.version != base_version:
        raise Conflict
    again = preview(addon_id, vendor_id, wish, at)
    if again.due != shown or again.at != at:
        raise Conflict(
            N_("The amount has changed since it was shown. Nothing was charged; look at it again, then confirm."),
            code="preview_changed",
        )
    found = purchase.offer(wish.price_id)
    if not again.is_now:
        return _plan(had, found, wish.quantity, actor)
    if had.provider in (Provider.TRANSFER, Provider.NONE):
        return _ask(had, wish, again, actor)
    if had.stripe_subscription_id is None:
        return _change_item(had, found, wish.quantity, shown, at, actor)
    return _change_own(had, found, wish.quantity, at, actor)


def _ask(had: Had, wish: Wish, shown: Figures, actor: Actor) -> Changed:
    with unit_of_work():
        addon = service.locked(had.id, had.vendor_id)
        if addon.version != had.version:
            raise Conflict
        invoice_id = changes.ask(addon, wish, shown, actor=actor, now=clock.business())
    return Changed("awaiting_payment" if invoice_id else "applied", invoice_id=invoice_id)


def _plan(had: Had, found: purchase.Offer, quantity: int, actor: Actor) -> Changed:
    """Ours is written before Stripe's, so that its event finds the plan. Rights change only with the next period."""
    if had.provider == Provider.STRIPE and had.stripe_subscription_id is None:
        item_flows.plan_item(
            had.vendor_id, str(had.stripe_item_id), str(found.stripe_price_id), quantity, key=_key(had, "plan")
        )
        sync_items(had.vendor_id, actor=actor)
        return Changed("planned")
    now = clock.business()
    with unit_of_work():
        addon = service.locked(had.id, had.vendor_id)
        service.plan(addon, found.price_id, quantity, actor=actor, now=now)
        if had.provider == Provider.TRANSFER:
            transfers.refresh(lock(had.vendor_id), now=now)
    if had.provider == Provider.STRIPE:
        _price_next(had, found.stripe_price_id, quantity)
    return Changed("planned")


def _price_next(had: Had, stripe_price_id: str | None, quantity: int) -> None:
    """From its next invoice on Stripe asks for this; nothing is charged or credited for the running period."""
    key = _key(had, "next")
    params = {"items": [{"id": had.stripe_item_id, "price": stripe_price_id, "quantity": quantity}],
              "proration_behavior": "none"}  # fmt: skip
    stripe.current().subscription_update(str(had.stripe_subscription_id), params, key)


def undo_plan(addon_id: int, vendor_id: int, *, actor: Actor) -> None:
    """Keep it as it is: what was planned for the next period does not happen. Again changes nothing."""
    had = _running(addon_id, vendor_id)
    if had.next_quantity is None:
        return
    if had.provider == Provider.STRIPE and had.stripe_subscription_id is None:
        item_flows.keep_item(vendor_id, str(had.stripe_item_id), key=_key(had, "keep"))
        sync_items(vendor_id, actor=actor)
        return
    if had.provider == Provider.STRIPE and had.price_id:
        _price_next(had, purchase.offer(had.price_id).stripe_price_id, had.quantity)
    now = clock.business()
    with unit_of_work():
        service.plan(service.locked(addon_id, vendor_id), None, None, actor=actor, now=now)
        if had.provider == Provider.TRANSFER:
            transfers.refresh(lock(vendor_id), now=now)


def _change_item(had: Had, found: purchase.Offer, quantity: int, shown: Money, at: datetime, actor: Actor) -> Changed:
    outcome = item_flows.change_item(
        had.vendor_id, str(had.stripe_item_id), str(found.stripe_price_id), quantity,
        key=f"addon-change-{had.id}-{had.version}", at=at, shown=shown, now=clock.business(),
    )  # fmt: skip
    sync_items(had.vendor_id, actor=actor)
    waits = outcome.state == ItemState.AWAITING_PAYMENT
    return Changed("awaiting_payment", outcome.pay_url) if waits else Changed("applied")


def _change_own(had: Had, found: purchase.Offer, quantity: int, at: datetime, actor: Actor) -> Changed:
    end_reading()
    params = {**_wanted(had, found, quantity, at), "payment_behavior": "pending_if_incomplete"}
    stripe.current().subscription_update(
        str(had.stripe_subscription_id), params, f"addon-change-{had.id}-{had.version}"
    )
    sync(had.vendor_id, str(had.stripe_subscription_id), actor=actor)
    own, invoice = fetch(str(had.stripe_subscription_id))
    if own.pending_until is not None:
        return Changed("awaiting_payment", invoice.hosted_url if invoice else None)
    return Changed("applied")
