"""Words of the back office for what the rooms below know as codes."""

from flask_babel import gettext as _

from portal.catalog.rules import FEATURE_NAMES, LEVEL_NAMES, METRIC_NAMES, ON, Cycle, IncludedAddon, Metric
from portal.identity.rules import Stage
from portal.kit.money import Money
from portal.reporting.compare import Direction
from portal.subscriptions.rules import Feedback, Status
from portal.web.kit import filters


def standing(status: Status | str) -> str:
    """A standing, as the badge says it; a word that nobody knows is shown as it is."""
    return {
        "trial": _("Trial"),
        "trial_ended": _("Trial ended"),
        "active": _("Active"),
        "pending_payment": _("Waiting for payment"),
        "past_due": _("Past due"),
        "suspended": _("Suspended"),
        "cancelled": _("Cancelled"),
    }.get(str(status), str(status))


def all_standings() -> str:
    """The filter that leaves nobody out."""
    return _("All")


def no_plan() -> str:
    """Vendors that never chose a tier."""
    return _("No plan")


def stage(value: Stage) -> str:
    """Where the operator's work for a vendor stands."""
    return {
        Stage.ONBOARDING: _("Onboarding"),
        Stage.BUILDING: _("Building"),
        Stage.DEPLOYED: _("Deployed"),
        Stage.ACTIVE: _("Active"),
        Stage.SUPPORTING: _("Supporting"),
    }[value]


def cycle(value: Cycle) -> str:
    """How often a price is due."""
    return _("Yearly") if value == Cycle.YEARLY else _("Monthly")


def rate(amount: Money, value: Cycle) -> str:
    """€99/month, as it is drawn."""
    shown = filters.money(amount, whole=True)
    return _("%(amount)s/year", amount=shown) if value == Cycle.YEARLY else _("%(amount)s/month", amount=shown)


def direction(value: Direction) -> tuple[str, str]:
    """What a choice would be, with the tone of its badge."""
    return {
        Direction.UPGRADE: (_("Upgrade"), "good"),
        Direction.DOWNGRADE: (_("Downgrade"), "warn"),
        Direction.CYCLE: (_("Same tier, other cycle"), "info"),
        Direction.PRICE: (_("Same tier, today's price"), "info"),
        Direction.CONTACT: (_("Contact required"), "neutral"),
    }[value]


def metric(value: Metric) -> str:
    """Something counted."""
    return _(METRIC_NAMES[value])


def limit(value: int | None) -> str:
    """A limit in words."""
    return _("unlimited") if value is None else filters.number(value)


def feature(name: str, level: str | None) -> str:
    """A feature, with its level where it has several."""
    title = _(FEATURE_NAMES[name]) if name in FEATURE_NAMES else name.replace("_", " ").capitalize()
    if level is None or level == ON:
        return title
    return _("%(feature)s: %(level)s", feature=title, level=level_name(level))


def level_name(level: str) -> str:
    """How much of a feature a tier brings."""
    return _(LEVEL_NAMES[level]) if level in LEVEL_NAMES else level


def addon(value: IncludedAddon) -> str:
    """An included add-on, with its size and number."""
    name = _(value.name)
    named = _("%(name)s (%(variant)s)", name=name, variant=value.variant) if value.variant else name
    if value.quantity == 1:
        return named
    return _("%(quantity)s × %(name)s", quantity=filters.number(value.quantity), name=named)


def feedback(value: Feedback | str) -> str:
    """Why a vendor left."""
    return {
        "too_expensive": _("Too expensive"),
        "missing_features": _("Features are missing"),
        "switched_service": _("Changed to another service"),
        "unused": _("Not used enough"),
        "customer_service": _("Unhappy with the help"),
        "too_complex": _("Too complicated"),
        "low_quality": _("Does not work well enough"),
        "other": _("Something else"),
    }.get(str(value), str(value))


def who(actor_kind: str, label: str) -> str:
    """Who did it: a person by name and side, or the machinery."""
    if actor_kind == "staff":
        return _("%(name)s, staff", name=label)
    return {"system": _("The portal"), "stripe": "Stripe"}.get(actor_kind, label)
