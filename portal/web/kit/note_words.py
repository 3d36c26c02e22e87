"""Notes of the portal in words: the texts of their kind, filled in the reader's language and time zone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from portal.kit.money import Money
from portal.notifications.note_rules import KINDS, Shape
from portal.notifications.notes import Note
from portal.web.kit.filters import day, money, number, translated


@dataclass(frozen=True, slots=True)
class Told:
    """A note as a list shows it; ``href`` leads to what it is about, None for a kind that is no more."""

    id: int
    title: str
    text: str
    href: str | None
    icon: str
    tone: str
    at: datetime
    is_new: bool


def tell(note: Note, code: str) -> Told:
    """The words of a note for a reader at the vendor with this code."""
    kind = KINDS.get(note.kind)
    if kind is None:
        title = note.kind.replace("_", " ").capitalize()
        return Told(note.id, title, "", None, "bell", "info", note.created_at, note.read_at is None)
    said = {name: _said(shape, note.params.get(name)) for name, shape in kind.params.items()}
    return Told(
        note.id, _(kind.title, **said), _(kind.text, **said), f"/vendor/{code}/{kind.page}", kind.icon, kind.tone,
        note.created_at, note.read_at is None,
    )  # fmt: skip


def _said(shape: Shape, value: Any) -> str:
    """A parameter written out; one that an older note did not have yet is a dash."""
    if value is None:
        return "–"
    if shape == Shape.NUMBER:
        return number(value)
    if shape == Shape.DATE:
        return day(datetime.fromisoformat(value))
    if shape == Shape.MONEY:
        return money(Money(value["minor"], value["currency"]))
    return translated(value) if shape == Shape.TERM else str(value)
