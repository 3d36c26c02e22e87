"""Kinds of credits and of entries in the ledger."""

from enum import StrEnum


class LotKind(StrEnum):
    """Where a lot of credits came from."""

    GRANT = "grant"
    PURCHASE = "purchase"
    GOODWILL = "goodwill"


class EntryKind(StrEnum):
    """Why the balance changed."""

    GRANT = "grant"
    PURCHASE = "purchase"
    USAGE = "usage"
    REFUND = "refund"
    EXPIRY = "expiry"
    ADJUSTMENT = "adjustment"
