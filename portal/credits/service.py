"""Granting, renewing, expiring and adjusting credits; spending comes through the same book.

All verbs flush inside the caller's unit of work, lock the vendor's account and move nothing a second time. Callers have
set the tenancy scope.
"""

from datetime import datetime

from sqlalchemy import select

from portal.audit import service as audit
from portal.catalog.rules import CreditPolicy
from portal.credits.book import Book
from portal.credits.models import CreditAccount, CreditLot
from portal.credits.rules import MOST_CREDITS, EntryKind, LotKind, Part, expired, lapsing, lot_expiry, take
from portal.kit import idempotency
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db, insert_once
from portal.kit.errors import Invalid
from portal.kit.text import N_

EXPIRED = N_("Credits expired")
NOT_CARRIED_OVER = N_("Credits not carried over")
ENDED = N_("Credits ended with the subscription")


def open_account(vendor_id: int) -> None:
    """Give the vendor an account with nothing in it; one that is there stays as it is."""
    insert_once(CreditAccount, {"vendor_id": vendor_id, "balance": 0}, ["vendor_id"])


def grant(
    vendor_id: int,
    amount: int,
    *,
    source: str,
    kind: LotKind,
    entry: EntryKind,
    description: str,
    expires_at: datetime | None,
    actor: Actor,
    now: datetime,
    reference: str | None = None,
) -> bool:
    """Give credits, exactly once per ``source`` and vendor; False when this source gave before, and nothing changes.

    An amount of 0 (some tiers include none) gives nothing and leaves no trace: False too. ``description`` is a message
    id of at most 255 characters. Raises Invalid (fields ``amount``, ``source``), NotFound where no account was opened.
    """
    _check(amount, source, least=0)
    book = Book(vendor_id, actor, now)
    if amount == 0 or book.knows_source(source):
        return False
    book.add(
        amount,
        source=source,
        lot_kind=kind,
        entry_kind=entry,
        description=description,
        expires_at=expires_at,
        key=f"grant:{source}",
        reference=reference,
    )
    return True


def renew(
    vendor_id: int,
    amount: int,
    *,
    policy: CreditPolicy,
    cap: int | None,
    source: str,
    period_end: datetime,
    description: str,
    actor: Actor,
    now: datetime,
) -> bool:
    """Begin a period with ``amount`` included credits (SUB-9), exactly once per ``source``; False when it was done.

    Earlier included credits lapse as rules.lapsing says; bought and goodwill credits are untouched. With ``reset``
    the new ones expire at ``period_end``; with ``rollover`` both live until the next renewal or end_grants. A tier
    that includes none (``amount`` 0) lets the earlier ones lapse all the same.
    """
    _check(amount, source, least=0)
    book = Book(vendor_id, actor, now)
    if book.knows_source(source) or not _first_time("renew", vendor_id, source):
        return False
    parts = lapsing(book.lots(), policy, cap, period_end)
    book.remove(parts, EntryKind.EXPIRY, description=NOT_CARRIED_OVER, key=f"lapse:{source}")
    if policy == CreditPolicy.ROLLOVER:
        _let_live(vendor_id, period_end)
    if amount:
        book.add(
            amount,
            source=source,
            lot_kind=LotKind.GRANT,
            entry_kind=EntryKind.GRANT,
            description=description,
            expires_at=lot_expiry(policy, period_end),
            key=f"grant:{source}",
        )
    return True


def end_grants(vendor_id: int, *, source: str, actor: Actor, now: datetime) -> int:
    """Take away what is left of included credits because the subscription has ended (SUB-7); gives how many.

    ``source`` names the end; bought and goodwill credits stay. A second call takes nothing.
    """
    _check(1, source)
    book = Book(vendor_id, actor, now)
    if not _first_time("end", vendor_id, source):
        return 0
    parts = [Part(lot.id, lot.remaining) for lot in book.lots() if lot.kind == LotKind.GRANT]
    return book.remove(parts, EntryKind.EXPIRY, description=ENDED, key=f"end:{source}")


def expire_due(now: datetime, *, limit: int = 200) -> int:
    """Take away what is left of lots whose time has passed, over all vendors; gives how many lots.

    At most ``limit`` vendors in one transaction: call it again until it answers 0. Locks the accounts by vendor id,
    so several may run; each lot has an entry of its own.
    """
    due = (
        select(CreditLot.vendor_id)
        .where(CreditLot.remaining > 0, CreditLot.expires_at <= now)
        .distinct()
        .order_by(CreditLot.vendor_id)
        .limit(limit)
    )
    return sum(_expire(vendor_id, now) for vendor_id in db.session.scalars(due).all())


def adjust(vendor_id: int, amount: int, *, reason: str, key: str, actor: Actor, now: datetime) -> bool:
    """Add (as goodwill that does not expire) or take away credits by hand, once per ``key``; False when it was done.

    Taking away follows the spending order and never goes below zero. Raises Invalid (fields ``amount``, ``reason``,
    ``key``). Leaves an entry in the audit log.
    """
    reason = reason.strip()
    if not 1 <= len(reason) <= 255:
        raise Invalid(fields={"reason": N_("Please give a reason of at most 255 characters.")})
    _check(abs(amount), key, at="key")
    book = Book(vendor_id, actor, now)
    source = f"adjust:{key}"
    if book.knows_entry(source):
        return False
    if amount > 0:
        book.add(
            amount,
            source=source,
            lot_kind=LotKind.GOODWILL,
            entry_kind=EntryKind.ADJUSTMENT,
            description=reason,
            expires_at=None,
            key=source,
        )
    else:
        parts = take(book.lots(), -amount, now)
        if not parts:
            raise Invalid(fields={"amount": N_("The balance is lower than that.")})
        book.remove(parts, EntryKind.ADJUSTMENT, description=reason, key=source)
    audit.record(actor, "credits.adjusted", vendor_id=vendor_id, data={"amount": amount, "reason": reason}, now=now)
    return True


def _check(amount: int, source: str, *, least: int = 1, at: str = "source") -> None:
    fields: dict[str, str] = {}
    if not least <= amount <= MOST_CREDITS:
        fields["amount"] = N_("Please enter a whole number of credits.")
    if not 1 <= len(source) <= 110:
        fields[at] = N_("Please name the cause in 1 to 110 characters.")
    if fields:
        raise Invalid(fields=fields)


def _first_time(verb: str, vendor_id: int, source: str) -> bool:
    """Claim an act that may move nothing, so that neither lot nor entry could tell later that it was done."""
    scope, key = f"credits.{verb}", f"{vendor_id}:{source}"
    if idempotency.begin(scope, key, idempotency.fingerprint(verb, source, vendor_id)) is not None:
        return False
    idempotency.remember(scope, key, (200, {}))
    return True


def _let_live(vendor_id: int, period_end: datetime) -> None:
    """Carried over: included credits of earlier periods lose the date on which they would have gone."""
    earlier = select(CreditLot).where(
        CreditLot.vendor_id == vendor_id,
        CreditLot.kind == LotKind.GRANT,
        CreditLot.remaining > 0,
        CreditLot.expires_at < period_end,
    )
    for lot in db.session.scalars(earlier):
        lot.expires_at = None
    db.session.flush()


def _expire(vendor_id: int, now: datetime) -> int:
    book = Book(vendor_id, SYSTEM, now)
    due = [lot for lot in book.lots() if expired(lot, now)]
    for lot in due:
        part = Part(lot.id, lot.remaining)
        book.remove([part], EntryKind.EXPIRY, description=EXPIRED, key=f"expiry:lot:{lot.id}:{now:%Y%m%d%H%M%S}")
    return len(due)
