"""Add-ons in words: what one is for, what it gives, what it costs, how it stands."""

from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext

from portal.addons import rules
from portal.addons.queries import Card, Had, Option
from portal.addons.rules import AddonStatus, Origin, Unit
from portal.catalog.rules import METRIC_NAMES, Cycle, Metric
from portal.kit import clock
from portal.kit.money import Money
from portal.web.kit.filters import day, money, number, translated

ICONS = {"domain": "world", "mailboxes": "mail", "certificate": "lock", "storage": "server"}


def icon_of(provisioning: str) -> str:
    """The icon of a kind of add-on."""
    return ICONS.get(provisioning, "puzzle")


def rate(amount: Money, cycle: Cycle | None) -> str:
    """An amount with how often it is due."""
    words = _("%(amount)s per year") if cycle == Cycle.YEARLY else _("%(amount)s per month")
    return words % {"amount": money(amount, whole=True)}


def price_of(card: Card) -> str:
    """What a card says of its price."""
    least = card.cheapest
    if least is None:
        return _("Not sold in your currency")
    words = rate(least.each, least.cycle)
    return _("From %(price)s", price=words) if len(card.options) > 1 else words


def one_more(card: Card) -> str:
    """What one costs beside the included one."""
    least = card.cheapest
    if least is None:
        return _("Not sold in your currency")
    words = rate(least.each, least.cycle)
    return _("one more from %(price)s", price=words) if len(card.options) > 1 else _("one more: %(price)s", price=words)


def size(provisioning: str, variant: str, quantity: int, grants: Any) -> str:
    """How much of it: so many addresses, so many gigabytes."""
    unit, count = rules.size(provisioning, variant, quantity, grants)
    if unit == Unit.ADDRESSES:
        return ngettext("%(num)s address", "%(num)s addresses", count)
    if unit == Unit.GIGABYTES:
        return _("%(count)s GB", count=number(count))
    return f"{number(count)} ×" if count > 1 else ""


def gives(card: Card) -> str:
    """What one of it gives, in words."""
    if card.provisioning == "mailboxes":
        sizes = [option.variant for option in card.options if option.variant]
        return _("%(sizes)s email addresses", sizes=", ".join(sizes))
    if card.provisioning == "storage":
        return _("per %(size)s", size=size("storage", "", 1, card.grants))
    if card.provisioning in ("domain", "certificate"):
        return ""  # the product's own words say it
    limits: dict[str, int] = next(iter(card.grants.get("limits", {}).values()), {})
    parts = [f"{number(value)} × {translated(METRIC_NAMES[Metric(metric)])}" for metric, value in limits.items()
             if metric in METRIC_NAMES]  # fmt: skip
    return ", ".join(parts)


def option_words(option: Option, card: Card) -> dict[str, Any]:
    """A size as the choice of sizes shows it."""
    label = size(card.provisioning, option.variant, 1, card.grants) or translated(card.name)
    return {"value": str(option.price_id), "label": label, "meta": rate(option.each, option.cycle)}


@dataclass(frozen=True, slots=True)
class Row:
    """One add-on that a vendor has, in words. ``tone`` and ``state`` say how it stands; ``note`` what to know now."""

    had: Had
    title: str
    detail: str
    price: str
    state: str
    tone: str
    note: str
    billing: str


def rows(found: list[Had]) -> list[Row]:
    """Each in words, in the order given."""
    return [row_of(had) for had in found]


def row_of(had: Had) -> Row:
    """One in words."""
    amount = size(had.provisioning, had.variant, had.quantity, had.grants)
    detail = ", ".join(part for part in (had.shown, amount) if part)
    state, tone = _state(had)
    return Row(had, translated(had.name), detail, _price(had), state, tone, _note(had), _billing(had))


def _price(had: Had) -> str:
    if had.origin == Origin.INCLUDED:
        return _("Included")
    if had.total is None:
        return _("Free")
    return rate(had.total, had.cycle)


def _state(had: Had) -> tuple[str, str]:
    if had.is_over:
        return _("Ended"), "neutral"
    if had.past_due_since is not None:
        return _("Unpaid"), "bad"
    if had.status == AddonStatus.FAILED:
        return _("Could not be set up"), "bad"
    if had.cancel_at_period_end:
        return _("Cancelled"), "warn"
    if had.waits_for_vendor:
        return _("Waits for you"), "warn"
    if had.status == AddonStatus.PENDING_SETUP:
        return _("Being set up"), "info"
    return _("Active"), "good"


def _note(had: Had) -> str:
    if had.is_over or had.past_due_since is not None:
        return ""
    if had.cancel_at_period_end and had.ends_at is not None:
        return _("Ends on %(date)s", date=day(had.ends_at))
    if had.next_quantity is not None and had.period_end is not None:
        variant = had.next_variant if had.next_variant is not None else had.variant
        becomes = size(had.provisioning, variant, had.next_quantity, had.grants)
        return _("Changes to %(size)s on %(date)s", size=becomes, date=day(had.period_end))
    if had.waits_for_vendor:
        return _("The steps say what to do")
    if had.status == AddonStatus.PENDING_SETUP and had.promised_at is not None:
        if had.promised_at <= clock.business():
            return _("Not ready yet: the steps say what it waits for")
        return _("Ready by %(date)s", date=day(had.promised_at))
    return ""


def _billing(had: Had) -> str:
    if had.is_over and had.cancelled_at is not None:
        return _("Ended on %(date)s", date=day(had.cancelled_at))
    if had.cancel_at_period_end or had.period_end is None or had.total is None:
        return ""
    return _("Next billing: %(date)s", date=day(had.period_end))
