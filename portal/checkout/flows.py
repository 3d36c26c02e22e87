"""Opening a Checkout page, and asking Stripe what became of it."""

from dataclasses import dataclass
from typing import Any

from portal.accounts import flows as accounts
from portal.billing import details, refund_flows, stripe_invoice, tax
from portal.billing import service as billing
from portal.checkout import queries, service
from portal.checkout.queries import OrderView
from portal.checkout.rules import OrderState, Paid
from portal.checkout.service import Settled
from portal.gateways import stripe
from portal.gateways.stripe import StripeMismatch
from portal.identity import queries as identity
from portal.kit import clock, log
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, NotFound, PortalError, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import flows as subscriptions
from portal.subscriptions import remote
from portal.subscriptions.history import lock_if_any

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where Checkout sends the customer back to; ``success`` holds Stripe's literal {CHECKOUT_SESSION_ID}."""

    success: str
    cancel: str


def start(vendor_id: int, price_id: int, addresses: Addresses, *, actor: Actor) -> str:
    """Open (or find again) the vendor's Checkout page for this price; gives its address.

    Two clicks, or a repetition after a crash, lead to the same page: the session's idempotency key is the order's.
    Pages for other prices are closed, so that nobody pays twice.
    """
    price, tier = subscriptions.offered(price_id, vendor_id)
    can_be_taxed(vendor_id)
    customer_id = accounts.ensure_customer(vendor_id)
    others = [o for o in queries.open_of(vendor_id) if o.price_id != price_id]
    with unit_of_work():
        made = service.open_order(vendor_id, price, tier, actor=actor, now=clock.business())
    order = queries.order(made.id)
    if order is None or price.stripe_price_id is None:
        raise NotFound
    for other in others:
        close_page(other)
    if order.checkout_url:
        return order.checkout_url
    if tax.stripe_params():
        # Stripe Tax goes by the customer's country, which must be there before the page is.
        accounts.tell_legal_data(vendor_id)
    end_reading()
    params = _session(order, customer_id, price.stripe_price_id, addresses)
    session = opened(order, customer_id, params)
    with unit_of_work():
        service.session_opened(order.id, session["id"], session["url"])
    return str(session["url"])


def can_be_taxed(vendor_id: int) -> None:
    """Conflict when Stripe is to work out taxes and nobody knows yet where the vendor is."""
    if tax.stripe_params() and not details.read(vendor_id).country:
        raise Conflict(
            N_("Add your billing address first: the tax depends on the country."), code="billing_details_needed"
        )


def opened(order: OrderView, customer_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """The order's page at Stripe. Stripe repeats a 500 for its key, so after one it is looked for before giving up."""
    gateway = stripe.current()
    try:
        return gateway.checkout_create(params, f"checkout-{order.id}-{order.attempt}")
    except Unavailable:
        for session in gateway.checkout_sessions(customer_id):
            if session["client_reference_id"] == str(order.id) and session["status"] == "open":
                return session
        raise


def _session(order: OrderView, customer_id: str, stripe_price_id: str, addresses: Addresses) -> dict[str, Any]:
    subscription: dict[str, Any] = {
        "metadata": {"vendor": str(order.vendor_id), "order": str(order.id)},
        "billing_mode": {"type": "flexible"},
    }
    if order.free_until:
        subscription["trial_end"] = int(order.free_until.timestamp())
        subscription["trial_settings"] = {"end_behavior": {"missing_payment_method": "cancel"}}
    return {
        "mode": "subscription",
        "customer": customer_id,
        "client_reference_id": str(order.id),
        "line_items": [{"price": stripe_price_id, "quantity": 1}],
        "success_url": addresses.success,
        "cancel_url": addresses.cancel,
        "expires_at": int(order.expires_at.timestamp()),
        "adaptive_pricing": {"enabled": False},
        "metadata": {"order": str(order.id)},
        "subscription_data": subscription,
        **tax.stripe_params(),
    }


def close_page(order: OrderView) -> None:
    """Close a page that must not be paid any more. When it was paid meanwhile, that is fulfilled instead."""
    if order.stripe_session_id is None:
        return
    end_reading()
    try:
        stripe.current().checkout_expire(order.stripe_session_id, f"expire-{order.id}-{order.attempt}")
    except PortalError:
        fulfil(order.id)


def fulfil(order_id: int) -> OrderState:
    """Ask Stripe what became of an order's Checkout page and act on it; gives the order's state afterwards.

    May be called by the event, the success page and the reconciler, in any order and any number of times.
    """
    order = queries.order(order_id)
    if order is None:
        raise NotFound
    if order.kind == "addon":
        from portal.checkout import addon_flows  # It stands on this module: pages are opened and closed alike.

        return addon_flows.fulfil(order_id)
    if order.stripe_session_id is None or order.state in (OrderState.FULFILLED, OrderState.REFUSED):
        return order.state
    end_reading()
    session = stripe.current().checkout_session(order.stripe_session_id)
    if session["status"] == "expired":
        with unit_of_work():
            service.close(order_id, OrderState.EXPIRED)
    elif session["status"] == "complete" and session["payment_status"] != "unpaid":
        settled = _settled(session)
        with unit_of_work():
            card_used = service.fulfil(order_id, settled, now=clock.business())
        if card_used:
            _end_trial(order.vendor_id)
    after = queries.order(order_id)
    return after.state if after else order.state


def _end_trial(vendor_id: int) -> None:
    """At once, so that the page that comes next tells what was charged; where that fails, the job goes on."""
    try:
        subscriptions.end_trial_now(vendor_id)
    except PortalError as error:
        logger.info("checkout.trial_not_ended_yet", vendor=vendor_id, why=str(error))


def remember_session(order_id: int, session_id: str) -> None:
    """The page was opened but the answer was lost before it could be written down: an event tells its id."""
    with unit_of_work():
        service.session_opened(order_id, session_id, None)


def _settled(session: dict[str, Any]) -> Settled:
    gateway = stripe.current()
    found = remote.read(gateway.subscription(str(remote.id_of(session["subscription"]))))
    invoice = stripe_invoice.read(gateway.invoice(found.latest_invoice_id)) if found.latest_invoice_id else None
    return Settled(paid_for(session), found, invoice)


def paid_for(session: dict[str, Any]) -> Paid:
    """What a completed Checkout session was paid for, as Stripe says it."""
    line = session["line_items"]["data"][0]
    price = line["price"]
    return Paid(
        customer_id=remote.id_of(session.get("customer")),
        order_ref=session.get("client_reference_id"),
        stripe_price_id=price["id"],
        unit=Money(price["unit_amount"] or 0, price["currency"].upper()),
        quantity=line["quantity"] or 1,
    )


def cancel_refused(stripe_subscription_id: str) -> None:
    """A subscription whose order was refused ends at once, and what was paid for it goes back whole.

    The keys are made of what they are about, so a repetition after a crash goes on where it stopped.
    """
    end_reading()
    gateway = stripe.current()
    subscription = gateway.subscription(stripe_subscription_id)
    if subscription["status"] not in ("canceled", "incomplete_expired"):
        # Nothing is prorated: a credit beside the refund would pay it back twice.
        gateway.subscription_cancel(stripe_subscription_id, {}, f"cancel-refused-{stripe_subscription_id}")
    customer_id = str(remote.id_of(subscription["customer"]))
    vendor = identity.vendor_by_customer(customer_id)
    end_reading()
    for paid in gateway.invoices(customer_id):
        details = (paid.get("parent") or {}).get("subscription_details") or {}
        if details.get("subscription") == stripe_subscription_id and paid["amount_paid"]:
            _give_back(gateway.invoice(paid["id"]), vendor.id if vendor else None)


def _give_back(invoice: dict[str, Any], vendor_id: int | None) -> None:
    """Refund every payment of an invoice, and keep both where the vendor is known."""
    read = stripe_invoice.read(invoice)
    if vendor_id is not None:
        with unit_of_work():
            lock_if_any(vendor_id)
            billing.mirror(vendor_id, read)
    for payment in read.payments:
        params = {"payment_intent": payment.reference, "reason": "requested_by_customer"}
        try:
            stripe.current().refund_create(params, f"refund-refused-{payment.reference}")
        except StripeMismatch as error:
            logger.warning("checkout.refused_not_refunded", invoice=invoice["id"], why=str(error))
        except Unavailable:
            # Stripe repeats a 500 for its key: only a look at the payment tells what happened.
            if not stripe.current().refunds(payment.reference):
                raise
        refund_flows.follow(payment.reference)
