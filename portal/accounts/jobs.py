"""What opening an account leaves for later."""

from portal.accounts import flows
from portal.kit import tasks


@tasks.task("accounts.make_stripe_customer", kind="flow")
def make_stripe_customer(for_vendor: int) -> None:
    """Make the vendor's Stripe customer."""
    flows.ensure_customer(for_vendor)
