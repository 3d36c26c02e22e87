"""What a vendor's invoices say about it: legal name, address, VAT number, where they go (BIL-4)."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from portal.billing import tax
from portal.identity import queries as identity
from portal.identity import service as identity_service
from portal.identity.models import Vendor
from portal.kit import outbox
from portal.kit.actor import Actor
from portal.kit.errors import Invalid, NotFound
from portal.kit.text import N_
from portal.notifications.service import Recipient

#: How much of each is kept; an e-invoice and a window envelope bear no more.
LONGEST = {"legal_name": 140, "street": 200, "postcode": 16, "city": 80, "country": 2, "vat_id": 32, "email": 254}
_NEEDED = {
    "legal_name": N_("Enter the name that must stand on the invoice."),
    "street": N_("Enter street and number, or a post box."),
    "city": N_("Enter the city."),
    "country": N_("Choose the country."),
}
_EMAIL = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\".]+")


@dataclass(frozen=True, slots=True)
class Details:
    """As they are kept; ``country`` is an ISO 3166 code, ``email`` is empty where the owner's counts."""

    legal_name: str = ""
    street: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    vat_id: str = ""
    email: str = ""

    @property
    def lacking(self) -> tuple[str, ...]:
        """The fields that an invoice of ours cannot do without; empty when it can be written."""
        return tuple(name for name in _NEEDED if not getattr(self, name))


def of(vendor: Vendor) -> Details:
    """What is kept of a vendor."""
    address = vendor.address or {}
    names = ("street", "postcode", "city", "country", "email")
    kept = {name: str(address.get(name) or "") for name in names}
    return Details(legal_name=vendor.legal_name or "", vat_id=vendor.vat_id or "", **kept)


def read(vendor_id: int) -> Details:
    """What is kept of the vendor with this id; NotFound for none."""
    vendor = identity.vendor(vendor_id)
    if vendor is None:
        raise NotFound
    return of(vendor)


def recipient(vendor: Vendor) -> Recipient:
    """To whom mails about invoices and money go: the address kept for them, else the owner's; the owner by name."""
    owner = identity.owner(vendor.id)
    return Recipient(of(vendor).email or owner.email, owner.name, owner.locale)


def clean(given: Mapping[str, str]) -> Details:
    """What was typed as it may be kept. Invalid names every field that does not fit."""
    text = {name: _tidy(given.get(name) or "") for name in LONGEST}
    text["country"] = text["country"].upper()
    wrong = {name: message for name, message in _NEEDED.items() if not text[name]}
    wrong |= {name: N_("This is too long.") for name, most in LONGEST.items() if len(text[name]) > most}
    if text["email"] and not _EMAIL.fullmatch(text["email"]):
        wrong["email"] = N_("Enter an email address such as invoices@example.com.")
    if text["country"] and not re.fullmatch("[A-Z]{2}", text["country"]):
        wrong["country"] = N_("Choose the country.")
    elif text["vat_id"] and "vat_id" not in wrong:
        text["vat_id"] = tax.clean_vat_id(text["vat_id"], text["country"]) or ""
        if not text["vat_id"]:
            wrong["vat_id"] = N_("This is no VAT number: check its letters and digits, or leave it empty.")
    if wrong:
        raise Invalid(fields=wrong)
    return Details(**text)


def _tidy(text: str) -> str:
    """Lines stay lines (a street may have two), the rest of white space is one blank each."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.splitlines())))


def change(vendor_id: int, details: Details, *, actor: Actor, now: datetime) -> None:
    """Keep new details for the papers from now on, and let Stripe know them. Papers already written do not change.

    Locks the vendor. The same again changes nothing.
    """
    values = asdict(details)
    legal_name, vat_id = values.pop("legal_name"), values.pop("vat_id")
    changed = identity_service.keep_legal_data(
        vendor_id, legal_name=legal_name, vat_id=vat_id, address=values, actor=actor, now=now
    )
    if changed:
        outbox.emit("vendor.legal_data_changed", dedupe_key=f"{vendor_id}:{now.isoformat()}", for_vendor=vendor_id)


def shown(details: Details) -> dict[str, Any]:
    """The fields with what stands in them, for forms."""
    return asdict(details)
