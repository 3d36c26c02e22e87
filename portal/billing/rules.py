"""States of an invoice."""

from enum import StrEnum


class InvoiceStatus(StrEnum):
    """As Stripe names them; our own invoices use the same words."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"
