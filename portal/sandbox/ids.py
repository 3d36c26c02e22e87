"""Identifiers that look like Stripe's: a prefix that tells the kind and 24 random letters and digits."""

import secrets
import string

ALPHABET = string.ascii_letters + string.digits
PREFIXES = {
    "product": "prod_",
    "price": "price_",
    "customer": "cus_",
    "payment_method": "pm_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "subscription_schedule": "sub_sched_",
    "invoice": "in_",
    "line_item": "il_",
    "invoice_payment": "inpay_",
    "payment_intent": "pi_",
    "charge": "ch_",
    "checkout.session": "cs_test_",
    "item": "li_",
    "setup_intent": "seti_",
    "refund": "re_",
    "dispute": "du_",
    "credit_note": "cn_",
    "tax_rate": "txr_",
    "invoiceitem": "ii_",
    "event": "evt_",
    "webhook_endpoint": "we_",
}


def random_text(length: int) -> str:
    """Unguessable letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def new_id(kind: str) -> str:
    """A fresh identifier for an object of this kind."""
    return PREFIXES[kind] + random_text(58 if kind == "checkout.session" else 24)
