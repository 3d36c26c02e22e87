"""Can a name be had? Asked while somebody types, so that answers are kept for a while."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Lock

from sqlalchemy import select

from portal.addons import domain_names
from portal.addons.domain_names import DomainName
from portal.addons.domains import HOLDING
from portal.addons.models import Domain
from portal.addons.providers.registrar import PREMIUM, TAKEN, objection
from portal.gateways import registrar
from portal.gateways.registrar import Quote, RegistrarRefused
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.errors import Unavailable

#: How long a registrar's answer is believed while people type; it is asked again before anything is bought.
BELIEVED = timedelta(minutes=5)
REMEMBERED = 500


class Answer(StrEnum):
    """What is known of a name. By hand: no registrar is connected, or it does not sell such names by itself."""

    FREE = "free"
    TAKEN = "taken"
    SPECIAL = "special"
    TOO_DEAR = "too_dear"
    BY_HAND = "by_hand"
    UNKNOWN = "unknown"
    MINE = "mine"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Availability:
    """A name and what is known of it; ``tidied``: it is not what was typed, letter by letter."""

    name: DomainName
    answer: Answer
    tidied: bool


_quotes: dict[str, tuple[datetime, Quote]] = {}
_lock = Lock()


def ask(vendor_id: int, text: str, *, ask_registrar: bool = True) -> Availability:
    """What is known of the name in ``text``. Invalid (field ``domain``) for what is no name of one's own.

    Never raises for a registrar that is away: that is unknown, as it is when it is not to be asked.
    """
    name = domain_names.parse(text)
    answer = _known_here(vendor_id, name) or (_asked(name) if ask_registrar else Answer.UNKNOWN)
    return Availability(name, answer, name.shown != text.strip())


def _known_here(vendor_id: int, name: DomainName) -> Answer | None:
    with tenancy.unscoped("is a name in use by anybody here"):
        mine = (Domain.name == name.ascii, Domain.removed_at.is_(None))
        rows = db.session.execute(select(Domain.vendor_id, Domain.state).where(*mine)).all()
    if any(row.vendor_id == vendor_id for row in rows):
        return Answer.MINE
    return Answer.HELD if any(row.state in HOLDING for row in rows) else None


def _asked(name: DomainName) -> Answer:
    account = registrar.current()
    if account is None or name.ascii != name.shown:
        return Answer.BY_HAND
    try:
        quote = _quote(account, name)
    except Unavailable:
        return Answer.UNKNOWN
    except RegistrarRefused:  # an end that it does not sell
        return Answer.BY_HAND
    why = objection(quote, account.highest)
    if why is None:
        return Answer.FREE
    return {TAKEN: Answer.TAKEN, PREMIUM: Answer.SPECIAL}.get(why, Answer.TOO_DEAR)


def _quote(account: registrar.Registrar, name: DomainName) -> Quote:
    now = clock.wall()
    with _lock:
        known = _quotes.get(name.registrable)
    if known is not None and now - known[0] < BELIEVED:
        return known[1]
    quote = account.quote(name.registrable, name.suffix)
    with _lock:
        if len(_quotes) >= REMEMBERED:
            _quotes.clear()
        _quotes[name.registrable] = (now, quote)
    return quote


def forget() -> None:
    """Believe nothing any more: tests, and whoever changed the registrar."""
    with _lock:
        _quotes.clear()
