"""What an event leads to. Its body is a hint: the present object is fetched and mirrored, in any order and number."""

from collections.abc import Callable
from typing import Any

from portal.addons import flows as addon_flows
from portal.addons import queries as addons
from portal.billing import dispute_flows, methods, note_flows, refund_flows
from portal.checkout import addon_flows as addon_orders
from portal.checkout import flows as checkout
from portal.checkout import method_flows
from portal.checkout import queries as orders
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit import clock
from portal.kit.errors import NotFound
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.stripe_events import service
from portal.stripe_events.service import part
from portal.subscriptions import flows as subscriptions
from portal.subscriptions import queries as held
from portal.subscriptions.queries import Overview
from portal.subscriptions.remote import credit_of, id_of
from portal.subscriptions.rules import Provider

#: (state, vendor's id or None, why it was ignored)
Outcome = tuple[str, int | None, str | None]
Document = dict[str, Any]


def handle(stripe_event_id: str) -> None:
    """Act on a stored event; what it leads to is repeatable, so a crash in between costs nothing.

    Stripe tells of one change in several events. Those that waited already when the present object is fetched, and that
    would lead to the very same calls, are settled with it.
    """
    event = service.stored(stripe_event_id)
    if event.state in service.SETTLED:
        return
    alike = _alike(event)
    end_reading()
    try:
        state, vendor_id, why = _outcome(event.kind, event.subject)
    except Exception as error:
        with unit_of_work():
            service.settle(
                stripe_event_id, "failed", now=clock.business(), error=f"{type(error).__name__}: {error}"[:500]
            )
        raise
    with unit_of_work():
        service.settle(stripe_event_id, state, now=clock.business(), vendor_id=vendor_id, error=why)
        if state == "handled":
            service.settle_alike(alike, vendor_id, now=clock.business())


def _alike(event: service.Stored) -> list[service.Stored]:
    told = hints(event.kind, event.subject)
    if told is None:
        return []
    return [other for other in service.waiting_about(event) if hints(other.kind, other.subject) == told]


def hints(kind: str, subject: Document) -> tuple[Any, ...] | None:
    """Everything that acting on an event takes from it; None for kinds that are acted on one by one."""
    if kind.startswith("customer.subscription."):
        order = part(subject, "metadata").get("order")
        return "subscription", subject.get("id"), id_of(subject.get("customer")), order, _pays(subject)
    if kind.startswith("invoice."):
        details = part(subject, "parent", "subscription_details")
        order = part(details, "metadata").get("order")
        return "invoice", subject.get("id"), id_of(details.get("subscription")), id_of(subject.get("customer")), order
    return None


def _pays(subject: Document) -> str | None:
    return id_of(subject.get("default_payment_method"))


def _outcome(kind: str, subject: Document) -> Outcome:
    try:
        return _route(kind)(subject)
    except NotFound as error:
        if error.code != "stripe_missing":
            raise
        return "ignored", None, "not known to Stripe"


def _route(kind: str) -> Callable[[Document], Outcome]:
    routes: tuple[tuple[str, Callable[[Document], Outcome]], ...] = (
        ("checkout.session.", _session),
        ("customer.subscription.", _subscription),
        ("subscription_schedule.", _schedule),
        ("invoice.", _invoice),
        ("invoice_payment.", _invoice_payment),
        ("payment_method.", _payment_method),
        ("setup_intent.", _kept_card),
        ("customer.updated", _customer),
        ("charge.refund", _money_back),
        ("refund.", _money_back),
        ("charge.dispute.", _dispute),
        ("credit_note.", _credit_note),
    )
    return next(
        (route for prefix, route in routes if kind.startswith(prefix)), lambda _: ("ignored", None, "not needed")
    )


def _session(subject: Document) -> Outcome:
    order = orders.by_session(str(subject.get("id"))) or _order_named(subject.get("client_reference_id"))
    if order is None or order.stripe_session_id not in (None, subject.get("id")):
        return "ignored", None, "no order of ours"
    if order.stripe_session_id is None:
        checkout.remember_session(order.id, str(subject["id"]))
    checkout.fulfil(order.id)
    return "handled", order.vendor_id, None


def _order_named(reference: Any) -> orders.OrderView | None:
    if not isinstance(reference, str) or not reference.isascii() or not reference.isdigit() or len(reference) > 18:
        return None
    return orders.order(int(reference))


def _subscription(subject: Document) -> Outcome:
    outcome = follow(id_of(subject.get("id")), id_of(subject.get("customer")), part(subject, "metadata"))
    state, vendor_id, _why = outcome
    chosen = _pays(subject)
    if state == "handled" and vendor_id and chosen and methods.default_of(vendor_id) != chosen:
        method_flows.mirror(vendor_id)
    return outcome


def _payment_method(subject: Document) -> Outcome:
    """Attached, detached (then it names no customer any more), or changed by its owner or bank."""
    customer = identity.vendor_by_customer(str(id_of(subject.get("customer"))))
    vendor_id = customer.id if customer else methods.owner_of(str(subject.get("id")))
    return _mirror_methods(vendor_id)


def _kept_card(subject: Document) -> Outcome:
    customer = identity.vendor_by_customer(str(id_of(subject.get("customer"))))
    return _mirror_methods(customer.id if customer else None)


def _customer(subject: Document) -> Outcome:
    """Told for much that is not kept here: only another default method or balance leads to Stripe."""
    customer = identity.vendor_by_customer(str(subject.get("id")))
    if customer is None:
        return "ignored", None, "unknown customer"
    outcome: Outcome = _balance(customer.id, subject)
    chosen = id_of(part(subject, "invoice_settings").get("default_payment_method"))
    return outcome if chosen is None or chosen == methods.default_of(customer.id) else _mirror_methods(customer.id)


def _balance(vendor_id: int, subject: Document) -> Outcome:
    overview = held.overview(vendor_id)
    if overview is not None and overview.provider == Provider.TRANSFER:
        return _left_behind(vendor_id, overview, subject)
    ours = held.held(vendor_id).stripe_subscription_id if overview else None
    if ours is None or overview is None or overview.on_balance is None:
        return "ignored", vendor_id, "nothing that is kept here"
    if credit_of(subject, overview.on_balance.currency) in (None, overview.on_balance.minor):
        return "ignored", vendor_id, "nothing that is kept here"
    return follow(ours, id_of(subject.get("id")), None)


def _left_behind(vendor_id: int, overview: Overview, subject: Document) -> Outcome:
    """The balance of who paid by card before, and pays by transfer now."""
    kept, price = overview.left_at_stripe, overview.amount
    if price is None or credit_of(subject, price.currency) in (None, kept.minor if kept else 0):
        return "ignored", vendor_id, "nothing that is kept here"
    end_reading()
    subscriptions.follow_balance(vendor_id, price.currency)
    return "handled", vendor_id, None


def _money_back(subject: Document) -> Outcome:
    """A refund, or a charge of which something went back; whoever asked for it."""
    reference = id_of(subject.get("payment_intent")) or id_of(subject.get("charge")) or str(subject.get("id"))
    vendor_id = refund_flows.follow(reference) or (refund_flows.follow(reference) if _payment(reference) else None)
    return ("handled", vendor_id, None) if vendor_id else ("ignored", None, "no payment of ours")


def _dispute(subject: Document) -> Outcome:
    vendor_id, reference = dispute_flows.follow(str(subject.get("id")))
    if vendor_id is None and _payment(reference):
        vendor_id, _reference = dispute_flows.follow(str(subject.get("id")))
    return ("handled", vendor_id, None) if vendor_id else ("ignored", None, "no payment of ours")


def _credit_note(subject: Document) -> Outcome:
    """One that was written or voided in Stripe's dashboard; its invoice may not have come yet."""
    invoice_id = str(id_of(subject.get("invoice")))
    vendor_id = note_flows.follow(invoice_id)
    if vendor_id is None and _invoice(stripe.current().invoice(invoice_id))[0] == "handled":
        vendor_id = note_flows.follow(invoice_id)
    return ("handled", vendor_id, None) if vendor_id else ("ignored", None, "no invoice of ours")


def _payment(reference: str) -> bool:
    """A payment that we do not know yet may belong to an invoice whose own event is late; True when it does."""
    if not reference.startswith("pi_"):
        return False
    invoice_id = stripe.current().invoice_of_payment(reference)
    return invoice_id is not None and _invoice(stripe.current().invoice(invoice_id))[0] == "handled"


def _mirror_methods(vendor_id: int | None) -> Outcome:
    if vendor_id is None:
        return "ignored", None, "unknown customer"
    method_flows.mirror(vendor_id)
    return "handled", vendor_id, None


def _schedule(subject: Document) -> Outcome:
    subscription_id = id_of(subject.get("subscription")) or id_of(subject.get("released_subscription"))
    return follow(subscription_id, id_of(subject.get("customer")), None)


def _invoice(subject: Document) -> Outcome:
    details = part(subject, "parent", "subscription_details")
    held_by, customer_id = id_of(details.get("subscription")), id_of(subject.get("customer"))
    return follow(held_by, customer_id, part(details, "metadata"), id_of(subject.get("id")))


def _invoice_payment(subject: Document) -> Outcome:
    invoice_id = id_of(subject.get("invoice"))
    if invoice_id is None:
        return "ignored", None, "no invoice"
    return _invoice(stripe.current().invoice(invoice_id))


def follow(
    subscription_id: str | None, customer_id: str | None, metadata: Document | None, invoice_id: str | None = None
) -> Outcome:
    """Mirror a subscription (and one invoice of it). One that we do not hold yet may belong to a paid order."""
    if subscription_id is None:
        return "ignored", None, "no subscription"
    vendor_id = held.vendor_of(subscription_id) or addons.vendor_of(subscription_id)
    if vendor_id is None:
        customer = identity.vendor_by_customer(customer_id) if customer_id else None
        if customer is None:
            return "ignored", None, "unknown customer"
        vendor_id = customer.id
        if invoice_id and subscriptions.follow_former(vendor_id, subscription_id, invoice_id):
            return "handled", vendor_id, None
        order = _order_named((metadata or {}).get("order"))
        if order is None or order.vendor_id != vendor_id:
            return "ignored", vendor_id, "not the vendor's subscription"
        checkout.fulfil(order.id)
    if subscriptions.sync(vendor_id, subscription_id, invoice_id):
        if addons.has_items(vendor_id) or orders.waits_for_item(vendor_id):
            addon_orders.carry_on(vendor_id)
        return "handled", vendor_id, None
    if addon_flows.sync(vendor_id, subscription_id, invoice_id):
        return "handled", vendor_id, None
    return "ignored", vendor_id, "not the vendor's subscription"
