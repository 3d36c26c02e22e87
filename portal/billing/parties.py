"""The two sides of a paper as they are when it is written; kept with it, so that later changes do not touch it."""

from typing import Any

from portal.identity.models import Vendor
from portal.settings import queries as settings


def seller() -> dict[str, Any]:
    """The operator: legal data, bank account, and how its papers look."""
    operator = settings.current()
    return {
        "name": operator.legal_name or operator.name,
        "brand": operator.name,
        "accent": operator.accent,
        "logo": operator.logo_url,
        "address": operator.legal_address,
        "country": operator.legal_country,
        "vat_id": operator.vat_id,
        "email": operator.support_email,
        "footer": operator.legal_footer,
        "note": operator.invoice_note,
        "bank": {
            "holder": operator.bank_holder,
            "iban": operator.bank_iban,
            "bic": operator.bank_bic,
            "name": operator.bank_name,
        },
    }


def buyer(vendor: Vendor) -> dict[str, Any]:
    """The vendor: legal data, and the language of its papers."""
    address = vendor.address or {}
    return {
        "name": vendor.legal_name or vendor.name,
        "street": address.get("street", ""),
        "postcode": address.get("postcode", ""),
        "city": address.get("city", ""),
        "country": address.get("country", ""),
        "vat_id": vendor.vat_id or "",
        "email": address.get("email", ""),
        "locale": vendor.locale,
        "code": vendor.code,
    }
