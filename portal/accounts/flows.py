"""The vendor's Stripe customer: made once, before the first Checkout at the latest."""

from datetime import timedelta
from typing import Any

from portal.accounts import service
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.identity.models import Vendor
from portal.kit import clock, tenancy
from portal.kit.errors import NotFound, Unavailable
from portal.kit.unit_of_work import end_reading, unit_of_work

#: Stripe keeps an idempotency key, and what it answered first, for at least a day; looked back for a little longer.
KEYS_LIVE = timedelta(days=2)
#: Keys that one call tries: a key whose first answer was a 500 answers nothing else for a day.
TRIES = 3


def ensure_customer(vendor_id: int) -> str:
    """The id of the vendor's Stripe customer, made if there is none yet. Can be repeated and run twice at once.

    The idempotency key is made from the vendor, so Stripe answers every repetition with the same customer. Name and
    address may change between two tries, and a key accepts no other parameters, so they follow by an update.
    StripeNotConfigured without a key, Unavailable when Stripe does not answer.
    """
    vendor = identity.vendor(vendor_id)
    if vendor is None:
        raise NotFound
    if vendor.stripe_customer_id:
        return vendor.stripe_customer_id
    with tenancy.scoped(vendor_id):
        owner = identity.owner(vendor_id)
    end_reading()
    customer_id = _made(vendor_id)
    stripe.current().customer_update(customer_id, _known(vendor, owner.email))
    with unit_of_work():
        return service.keep_customer(vendor_id, customer_id)


def _made(vendor_id: int) -> str:
    """Make the customer. Stripe repeats a 500 for its key, so after one the customer is looked for, and where none was
    made the next key is tried. No answer at all leaves open what happened: then nothing more is tried.
    """
    gateway, params = stripe.current(), {"metadata": {"vendor_id": str(vendor_id)}}
    for number in range(1, TRIES + 1):
        key = f"customer-{vendor_id}" if number == 1 else f"customer-{vendor_id}-{number}"
        try:
            return str(gateway.customer_create(params, key)["id"])
        except Unavailable as error:
            if found := _made_before(vendor_id):
                return found
            if not error.params.get("answered") or number == TRIES:
                raise
    raise Unavailable


def _made_before(vendor_id: int) -> str | None:
    since = clock.business() - KEYS_LIVE
    for customer in stripe.current().customers_since(int(since.timestamp())):
        if (customer.get("metadata") or {}).get("vendor_id") == str(vendor_id):
            return str(customer["id"])
    return None


def tell_address(user_id: int) -> None:
    """Give Stripe the present name and address of every vendor that this person owns; can be repeated."""
    for vendor_id in identity.owned_by(user_id):
        tell_legal_data(vendor_id)


def tell_legal_data(vendor_id: int) -> None:
    """Give Stripe what its invoices must say about a vendor, and where they go; can be repeated.

    The VAT number goes along as metadata: Stripe's own tax ids are a list that we would have to keep in step.
    """
    vendor = identity.vendor(vendor_id)
    with tenancy.scoped(vendor_id):
        owner = identity.owner(vendor_id)
    end_reading()
    if vendor and vendor.stripe_customer_id and stripe.is_configured():
        stripe.current().customer_update(vendor.stripe_customer_id, _known(vendor, owner.email))


def _known(vendor: Vendor, email: str) -> dict[str, Any]:
    address = vendor.address or {}
    known: dict[str, Any] = {"name": vendor.legal_name or vendor.name, "email": address.get("email") or email}
    if address.get("country"):
        names = {"line1": "street", "postal_code": "postcode", "city": "city", "country": "country"}
        known["address"] = {theirs: address[ours] for theirs, ours in names.items() if address.get(ours)}
        known["metadata"] = {"vendor_id": str(vendor.id), "vat_id": vendor.vat_id or ""}
    return known
