"""Creditor references (ISO 11649) that a payer types: check digits tell a typing error from another reference; pure."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

#: Digits after the check digits. Every reference has the same length until a hundred million papers are written.
WIDTH = 8
_SEPARATORS = re.compile(r"[^A-Z0-9]+")


def _number(text: str) -> int:
    """Letters become two digits each (A = 10 … Z = 35), as ISO 7064 reads them."""
    return int("".join(str(int(char, 36)) for char in text))


def make(serial: int) -> str:
    """The reference of paper number ``serial``: RF, two check digits, the number with leading zeros."""
    body = f"{serial:0{WIDTH}d}"
    return f"RF{98 - _number(body + 'RF00') % 97:02d}{body}"


def is_valid(reference: str) -> bool:
    """Do the check digits fit? Spaces and case do not matter; one wrong character always shows."""
    text = normalised(reference)
    return bool(re.fullmatch(r"RF\d\d[A-Z0-9]{1,21}", text)) and _number(text[4:] + text[:4]) % 97 == 1


def normalised(text: str) -> str:
    """Upper case, without anything that is no letter or digit: as people copy it, and as banks break lines."""
    return _SEPARATORS.sub("", text.upper())


def shown(reference: str) -> str:
    """In groups of four, as it is read aloud and typed."""
    return " ".join(reference[i : i + 4] for i in range(0, len(reference), 4))


def first(text: str) -> str | None:
    """The first reference of our form with right check digits in a text, whoever it belongs to."""
    return next((window for window in _windows(normalised(text), WIDTH + 4) if is_valid(window)), None)


@dataclass(frozen=True, slots=True)
class Found:
    """A reference in a purpose line. Not ``exact``: one character differs, so a person must agree."""

    reference: str
    exact: bool


class Known:
    """The references that are waited for, prepared so that thousands of purpose lines are searched quickly."""

    def __init__(self, references: Iterable[str]) -> None:
        self._all = frozenset(references)
        self._lengths = sorted({len(reference) for reference in self._all}, reverse=True)
        self._without_one: dict[str, set[str]] = defaultdict(set)
        for reference in self._all:
            for shorter in {reference, *_without_one(reference)}:
                self._without_one[shorter].add(reference)

    def find(self, text: str) -> Found | None:
        """The reference in ``text``, whatever spaces and case it has; else the only one that is one slip away.

        A slip: a character wrong, missing, too many, or two neighbours exchanged; or RF left out. What has the right
        form and right check digits but is not waited for is nobody's, and two possible readings are none.
        """
        plain = normalised(text)
        for length in self._lengths:
            for window in _windows(plain, length):
                if window in self._all:
                    return Found(window, exact=True)
        near = set().union(*(self._near(plain, length) for length in self._lengths))
        return Found(near.pop(), exact=False) if len(near) == 1 else None

    def _near(self, plain: str, length: int) -> set[str]:
        found: set[str] = set()
        for size in (length - 1, length, length + 1):
            for window in _windows(plain, size):
                if size == length and is_valid(window):
                    continue  # another paper's reference without a fault in it
                found |= self._one_slip_from(window)
        for window in _windows(plain, length - 2):
            if f"RF{window}" in self._all:
                found.add(f"RF{window}")
        return found

    def _one_slip_from(self, window: str) -> set[str]:
        possible = self._without_one.get(window, set()).union(
            *(self._without_one[shorter] for shorter in _without_one(window) if shorter in self._without_one)
        )
        return {reference for reference in possible if one_slip(window, reference)}


def _windows(text: str, size: int) -> Iterable[str]:
    return (text[i : i + size] for i in range(len(text) - size + 1))


def _without_one(text: str) -> Iterable[str]:
    return (text[:i] + text[i + 1 :] for i in range(len(text)))


def one_slip(typed: str, meant: str) -> bool:
    """Does ``typed`` differ from ``meant`` by one character wrong, missing or too many, or two exchanged?"""
    if typed == meant or abs(len(typed) - len(meant)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(typed, meant, strict=False)) if a != b), min(len(typed), len(meant)))
    rest, other = typed[start:], meant[start:]
    exchanged = rest[:2] == other[1::-1] and rest[2:] == other[2:]
    return exchanged or rest[1:] == other[1:] or rest[1:] == other or rest == other[1:]
