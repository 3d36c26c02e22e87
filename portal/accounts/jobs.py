"""What opening an account leaves for later."""

from portal.accounts import flows, webhook_mails
from portal.kit import clock, tasks


@tasks.task("accounts.make_stripe_customer", kind="flow")
def make_stripe_customer(for_vendor: int) -> None:
    """Make the vendor's Stripe customer."""
    flows.ensure_customer(for_vendor)


@tasks.task("accounts.tell_stripe_legal_data", kind="flow")
def tell_stripe_legal_data(for_vendor: int) -> None:
    """A vendor's legal name, address or VAT number changed: Stripe's invoices must say so too."""
    flows.tell_legal_data(for_vendor)


@tasks.task("accounts.tell_stripe_address", kind="flow")
def tell_stripe_address(user_id: int) -> None:
    """An owner has another address: invoices and receipts of Stripe's must go there too."""
    flows.tell_address(user_id)


@tasks.task("accounts.tell_webhook_failing")
def tell_webhook_failing(endpoint_id: int) -> None:
    """An endpoint took nothing for three days: its owner is told."""
    webhook_mails.failing(endpoint_id, now=clock.business())
