"""Where Stripe and the portal say different things about a vendor. Reads both, changes neither."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from portal.addons import queries as addons
from portal.billing.models import Invoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.checkout import queries as orders
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.money import Money, minor_digits
from portal.kit.unit_of_work import end_reading
from portal.stripe_events import compare_addons, compare_money
from portal.stripe_events.difference import Difference
from portal.subscriptions import changes, remote
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.queries import Held
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import ChangeState, Provider, Status, effective_status

Document = dict[str, Any]
#: Subscriptions of Stripe's that are over mean nothing where the portal never held them.
OVER = frozenset({"canceled", "incomplete_expired"})


@dataclass(frozen=True, slots=True)
class Tariff:
    """A price in few words."""

    tier: str
    amount: Money
    cycle: Cycle

    def __str__(self) -> str:
        return f"{self.tier}, {plain_amount(self.amount)} {self.cycle}"


def plain_amount(amount: Money) -> str:
    """For logs and the command line."""
    return f"{Decimal(amount.minor).scaleb(-minor_digits(amount.currency))} {amount.currency}"


@dataclass(frozen=True, slots=True)
class Ours:
    """What we hold of a vendor, read before Stripe is asked."""

    customer_id: str
    held: Held | None
    tariff: Tariff | None
    card: Mapping[str, Any] | None
    change: ChangeState | None
    past: frozenset[str]
    own_addons: frozenset[str]
    invoices: Mapping[str, tuple[str | None, str, int, int, str, bool]]
    credited: Mapping[str, int]


def compare(vendor_id: int) -> list[Difference]:
    """Every field that differs, in the order in which people read them; nothing is written.

    Six requests at most where no order is open: the customer's subscriptions, one that the list left out, its
    invoices, charges and payment methods, and the customer itself. Raises what the gateway raises.
    """
    found = identity.vendor(vendor_id)
    if found is None or found.stripe_customer_id is None:
        return []
    ours, waiting = _ours(vendor_id, found.stripe_customer_id), orders.open_of(vendor_id)
    for_addons = orders.open_of(vendor_id, "addon")
    end_reading()
    gateway = stripe.current()
    documents = gateway.subscriptions(ours.customer_id)
    invoices = gateway.invoices(ours.customer_id)
    return [
        *_orders([order for order in [*waiting, *for_addons] if order.stripe_session_id]),
        *_subscription(ours, documents, [str(order.id) for order in waiting], {str(order.id) for order in for_addons}),
        *_left_behind(ours),
        *compare_addons.of_addons(vendor_id, _tiers(ours, documents), documents),
        *_invoices(ours, list(reversed(invoices))),
        *compare_money.of_money_back(vendor_id, ours.customer_id),
        *compare_money.of_methods(vendor_id, ours.customer_id, _charged(ours, documents)),
    ]


def _tiers(ours: Ours, documents: list[Document]) -> Remote | None:
    """The subscription of the tier, as Stripe's list has it."""
    found = _charged(ours, documents)
    return remote.read(found, ours.held.stripe_item_id if ours.held else None) if found else None


def _charged(ours: Ours, documents: list[Document]) -> Document | None:
    """The subscription that is charged. What is over pays for nothing: its card is no default, nor mirrored as one."""
    kept = ours.held.stripe_subscription_id if ours.held else None
    return next((each for each in documents if each["id"] == kept and each["status"] not in OVER), None)


def _ours(vendor_id: int, customer_id: str) -> Ours:
    present = subscriptions.held(vendor_id) if subscriptions.version(vendor_id) is not None else None
    overview = subscriptions.overview(vendor_id)
    tariff = None
    if overview and overview.amount and overview.cycle:
        tariff = Tariff(overview.tier_name, overview.amount, overview.cycle)
    change = changes.under_way(present.id) if present else None
    rows = list(db.session.execute(
        select(
            Invoice.stripe_invoice_id, Invoice.number, Invoice.status, Invoice.total_minor, Invoice.paid_minor,
            Invoice.currency, Invoice.applied_at, Invoice.credited_minor,
        ).where(Invoice.vendor_id == vendor_id, Invoice.stripe_invoice_id.is_not(None))
    ))  # fmt: skip
    invoices = {str(r[0]): (r[1], str(r[2]), r[3], r[4], r[5], r[6] is not None) for r in rows}
    return Ours(
        customer_id, present, tariff, overview.payment_method if overview else None,
        ChangeState(change.state) if change else None, _ever_held(vendor_id),
        addons.subscriptions_of(vendor_id), invoices, {str(r[0]): r[7] for r in rows},
    )  # fmt: skip


def _ever_held(vendor_id: int) -> frozenset[str]:
    mine = select(VendorSubscription.stripe_subscription_id).where(VendorSubscription.vendor_id == vendor_id)
    return frozenset(ident for ident in db.session.scalars(mine) if ident)


def _orders(waiting: list[orders.OrderView]) -> Iterator[Difference]:
    for order in waiting:
        session = stripe.current().checkout_session(str(order.stripe_session_id))
        paid = session["status"] == "complete" and session["payment_status"] != "unpaid"
        theirs = "paid" if paid else "expired" if session["status"] == "expired" else "open"
        if theirs != "open":
            yield Difference("order", "open", theirs, str(order.id), str(order.id))


def _subscription(
    ours: Ours, documents: list[Document], waiting: list[str], for_addons: set[str]
) -> Iterator[Difference]:
    kept = ours.held.stripe_subscription_id if ours.held else None
    mine = next((each for each in documents if each["id"] == kept), None)
    if kept and mine is None:
        try:
            mine = stripe.current().subscription(kept)
        except NotFound:
            yield Difference("subscription", kept, None, kept, repairable=False)
    for document in documents:
        named = (document.get("metadata") or {}).get("order")
        if document["id"] == kept or document["id"] in ours.past or document["status"] in OVER:
            continue
        if document["id"] in ours.own_addons or named in for_addons:  # the order itself differs, and brings it
            continue
        if kept is None and mine is None and named in waiting:
            mine = document
            yield Difference("subscription", None, document["id"], document["id"])
        else:
            yield Difference("other_subscription", None, document["status"], document["id"], repairable=False)
    if mine is not None:
        yield from _fields(ours, remote.read(mine, ours.held.stripe_item_id if ours.held else None))


def _fields(ours: Ours, there: Remote) -> Iterator[Difference]:
    held = ours.held
    theirs_tariff, known = _tariff(there.stripe_price_id)
    pairs: list[tuple[str, Any, Any]] = [
        ("status", held.status if held else None, _status(there, held)),
        ("price", ours.tariff, theirs_tariff),
        ("period_start", held.period_start if held else None, there.period_start),
        ("period_end", held.period_end if held else None, there.period_end),
        ("trial_ends_at", held.trial_ends_at if held else None, there.trial_end),
        ("cancel_at_period_end", held.cancel_at_period_end if held else None, there.leaving),
        ("cancel_at", held.cancel_at if held else None, there.ends_elsewhere),
        ("schedule", held.stripe_schedule_id if held else None, there.schedule_id),
    ]
    if there.card:
        pairs.append(("card", ours.card, there.card.shown()))
    if there.credit_minor is not None:
        currency = there.unit.currency
        kept = Money(held.stripe_credit_minor if held else 0, currency)
        pairs.append(("customer_balance", kept, Money(there.credit_minor, currency)))
    if ours.change == ChangeState.AWAITING_PAYMENT and not there.pending_update:
        pairs.append(("change", "awaiting_payment", "nothing"))
    for field, before, after in pairs:
        if before != after:
            yield Difference(field, before, after, there.id, repairable=known)


def _left_behind(ours: Ours) -> Iterator[Difference]:
    """The customer's balance where no subscription tells it: its vendor pays by transfer now."""
    if ours.held is None or ours.held.provider != Provider.TRANSFER or ours.tariff is None:
        return
    currency = ours.tariff.amount.currency
    theirs = remote.credit_of(stripe.current().customer(ours.customer_id), currency)
    if theirs is not None and theirs != ours.held.stripe_credit_minor:
        before, after = Money(ours.held.stripe_credit_minor, currency), Money(theirs, currency)
        yield Difference("customer_balance", before, after, ours.customer_id)


def _status(there: Remote, held: Held | None) -> Status:
    return effective_status(there.status, held.status if held else Status.TRIAL)


def _tariff(stripe_price_id: str) -> tuple[Tariff | str, bool]:
    """The price in words, and does the catalog know it? One that it does not know cannot be followed."""
    price = catalog.price_by_stripe_id(stripe_price_id)
    tier = catalog.tier_by_id(price.tier_id) if price else None
    end_reading()
    if price is None or tier is None:
        return stripe_price_id, False
    return Tariff(tier.name, price.amount, price.cycle), True


def _invoices(ours: Ours, documents: list[Document]) -> Iterator[Difference]:
    """Those of a subscription that is ours, or is about to become ours; oldest first."""
    for document in documents:
        details = (document.get("parent") or {}).get("subscription_details") or {}
        if not details.get("subscription"):
            continue
        ident, label = document["id"], document.get("number") or document["id"]
        number, status, total, paid, currency, applied = ours.invoices.get(ident, (None, None, 0, 0, "", False))
        theirs = document["currency"].upper()
        pairs: list[tuple[str, Any, Any]] = [("invoice", status, document["status"])]
        if status is not None:
            pairs += [
                ("invoice_total", Money(total, currency), Money(document["total"], theirs)),
                ("invoice_paid", Money(paid, currency), Money(document["amount_paid"], theirs)),
            ]
        if status == document["status"] == "paid" and not applied:
            pairs.append(("invoice_rights", "waiting", "paid"))
        credited = document["pre_payment_credit_notes_amount"] + document["post_payment_credit_notes_amount"]
        pairs.append(("credited", Money(ours.credited.get(ident, 0), theirs), Money(credited, theirs)))
        for field, before, after in pairs:
            if before != after:
                yield Difference(field, before, after, ident, str(number or label))
