"""What opening an account leaves for later."""

from datetime import timedelta

from portal.accounts import flows, invitations, webhook_mails
from portal.identity import invitations as rows
from portal.kit import clock, outbox, tasks


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


@tasks.periodic("accounts.tend_invitations", every=timedelta(hours=1))
@tasks.task("accounts.tend_invitations")
def tend_invitations() -> None:
    """Write one job for each vendor that has an invitation whose time is over."""
    found: dict[int, int] = {}
    for invitation_id, vendor_id in rows.lapsed(clock.business()):
        found[vendor_id] = invitation_id
    for vendor_id, newest in found.items():
        outbox.enqueue(
            "accounts.lapse_invitations",
            dedupe_key=f"lapse-invitations:{vendor_id}:{newest}:{clock.business():%Y-%m-%dT%H}",
            vendor_id=vendor_id,
            vendor=vendor_id,
        )


@tasks.task("accounts.lapse_invitations")
def lapse_invitations(vendor: int) -> None:
    """A vendor's invitations that nobody accepted in time: their seats are free."""
    invitations.lapse(vendor, now=clock.business())


@tasks.task("accounts.tell_webhook_failing")
def tell_webhook_failing(endpoint_id: int) -> None:
    """An endpoint took nothing for three days: its owner is told."""
    webhook_mails.failing(endpoint_id, now=clock.business())
