"""States of a transfer that is waited for, and what a payer must tell; pure."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from unicodedata import combining, normalize


class TransferState(StrEnum):
    """awaiting → proof_sent → part_paid → approved; or rejected (by staff), or cancelled."""

    AWAITING = "awaiting"
    PROOF_SENT = "proof_sent"
    PART_PAID = "part_paid"
    APPROVED = "approved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


#: Nobody has decided yet.
WAITING = frozenset({TransferState.AWAITING, TransferState.PROOF_SENT, TransferState.PART_PAID})
#: Not asked for any more; money that comes all the same is the vendor's credit.
CLOSED = frozenset({TransferState.REJECTED, TransferState.CANCELLED})


def missing_details(buyer: Mapping[str, str], *, has_name: bool) -> list[str]:
    """Which of the billing details a proforma cannot do without are empty, in the order they are asked for."""
    needed = [name for name in ("street", "city", "country") if not buyer.get(name)]
    return needed if has_name else ["legal_name", *needed]


class Basis(StrEnum):
    """Why a booking is thought to pay a transfer."""

    REFERENCE = "reference"
    SIMILAR = "similar"
    AMOUNT_AND_PAYER = "amount_and_payer"


#: Words that say what a company is, not which.
_FORMS = frozenset(
    (
        *("gmbh", "mbh", "ag", "kg", "ohg", "ug", "se", "ltd", "limited", "llc", "inc", "plc", "sarl", "sas", "srl"),
        *("bv", "nv", "oy", "ab", "as", "co", "und", "and", "e", "k"),
    )
)


def same_payer(payer: str, names: Iterable[str]) -> bool:
    """Is the payer one of these, as far as names tell? Case, marks, order and legal forms do not count."""
    given = _words(payer)
    return bool(given) and any(words and (words <= given or given <= words) for words in map(_words, names))


def _words(name: str) -> set[str]:
    plain = "".join(c for c in normalize("NFKD", name.casefold()) if not combining(c))
    plain = plain.replace("ß", "ss")
    return {word for word in re.split(r"[^a-z0-9]+", plain) if word} - _FORMS
