"""The tiers as a vendor may choose them: which is its own, and what each of the others would take."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from portal.catalog.rules import Cycle, Price, Tier
from portal.kit.money import Money
from portal.reporting.compare import compare
from portal.subscriptions.meters import Meter
from portal.subscriptions.queries import Overview
from portal.subscriptions.rules import ChangeState, Provider, Status
from portal.web.public import offers
from portal.web.vendor import changes
from portal.web.vendor.changes import Changes


class Action(StrEnum):
    """What the button of a card does."""

    NONE = "none"
    CONTACT = "contact"
    START = "start"
    SWITCH = "switch"
    ADD_PAYMENT = "add_payment"
    PAY = "pay"
    UPGRADE = "upgrade"
    LATER = "later"
    PLANNED = "planned"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Choice:
    """A card. ``amount`` is what this vendor would pay (or pays) in the shown cycle, None: on request.

    ``listed`` is today's public price where that is another one; ``is_agreed``: the amount is for this vendor alone.
    """

    tier: Tier
    price: Price | None
    amount: Money | None
    is_current: bool
    action: Action
    beyond: str | None
    words: tuple[str, ...]
    changes: Changes | None
    listed: Money | None
    is_agreed: bool


def is_step_down(
    now: Tier | None,
    now_cycle: Cycle | None,
    then: Tier,
    cycle: Cycle,
    now_amount: Money | None = None,
    amount: Money | None = None,
) -> bool:
    """A smaller tier, from yearly to monthly, or the same for less: for vendors always at the end of the period."""
    if now is None:
        return False
    if (now.id, now_cycle) == (then.id, cycle):
        return now_amount is not None and amount is not None and amount.minor < now_amount.minor
    return then.position < now.position or (now_cycle == Cycle.YEARLY and cycle == Cycle.MONTHLY)


def choices(
    tiers: Sequence[Tier],
    held: Overview | None,
    cycle: Cycle,
    meters: Sequence[Meter],
    agreed: Price | None = None,
) -> list[Choice]:
    """A card for each tier in the catalog's order. ``agreed`` is the price that only this vendor sees (SUB-6)."""
    now = next((tier for tier in tiers if held and tier.id == held.tier_id), None)
    return [
        _choice(tier, offer.beyond, offer.words, now, held, cycle, meters, agreed)
        for tier, offer in zip(tiers, offers.offers(tiers, cycle), strict=True)
    ]


def _choice(
    tier: Tier,
    beyond: str | None,
    words: tuple[str, ...],
    now: Tier | None,
    held: Overview | None,
    cycle: Cycle,
    meters: Sequence[Meter],
    agreed: Price | None,
) -> Choice:
    offered = _price(tier, held, cycle, agreed)
    current = now is not None and tier.id == now.id and (held is None or held.cycle in (None, cycle))
    amount = held.amount if current and held and held.amount else offered.amount if offered else None
    differs = now is not None and tier.id != now.id
    return Choice(
        tier=tier,
        price=offered,
        amount=amount,
        is_current=current,
        action=_action(tier, offered, now, held, cycle, current),
        listed=_listed(tier, cycle, amount),
        is_agreed=agreed is not None and amount == agreed.amount and (tier.id, cycle) == (agreed.tier_id, agreed.cycle),
        beyond=beyond,
        words=words,
        changes=changes.words(compare(now, tier, meters)) if differs and now else None,
    )


def _price(tier: Tier, held: Overview | None, cycle: Cycle, agreed: Price | None) -> Price | None:
    currency = held.amount.currency if held and held.amount else None
    if agreed and agreed.tier_id == tier.id and agreed.cycle == cycle:
        return agreed
    on_offer = tier.self_service and tier.is_public and tier.is_active
    return tier.price(cycle, currency) if on_offer else None


def _listed(tier: Tier, cycle: Cycle, amount: Money | None) -> Money | None:
    public = tier.price(cycle, amount.currency) if amount else None
    return public.amount if public and tier.self_service and public.amount != amount else None


def _action(
    tier: Tier, offered: Price | None, now: Tier | None, held: Overview | None, cycle: Cycle, current: bool
) -> Action:
    if offered is None:
        return Action.NONE if current or tier.self_service else Action.CONTACT
    if held is None:
        return Action.START
    if held.provider == Provider.NONE and held.status == Status.TRIAL:
        return Action.ADD_PAYMENT if current else Action.SWITCH
    if held.status in (Status.PAST_DUE, Status.SUSPENDED, Status.PENDING_PAYMENT):
        return Action.NONE if current else Action.BLOCKED
    if held.status != Status.ACTIVE:
        return Action.PAY
    if held.cancel_at_period_end or held.paid_until:
        return Action.NONE if current else Action.BLOCKED
    if held.pending and held.pending.state != ChangeState.SCHEDULED:
        return Action.NONE if current else Action.BLOCKED
    if held.pending and (held.pending.tier_name, held.pending.cycle) == (tier.name, cycle):
        return Action.PLANNED
    if current:
        cheaper = offered.id != held.price_id and held.amount and offered.amount.minor < held.amount.minor
        return Action.LATER if cheaper else Action.NONE
    return Action.LATER if is_step_down(now, held.cycle, tier, cycle) else Action.UPGRADE
