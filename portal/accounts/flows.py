"""The vendor's Stripe customer: made once, before the first Checkout at the latest."""

from portal.accounts import service
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit import tenancy
from portal.kit.errors import NotFound
from portal.kit.unit_of_work import end_reading, unit_of_work


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
    params = {"metadata": {"vendor_id": str(vendor_id)}}
    customer = stripe.current().customer_create(params, f"customer-{vendor_id}")
    stripe.current().customer_update(customer["id"], {"name": vendor.name, "email": owner.email})
    with unit_of_work():
        return service.keep_customer(vendor_id, customer["id"])


def tell_address(user_id: int) -> None:
    """Give Stripe the present name and address of every vendor that this person owns; can be repeated."""
    for vendor_id in identity.owned_by(user_id):
        vendor = identity.vendor(vendor_id)
        with tenancy.scoped(vendor_id):
            owner = identity.owner(vendor_id)
        end_reading()
        if vendor and vendor.stripe_customer_id and stripe.is_configured():
            stripe.current().customer_update(vendor.stripe_customer_id, {"email": owner.email, "name": vendor.name})
