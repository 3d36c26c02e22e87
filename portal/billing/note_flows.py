"""Following the credit notes of Stripe's invoices as Stripe has them now."""

from portal.billing import stripe_notes
from portal.gateways import stripe
from portal.kit.unit_of_work import end_reading, unit_of_work


def follow(stripe_invoice_id: str) -> int | None:
    """Fetch and mirror every credit note of an invoice; gives the vendor, None for an invoice that we do not have."""
    end_reading()
    newest_first = stripe.current().credit_notes(stripe_invoice_id)
    found = [stripe_notes.read(each) for each in reversed(newest_first)]
    with unit_of_work():
        return stripe_notes.mirror(stripe_invoice_id, found)
