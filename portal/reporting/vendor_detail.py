"""What the back office shows of one vendor beyond what the rooms below read themselves (ADM-2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, and_, cast, literal, null, or_, select, union_all

from portal.addons.models import VendorAddon
from portal.audit.models import AuditEntry
from portal.catalog.models import AddonProduct, SubscriptionTier, TierAddon, TierPrice
from portal.catalog.rules import Cycle, IncludedAddon, Price
from portal.identity.models import Membership, User, Vendor
from portal.identity.rules import Role, Stage
from portal.kit import paging
from portal.kit.db import JsonB, db
from portal.kit.errors import NotFound
from portal.kit.money import Money
from portal.kit.paging import Page
from portal.subscriptions.models import SubscriptionEvent

HISTORY_SIZE = 20
AUDIT_SIZE = 25
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class VendorHead:
    """Who the vendor is, and who speaks for it."""

    id: int
    code: str
    name: str
    stage: Stage
    owner: str | None
    owner_email: str | None
    locale: str
    time_zone: str
    stripe_customer_id: str | None
    since: datetime
    blocked: bool
    counts: dict[str, int]


def sound_id(vendor_id: int) -> int:
    """The id, when the database can hold it; NotFound for a larger one, which an address may well carry."""
    if vendor_id > _LARGEST_ID:
        raise NotFound
    return vendor_id


def head(vendor_id: int, counts: Mapping[str, ScalarSelect[Any]] | None = None) -> VendorHead:
    """The vendor with its owner, and what is counted of it (subqueries by name); one statement.

    NotFound for an id that nobody has, however large.
    """
    sound_id(vendor_id)
    counts = counts or {}
    row = db.session.execute(
        select(
            Vendor.id, Vendor.code, Vendor.name, Vendor.stage, User.name.label("owner"), User.email, Vendor.locale,
            Vendor.time_zone, Vendor.stripe_customer_id, Vendor.created_at, Vendor.blocked_at,
            *(count.label(f"count_{name}") for name, count in counts.items()),
        )
        .outerjoin(Membership, and_(Membership.vendor_id == Vendor.id, Membership.role == Role.OWNER))
        .outerjoin(User, User.id == Membership.user_id)
        .where(Vendor.id == vendor_id)
    ).first()  # fmt: skip
    if row is None:
        raise NotFound
    return VendorHead(
        row.id, row.code, row.name, Stage(row.stage), row.owner, row.email, row.locale, row.time_zone,
        row.stripe_customer_id, row.created_at, row.blocked_at is not None,
        {name: row._mapping[f"count_{name}"] for name in counts},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AddonOnCard:
    """An add-on in a word or two. ``of`` is what it is for, such as a domain's name."""

    addon: IncludedAddon
    of: str


@dataclass(frozen=True, slots=True)
class AddonsOnCard:
    """What the vendor has, and what its tier brings along."""

    had: list[AddonOnCard]
    included: list[AddonOnCard]


def addons_on_card(vendor_id: int, tier_id: int | None) -> AddonsOnCard:
    """Both in one statement, by the products' positions."""
    product = (AddonProduct.code, AddonProduct.name, AddonProduct.position)
    had = (
        select(literal("had").label("what"), *product, VendorAddon.variant, VendorAddon.quantity, VendorAddon.config)
        .join(AddonProduct, AddonProduct.id == VendorAddon.addon_id)
        .where(VendorAddon.vendor_id == vendor_id, VendorAddon.cancelled_at.is_(None))
    )
    brought = (
        select(literal("brought"), *product, TierAddon.variant, TierAddon.included, cast(null(), JsonB))
        .join(AddonProduct, AddonProduct.id == TierAddon.addon_id)
        .where(TierAddon.tier_id == tier_id, TierAddon.included > 0)
    )
    every = union_all(had, brought).subquery()
    found = AddonsOnCard([], [])
    for row in db.session.execute(select(every).order_by(every.c.position, every.c.code, every.c.variant)):
        addon = IncludedAddon(row.code, row.name, row.variant, row.quantity)
        config = row.config or {}
        one = AddonOnCard(addon, str(config.get("shown") or config.get("name") or ""))
        (found.had if row.what == "had" else found.included).append(one)
    return found


def agreed_price(vendor_id: int) -> Price | None:
    """The price that was agreed with this vendor alone, if one is offered now (SUB-6)."""
    row = db.session.execute(
        select(
            TierPrice.id, TierPrice.tier_id, TierPrice.cycle, TierPrice.amount_minor, TierPrice.currency,
            TierPrice.stripe_price_id,
        ).where(TierPrice.vendor_id == vendor_id, TierPrice.valid_until.is_(None))
    ).first()  # fmt: skip
    if row is None:
        return None
    return Price(row.id, row.tier_id, Cycle(row.cycle), Money(row.amount_minor, row.currency), row.stripe_price_id)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One event of a subscription, as it was written down."""

    kind: str
    data: dict[str, Any]
    reason: str | None
    actor_kind: str
    by: str
    at: datetime


def history(vendor_id: int, cursor: str | None = None, size: int = HISTORY_SIZE) -> Page[HistoryRow]:
    """A page of the vendor's events, newest first; NotFound for a cursor that this list did not make."""
    event = SubscriptionEvent
    statement = select(
        event.id, event.at, event.kind, event.data, event.reason, event.actor_kind, event.actor_label
    ).where(event.vendor_id == vendor_id)
    found = paging.fetch(statement, [(event.at, "desc"), (event.id, "desc")], _sound(cursor), size)
    rows = [HistoryRow(r.kind, r.data, r.reason, r.actor_kind, r.actor_label, r.at) for r in found.rows]
    return Page(rows, found.previous, found.next)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One act of somebody on a vendor, with its before and after."""

    action: str
    data: dict[str, Any]
    actor_kind: str
    by: str
    request_id: str
    at: datetime


def audit(vendor_id: int, cursor: str | None = None, size: int = AUDIT_SIZE) -> Page[AuditRow]:
    """A page of what was done to the vendor, newest first; NotFound for a cursor that this list did not make."""
    act = AuditEntry
    statement = select(act.id, act.at, act.action, act.data, act.actor_kind, act.actor_label, act.request_id).where(
        act.vendor_id == vendor_id
    )
    found = paging.fetch(statement, [(act.at, "desc"), (act.id, "desc")], _sound(cursor), size)
    rows = [AuditRow(r.action, r.data, r.actor_kind, r.actor_label, r.request_id, r.at) for r in found.rows]
    return Page(rows, found.previous, found.next)


def _sound(cursor: str | None) -> str | None:
    """The cursor, when it carries a moment and an id; what else somebody sent is NotFound and never the database's."""
    if cursor is None:
        return None
    _, (at, last) = paging.decode(cursor[:1000], 2)
    if not isinstance(at, datetime) or at.tzinfo is None or type(last) is not int or abs(last) > _LARGEST_ID:
        raise NotFound
    return cursor


@dataclass(frozen=True, slots=True)
class NamedPrice:
    """A price with the name of its tier."""

    tier: str
    amount: Money
    cycle: Cycle


@dataclass(frozen=True, slots=True)
class Names:
    """What the codes and ids of events are called: tiers by code, prices by id."""

    tiers: dict[str, str]
    prices: dict[int, NamedPrice]


def names(rows: Iterable[HistoryRow]) -> Names:
    """The tiers and prices that these events speak of; one query, none when they speak of none."""
    codes, ids = set[str](), set[int]()
    for row in rows:
        codes |= {str(row.data[key]) for key in ("tier", "before", "after") if row.data.get(key)}
        ids |= {int(row.data["price"])} if row.data.get("price") else set()
    if not codes and not ids:
        return Names({}, {})
    priced = and_(TierPrice.tier_id == SubscriptionTier.id, TierPrice.id.in_(ids))
    found = db.session.execute(
        select(
            SubscriptionTier.code, SubscriptionTier.name, TierPrice.id, TierPrice.amount_minor, TierPrice.currency,
            TierPrice.cycle,
        )
        .outerjoin(TierPrice, priced)
        .where(or_(SubscriptionTier.code.in_(codes), TierPrice.id.is_not(None)))
    ).all()  # fmt: skip
    prices = {r.id: NamedPrice(r.name, Money(r.amount_minor, r.currency), Cycle(r.cycle)) for r in found if r.id}
    return Names({r.code: r.name for r in found}, prices)
