"""Staff add something to a vendor's plan that is paid for: the card on file is charged, or a proforma is sent.

The same orders, prices and amounts as when the vendor buys it, but nobody stands at a page of Stripe's: where there is
neither a card nor payment by transfer it is refused, and nothing has happened.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from portal.addons.purchase import Way, Wish
from portal.audit import service as audit
from portal.billing import methods, tax
from portal.checkout import addon_flows, addon_orders, queries, service
from portal.checkout.addon_flows import Prospect, Started
from portal.checkout.flows import Addresses, can_be_taxed, close_page
from portal.checkout.queries import OrderView
from portal.checkout.rules import OrderState
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, Invalid, PortalError
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import queries as subscriptions
from portal.subscriptions import remote as tier
from portal.subscriptions.flows import figures
from portal.subscriptions.history import lock, note

REASON_MAX = 500
NO_WAY_TO_PAY = N_(
    "There is no card on file and the vendor does not pay by transfer, so nothing can be charged. It can buy this on "
    "its own add-ons page, or you give it for free."
)


def prospect(vendor_id: int, wish: Wish, at: datetime | None = None) -> Prospect:
    """What this costs the vendor now, to the cent and with its taxes; nobody is charged.

    Raises what ``addon_flows.prospect`` raises, and Conflict ``no_way_to_pay``.
    """
    found = addon_flows.prospect(vendor_id, wish, at)
    if found.way != Way.OWN:
        return found
    if found.offer.stripe_price_id is None:
        raise Conflict(N_("Stripe does not know this price yet. Please try again in a few minutes."), code="not_pushed")
    card, held = _card(vendor_id), subscriptions.held(vendor_id)
    if card is None or held.stripe_customer_id is None:
        raise Conflict(NO_WAY_TO_PAY, code="no_way_to_pay")
    can_be_taxed(vendor_id)
    end_reading()
    items = [{"price": found.offer.stripe_price_id, "quantity": wish.quantity}]
    shown = stripe.current().invoice_preview(
        {"customer": held.stripe_customer_id, "subscription_details": {"items": items}, **tax.stripe_params()}
    )
    return replace(found, **figures(shown))


def _card(vendor_id: int) -> str | None:
    """What the plan is paid with: Checkout keeps it with the subscription, not always with the customer."""
    held = subscriptions.held(vendor_id)
    own = None
    if held.stripe_subscription_id is not None:
        end_reading()
        own = tier.id_of(stripe.current().subscription(held.stripe_subscription_id).get("default_payment_method"))
    return own or methods.default_of(vendor_id)


def charge(vendor_id: int, wish: Wish, *, shown: Money, at: datetime, reason: str, actor: Actor) -> Started:
    """Let the vendor pay for it as it was shown; ``Started.url`` is where its bank wants a confirmation, if it does.

    Conflict ``preview_changed`` when it costs something else now, CardRefused when the card was refused: nothing has
    happened then. Two clicks lead to one order. The reason stands in history and audit log.
    """
    check_reason(reason)
    again = prospect(vendor_id, wish, at)
    if again.due != shown:
        raise Conflict(
            N_("The amount has changed since it was shown. Nothing was charged; look at it again, then confirm."),
            code="preview_changed",
        )
    if again.way == Way.OWN:
        started = _charge_card(vendor_id, wish, again, actor)
    else:
        nowhere = Addresses("", "")  # neither way leads to a page
        started = addon_flows.buy(vendor_id, wish, nowhere, shown=shown, at=at, actor=actor)
    _note(vendor_id, again, reason, actor)
    return started


def check_reason(reason: str) -> None:
    """Invalid at the field ``reason`` unless there is one of at most 500 characters."""
    if not reason.strip():
        raise Invalid(fields={"reason": N_("Say why, so that colleagues understand it later.")})
    if len(reason) > REASON_MAX:
        raise Invalid(fields={"reason": N_("Use at most 500 characters.")})


def _note(vendor_id: int, shown: Prospect, reason: str, actor: Actor) -> None:
    now = clock.business()
    told: dict[str, Any] = {
        "addon": shown.offer.product.name, "detail": shown.offer.variant, "minor": shown.due.minor,
        "currency": shown.due.currency, "way": str(shown.way),
    }  # fmt: skip
    with unit_of_work():
        note(lock(vendor_id), "addon_charged", actor=actor, now=now, reason=reason, **told)
        audit.record(actor, "addon.charged", vendor_id=vendor_id, data={**told, "reason": reason}, now=now)


def _charge_card(vendor_id: int, wish: Wish, shown: Prospect, actor: Actor) -> Started:
    """A subscription of its own, paid at once by the card on file. The order's number is the key."""
    card, customer_id = _card(vendor_id), subscriptions.held(vendor_id).stripe_customer_id
    order = _order(vendor_id, wish, shown, actor)
    params = {
        "customer": customer_id,
        "items": [{"price": shown.offer.stripe_price_id, "quantity": shown.quantity}],
        "billing_mode": {"type": "flexible"},
        "metadata": {"vendor": str(vendor_id), "order": str(order.id), "kind": "addon"},
        "default_payment_method": card,
        "payment_behavior": "error_if_incomplete",
        **tax.stripe_params(),
    }
    end_reading()
    try:
        stripe.current().subscription_create(params, f"addon-order-{order.id}")
    except PortalError as error:
        if error.status != 503:  # Stripe said no: nobody waits for it. Without an answer the order stays open.
            with unit_of_work():
                service.close(order.id, OrderState.CANCELLED)
            raise
        if addon_flows.fulfil(order.id) != OrderState.FULFILLED:
            raise
    return Started(order.id, addon_flows.fulfil(order.id))


def _order(vendor_id: int, wish: Wish, shown: Prospect, actor: Actor) -> OrderView:
    """A page that the vendor has open for the same is closed first, so that it is not paid twice."""
    before = {order.id: order for order in queries.open_of(vendor_id, "addon") if order.stripe_session_id}
    for order in before.values():
        if queries.item(order.id).addon_price_id == wish.price_id:
            close_page(order)
            with unit_of_work():
                service.close(order.id, OrderState.CANCELLED)
    with unit_of_work():
        made = addon_orders.open_order(vendor_id, shown.offer, wish, Way.OWN, actor=actor, now=clock.business())
    found = queries.order(made.id)
    assert found is not None
    return found
