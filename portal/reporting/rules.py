"""Pure figures and words of the back office's lists."""

import re
import unicodedata
from fractions import Fraction

from portal.catalog.rules import Cycle
from portal.kit.money import Money, round_half_away
from portal.subscriptions.rules import Status

#: Standings in which a vendor's price counts as recurring revenue: it has a way to pay and pays, or is about to.
RECURRING = frozenset({Status.ACTIVE, Status.PAST_DUE})

SEARCH_LENGTH = 100


def per_month(amount: Money, cycle: Cycle) -> Money:
    """A price as an amount per month: a yearly one by twelve, rounded once to the whole minor unit."""
    if cycle == Cycle.MONTHLY:
        return amount
    return Money(round_half_away(Fraction(amount.minor, 12)), amount.currency)


def recurring(status: Status | None, amount: Money | None, cycle: Cycle | None) -> Money | None:
    """The monthly recurring revenue of one vendor; None where nothing recurs (trial, ended, no price)."""
    if status not in RECURRING or amount is None or cycle is None:
        return None
    return per_month(amount, cycle)


def search_words(typed: str | None) -> str:
    """What was typed, as it is searched: no control characters, single spaces, at most 100 characters."""
    seen = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in (typed or "")[: SEARCH_LENGTH * 4])
    return " ".join(seen.split())[:SEARCH_LENGTH]


def code_part(words: str) -> str:
    """The part of a vendor's code that these words would make; empty where they hold no Latin letter or digit."""
    ascii_words = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", ascii_words))


def spellings(words: str) -> list[str]:
    """The words as they may stand in a name: SQLite folds the case of ASCII letters only, so others are spelt out."""
    if words.isascii():
        return [words]
    return list(dict.fromkeys((words, words.lower(), words.upper(), words.title())))
