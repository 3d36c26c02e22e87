"""Payment methods at Stripe: added on its own page, chosen, removed, and paid with; mirrored as Stripe has them now."""

from dataclasses import dataclass
from typing import Any

from portal.accounts import flows as accounts
from portal.audit import service as audit
from portal.billing import method_rules, methods
from portal.billing import queries as billing
from portal.billing.methods import Method
from portal.billing.queries import InvoiceRow
from portal.billing.rules import InvoiceStatus
from portal.checkout.flows import Addresses
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit import clock
from portal.kit.actor import STRIPE, Actor
from portal.kit.errors import Conflict, NotFound, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import flows as subscriptions
from portal.subscriptions import queries as held
from portal.subscriptions.history import lock_if_any
from portal.subscriptions.remote import id_of
from portal.subscriptions.rules import Provider, Status

#: How often a fetch is repeated because our rows changed while Stripe was answering.
PATIENCE = 5
#: A subscription in these states is going to be charged, so it needs something to be charged to.
CHARGED = frozenset({Status.ACTIVE, Status.PAST_DUE, Status.SUSPENDED})


@dataclass(frozen=True, slots=True)
class Holder:
    """The vendor at Stripe: its customer, and the subscription that is charged if there is one."""

    customer_id: str
    subscription_id: str | None


def _holder(vendor_id: int) -> Holder | None:
    vendor = identity.vendor(vendor_id)
    if vendor is None or vendor.stripe_customer_id is None:
        return None
    if held.version(vendor_id) is None:
        return Holder(vendor.stripe_customer_id, None)
    ours = held.held(vendor_id)
    charged = ours.provider == Provider.STRIPE and ours.status in CHARGED
    return Holder(vendor.stripe_customer_id, ours.stripe_subscription_id if charged else None)


def mirror(vendor_id: int) -> bool:
    """Make our rows equal to what Stripe keeps now; True when anything differed. Can be repeated and run in parallel.

    What pays is the subscription's own method, else the customer's default. Because the fetch lies outside the
    transaction, it is repeated when our rows changed meanwhile, so that an older answer never overwrites a newer one.
    """
    for _ in range(PATIENCE):
        holder, before = _holder(vendor_id), methods.of_vendor(vendor_id)
        end_reading()
        if holder is None:
            return False
        found, default = _fetch(holder)
        with unit_of_work():
            lock_if_any(vendor_id)
            if methods.of_vendor(vendor_id) != before:
                continue
            differed = methods.keep(vendor_id, found, default, now=clock.business())
        if differed and holder.subscription_id:
            subscriptions.sync(vendor_id, holder.subscription_id)
        return differed
    raise Conflict


def _fetch(holder: Holder) -> tuple[list[method_rules.Kept], str | None]:
    gateway = stripe.current()
    customer = gateway.customer(holder.customer_id)
    own = None
    if holder.subscription_id:
        own = id_of(gateway.subscription(holder.subscription_id).get("default_payment_method"))
    found = [method_rules.read(each) for each in gateway.payment_methods(holder.customer_id)]
    return found, own or id_of((customer.get("invoice_settings") or {}).get("default_payment_method"))


# adding ---------------------------------------------------------------------------------------------------------------
def add(vendor_id: int, addresses: Addresses) -> str:
    """The address of Stripe's page that asks for a card; nothing is charged there.

    Each call opens a page of its own: one that nobody uses simply expires, so no key of ours is needed.
    """
    customer_id = accounts.ensure_customer(vendor_id)
    params = {
        "mode": "setup",
        "customer": customer_id,
        "allowed_payment_method_types": ["card"],
        "success_url": addresses.success,
        "cancel_url": addresses.cancel,
        "setup_intent_data": {"metadata": {"vendor": str(vendor_id)}},
    }
    return str(stripe.current().setup_open(params)["url"])


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a page that asked for a card. ``method`` is None while nothing was entered (or Stripe is silent);
    ``unpaid`` is an invoice of Stripe's that the new card could pay.
    """

    asked: bool
    method: Method | None
    unpaid: InvoiceRow | None


def added(vendor_id: int, session_id: str) -> Added:
    """Ask Stripe what became of the page. NotFound for a page of somebody else's.

    May run before or after the event. The first card of a subscription that had none becomes its default.
    """
    vendor = identity.vendor(vendor_id)
    customer_id = vendor.stripe_customer_id if vendor else None
    end_reading()
    try:
        session = stripe.current().setup_session(session_id)
    except Unavailable:
        return Added(False, None, None)
    if customer_id is None or id_of(session.get("customer")) != customer_id or session["mode"] != "setup":
        raise NotFound
    intent = session.get("setup_intent") or {}
    reference = id_of(intent.get("payment_method")) if intent.get("status") == "succeeded" else None
    if reference is None:
        return Added(True, None, None)
    mirror(vendor_id)
    found = _by_reference(vendor_id, reference)
    if found and not methods.default_of(vendor_id):
        make_default(vendor_id, found.id, actor=STRIPE)
        found = _by_reference(vendor_id, reference)
    unpaid = billing.unpaid(vendor_id)
    return Added(True, found, unpaid if unpaid and unpaid.hosted_url else None)


def _by_reference(vendor_id: int, reference: str) -> Method | None:
    return next((method for method in methods.of_vendor(vendor_id) if method.reference == reference), None)


# choosing and removing ------------------------------------------------------------------------------------------------
def make_default(vendor_id: int, method_id: int, *, actor: Actor) -> Method:
    """Let this method pay from now on: the customer's default and the subscription's own, which outranks it.

    Both writes say the same however often they are said. NotFound for another vendor's.
    """
    method, holder = methods.one(vendor_id, method_id), _holder(vendor_id)
    end_reading()
    if holder is None:
        raise NotFound
    gateway = stripe.current()
    gateway.customer_update(holder.customer_id, {"invoice_settings": {"default_payment_method": method.reference}})
    if holder.subscription_id:
        gateway.subscription_pay_with(holder.subscription_id, method.reference)
    mirror(vendor_id)
    _note(vendor_id, "billing.method_chosen", method, actor)
    return methods.one(vendor_id, method_id)


def remove(vendor_id: int, method_id: int, *, actor: Actor) -> Method:
    """Let Stripe forget a method. Conflict for the one that pays a running subscription; what that is, Stripe is asked
    first. NotFound for another vendor's, or when it is gone already.
    """
    mirror(vendor_id)
    method = methods.one(vendor_id, method_id)
    if why := kept_because(vendor_id, method):
        raise Conflict(why, code="method_in_use")
    end_reading()
    stripe.current().payment_method_detach(method.reference, f"detach-{method.id}")
    mirror(vendor_id)
    _note(vendor_id, "billing.method_removed", method, actor)
    return method


def kept_because(vendor_id: int, method: Method) -> str | None:
    """Why a method cannot be removed now, or None: a subscription that will be charged needs one."""
    holder = _holder(vendor_id)
    if holder is None or holder.subscription_id is None:
        return None
    if len(methods.of_vendor(vendor_id)) == 1:
        return N_("It is the only one, and your plan is paid with it. Add another one first.")
    if method.is_default:
        return N_("Your plan is paid with it. Choose another one for that first.")
    return None


# paying ---------------------------------------------------------------------------------------------------------------
def pay(vendor_id: int, method_id: int, invoice_id: int, *, actor: Actor) -> bool:
    """Pay an open invoice of Stripe's with this method, which pays from now on; True when the invoice is paid.

    CardRefused when the bank says no or wants its customer to confirm. The key is made of invoice, method and the
    number of attempts so far: a second click repeats the answer, a later try is a new one.
    """
    invoice = methods.payable(vendor_id, invoice_id)
    reference = invoice.reference
    if invoice.status != InvoiceStatus.OPEN:
        return invoice.status == InvoiceStatus.PAID
    method = make_default(vendor_id, method_id, actor=actor)
    gateway = stripe.current()
    end_reading()
    tried = gateway.invoice(reference)["attempt_count"]
    try:
        params = {"payment_method": method.reference}
        paid = gateway.invoice_pay(reference, f"pay-{reference}-{method.reference}-{tried}", params)
    finally:
        _catch_up(vendor_id, reference)
    return bool(paid["status"] == "paid")


def _catch_up(vendor_id: int, stripe_invoice_id: str) -> None:
    holder = _holder(vendor_id)
    if holder and holder.subscription_id:
        subscriptions.sync(vendor_id, holder.subscription_id, stripe_invoice_id)


def _note(vendor_id: int, action: str, method: Method, actor: Actor) -> None:
    with unit_of_work():
        data: dict[str, Any] = {"brand": method.brand, "last4": method.last4}
        audit.record(actor, action, vendor_id=vendor_id, data=data, now=clock.business())
