"""Bringing us in step with Stripe when events were lost: the same verbs as the events', asked for instead of told."""

from typing import Any

from portal.audit import service as audit
from portal.billing import dispute_flows, note_flows, refund_flows
from portal.checkout import flows as checkout
from portal.checkout import method_flows
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit import clock
from portal.kit.actor import SYSTEM, Actor
from portal.kit.money import Money
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.stripe_events import compare_money, flows
from portal.stripe_events.compare import compare, plain_amount
from portal.stripe_events.difference import Difference
from portal.subscriptions import flows as subscription_flows
from portal.subscriptions import queries as subscriptions

#: Fields that are about money that went back, and about what is paid with.
MONEY = ("refunded", "disputed", "credited", "payment_")
__all__ = ["Difference", "compare", "repair"]


def repair(vendor_id: int, *, actor: Actor = SYSTEM) -> list[Difference]:
    """Fulfil what was paid and mirror what differs; gives the differences that are gone, and audits them.

    Can be repeated at any time; the second time there is nothing to do. What cannot be followed (see Difference)
    is left as it is. Raises what the gateway raises; what was repaired until then stays repaired.
    """
    before = compare(vendor_id)
    _follow(vendor_id, [each for each in before if each.repairable])
    if not before:
        return []
    after = {(each.field, each.subject) for each in compare(vendor_id)}
    gone = [each for each in before if (each.field, each.subject) not in after]
    if gone:
        data = {"differences": [_plain(each) for each in gone]}
        with unit_of_work():
            audit.record(actor, "stripe.reconciled", vendor_id=vendor_id, data=data, now=clock.business())
    return gone


def _follow(vendor_id: int, found: list[Difference]) -> None:
    """Orders first, since they bring the subscription; then invoices, oldest first, each with its subscription."""
    for order_id in _subjects(found, "order"):
        checkout.fulfil(int(order_id))
    customer = identity.vendor(vendor_id)
    customer_id = customer.stripe_customer_id if customer else None
    end_reading()
    invoices = [ident for ident in _subjects(found, "invoice") if not ident.isdigit()]
    for ident in invoices:
        document = stripe.current().invoice(ident)
        details = (document.get("parent") or {}).get("subscription_details") or {}
        flows.follow(details.get("subscription"), customer_id, details.get("metadata"), ident)
    wanted = {each.subject for each in found if not each.field.startswith(("order", "invoice", *MONEY))} - {customer_id}
    for ident in sorted(wanted | _undecided(vendor_id)):
        flows.follow(ident, customer_id, None)
    if customer_id:
        _follow_money(vendor_id, customer_id, found)


def _follow_money(vendor_id: int, customer_id: str, found: list[Difference]) -> None:
    """What went back (of payments that were only just mirrored, too), then the payment methods."""
    if any(each.field.startswith(("invoice", "order")) for each in found):
        found = [*found, *compare_money.of_money_back(vendor_id, customer_id)]
    for ident in _subjects(found, "credited"):
        note_flows.follow(ident)
    for reference in _subjects(found, "refunded"):
        refund_flows.follow(reference)
    for reference in _subjects(found, "disputed"):
        dispute_flows.follow_payment(reference)
    for ident in compare_money.undecided(vendor_id):
        end_reading()
        dispute_flows.follow(ident)
    for left in (each for each in found if each.subject == customer_id and isinstance(each.theirs, Money)):
        subscription_flows.follow_balance(vendor_id, left.theirs.currency)
    if found:
        method_flows.mirror(vendor_id)


def _subjects(found: list[Difference], field: str) -> list[str]:
    return list(dict.fromkeys(each.subject for each in found if each.field.startswith(field)))


def _undecided(vendor_id: int) -> set[str]:
    """The subscription while a change of it is under way: mirroring is what settles that."""
    overview = subscriptions.overview(vendor_id)
    held = subscriptions.held(vendor_id) if overview and overview.pending else None
    end_reading()
    return {held.stripe_subscription_id} if held and held.stripe_subscription_id else set()


def _plain(difference: Difference) -> dict[str, Any]:
    """As the audit log keeps it."""
    about = f"{difference.field} {difference.label}".strip()
    return {"what": about, "before": text(difference.ours), "after": text(difference.theirs)}


def text(value: Any) -> str:
    """A value for logs and the command line."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return f"{value.get('brand', '')} {value.get('last4', '')}".strip()
    if isinstance(value, Money):
        return plain_amount(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
