"""The back office's list of vendors: search, filters, sorting and keyset paging in one query (ADM-1)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from portal.catalog.models import SubscriptionTier, TierPrice
from portal.catalog.rules import Cycle
from portal.identity.models import Membership, User, Vendor
from portal.identity.rules import Role, Stage
from portal.kit import paging
from portal.kit.db import db
from portal.kit.money import Money
from portal.kit.paging import Page, SortKey
from portal.reporting.rules import code_part, recurring, search_words, spellings
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Status

#: The standing filter's word for vendors that never chose a tier.
NO_PLAN = "none"
PAGE_SIZE = 25
_SHORT = 3

_standing = func.coalesce(VendorSubscription.status, "").label("standing")
_place = func.coalesce(SubscriptionTier.position, -1).label("place")

#: What can be sorted by: the column, and what kind of value a cursor must carry for it.
SORTS: dict[str, tuple[Any, type]] = {
    "name": (Vendor.name, str),
    "since": (Vendor.created_at, datetime),
    "tier": (_place, int),
    "standing": (_standing, str),
}
DEFAULT_SORT = "-since"


@dataclass(frozen=True, slots=True)
class VendorFilter:
    """What the list shows; every value has passed ``read`` or is the program's own."""

    words: str = ""
    tier: str = ""
    standing: str = ""
    stage: str = ""
    sort: str = DEFAULT_SORT

    @property
    def is_narrowed(self) -> bool:
        """Does anything leave vendors out?"""
        return bool(self.words or self.tier or self.standing or self.stage)

    @property
    def column(self) -> str:
        """What is sorted by."""
        return self.sort.removeprefix("-")

    @property
    def direction(self) -> Literal["asc", "desc"]:
        """Which way."""
        return "desc" if self.sort.startswith("-") else "asc"


def read(args: dict[str, str]) -> VendorFilter:
    """The filter that an address asks for; what means nothing is left out, so that the page shows what it applies."""
    standings, stages = {*map(str, Status), NO_PLAN}, {*map(str, Stage)}
    sort = args.get("sort", "")
    return VendorFilter(
        words=search_words(args.get("q")),
        tier=search_words(args.get("tier"))[:20],
        standing=args["standing"] if args.get("standing") in standings else "",
        stage=args["stage"] if args.get("stage") in stages else "",
        sort=sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT,
    )


@dataclass(frozen=True, slots=True)
class VendorRow:
    """A vendor as the list shows it. ``standing`` None: no tier was ever chosen. ``mrr`` None: nothing recurs."""

    id: int
    code: str
    name: str
    owner: str | None
    owner_email: str | None
    tier: str | None
    standing: Status | None
    stage: Stage
    mrr: Money | None
    since: datetime


def page(wanted: VendorFilter, cursor: str | None, size: int = PAGE_SIZE) -> Page[VendorRow]:
    """One page of vendors in one query, whatever their number. NotFound for a cursor that this list did not make."""
    column, kind = SORTS[wanted.column]
    keys: list[SortKey] = [(column, wanted.direction), (Vendor.id, wanted.direction)]
    paging.check(cursor, (kind, int))
    found = paging.fetch(_statement(wanted), keys, cursor, size)
    return Page([_row(row) for row in found.rows], found.previous, found.next)


def _statement(wanted: VendorFilter) -> Select[Any]:
    statement: Any = (
        select(
            Vendor.id, Vendor.code, Vendor.name, Vendor.stage, Vendor.created_at, User.name.label("owner"),
            User.email.label("owner_email"), VendorSubscription.status, VendorSubscription.tier_code,
            SubscriptionTier.name.label("tier"), TierPrice.amount_minor, TierPrice.currency, TierPrice.cycle,
            _standing, _place,
        )
        .outerjoin(Membership, and_(Membership.vendor_id == Vendor.id, Membership.role == Role.OWNER))
        .outerjoin(User, User.id == Membership.user_id)
        .outerjoin(
            VendorSubscription, and_(VendorSubscription.vendor_id == Vendor.id, VendorSubscription.ended_at.is_(None))
        )
        .outerjoin(SubscriptionTier, SubscriptionTier.id == VendorSubscription.tier_id)
        .outerjoin(TierPrice, TierPrice.id == VendorSubscription.price_id)
    )  # fmt: skip
    narrowed: Select[Any] = statement.where(*_conditions(wanted))
    return narrowed


def _conditions(wanted: VendorFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.words:
        found.append(_matches(wanted.words))
    if wanted.tier:
        found.append(VendorSubscription.tier_code == wanted.tier)
    if wanted.standing:
        status = VendorSubscription.status
        found.append(status.is_(None) if wanted.standing == NO_PLAN else status == wanted.standing)
    if wanted.stage:
        found.append(Vendor.stage == wanted.stage)
    return found


def _matches(words: str) -> ColumnElement[bool]:
    """One or two letters are the beginning of a word, of the code or of the address; from three on, any part."""
    key, code = words.casefold(), code_part(words)
    parts: list[ColumnElement[bool]] = []
    for words_spelt in spellings(words):
        if len(words) < _SHORT:
            parts += [Vendor.name.istartswith(words_spelt, autoescape=True)]
            parts += [Vendor.name.icontains(f" {words_spelt}", autoescape=True)]
        else:
            parts.append(Vendor.name.icontains(words_spelt, autoescape=True))
    for column, part in ((Vendor.code, code), (User.email_key, key)):
        if part:
            like = column.startswith if len(words) < _SHORT else column.contains
            parts.append(like(part, autoescape=True))
    return or_(*parts)


def _row(row: Any) -> VendorRow:
    status = Status(row.status) if row.status else None
    amount = Money(row.amount_minor, row.currency) if row.amount_minor is not None else None
    return VendorRow(
        id=row.id,
        code=row.code,
        name=row.name,
        owner=row.owner,
        owner_email=row.owner_email,
        tier=row.tier or row.tier_code,
        standing=status,
        stage=Stage(row.stage),
        mrr=recurring(status, amount, Cycle(row.cycle) if row.cycle else None),
        since=row.created_at,
    )


def tier_names() -> list[tuple[str, str]]:
    """Code and name of every tier that a vendor may be on, retired ones too, by position; one query."""
    rows = db.session.execute(
        select(SubscriptionTier.code, SubscriptionTier.name).order_by(SubscriptionTier.position, SubscriptionTier.id)
    )
    return [cast(tuple[str, str], tuple(row)) for row in rows]
