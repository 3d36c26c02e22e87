"""The QR code of a credit transfer (EPC069-12), which banking apps read; pure."""

from dataclasses import dataclass

from portal.kit.money import Money

#: What the guidelines allow: up to 999,999,999.99 euro, and 331 bytes for the whole.
MOST_MINOR, MOST_BYTES, LONGEST_NAME = 99_999_999_999, 331, 70


@dataclass(frozen=True, slots=True)
class Account:
    """The operator's account; ``bic`` may be empty (it is not needed within the European area)."""

    holder: str
    iban: str
    bic: str = ""
    bank: str = ""

    @property
    def is_complete(self) -> bool:
        """Can somebody pay to it?"""
        return bool(self.holder and self.iban)


def epc_payload(account: Account, amount: Money, reference: str) -> str | None:
    """The text of the code, version 002 in UTF-8; None where the scheme has none: other currencies, no account.

    ``reference`` is an ISO 11649 reference, so the free text line stays empty.
    """
    if amount.currency != "EUR" or not 0 < amount.minor <= MOST_MINOR or not account.is_complete:
        return None
    euros, cents = divmod(amount.minor, 100)
    lines = (
        "BCD", "002", "1", "SCT", account.bic, account.holder[:LONGEST_NAME], account.iban, f"EUR{euros}.{cents:02d}",
        "", reference,
    )  # fmt: skip
    payload = "\n".join(lines)
    return payload if len(payload.encode()) <= MOST_BYTES else None


def qr_svg(payload: str) -> str:
    """The code as an inline picture with its quiet zone, black on white in every mode; error correction M."""
    import segno

    code = segno.make(payload, error="m", encoding="utf-8", boost_error=False, micro=False)
    return str(code.svg_inline(scale=4, border=4, dark="#000000", light="#ffffff", svgclass="qr", lineclass=None))
