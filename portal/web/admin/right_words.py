"""Why a limit or feature is what it is, in words (LIM-7): "500 from Professional", "+10 from Extra storage (2 ×)"."""

from dataclasses import dataclass

from flask_babel import gettext as _

from portal.catalog.rules import FEATURE_NAMES, LEVEL_NAMES, ON, Metric
from portal.entitlements.explain import Part, Right
from portal.entitlements.rules import Kind, Source
from portal.reporting.rights import AddonName
from portal.web.admin import words
from portal.web.kit import filters


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason in words; ``counts`` False: an override beats it. ``note`` is what its author wrote."""

    text: str
    counts: bool
    note: str | None


def name(right: Right) -> str:
    """What the limit or feature is called."""
    if right.kind == Kind.LIMIT:
        return words.metric(Metric(right.key))
    return _(FEATURE_NAMES[right.key]) if right.key in FEATURE_NAMES else right.key


def value(kind: Kind, amount: int | None, level: str | None) -> str:
    """The number, "unlimited", or the level of a feature."""
    if kind == Kind.LIMIT:
        return words.limit(amount)
    if not level:
        return _("not included")
    return _(LEVEL_NAMES[level]) if level in LEVEL_NAMES else level


def reasons(right: Right, addons: dict[str, AddonName]) -> list[Reason]:
    """One line for each part."""
    return [Reason(_reason(right.kind, part, addons), part.counts, part.reason) for part in right.parts]


def _reason(kind: Kind, part: Part, addons: dict[str, AddonName]) -> str:
    shown = value(kind, part.amount, part.level)
    if part.source == Source.OVERRIDE:
        return _override(shown, part)
    if part.source == Source.TIER and part.level == ON:
        return _("part of %(tier)s", tier=filters.translated(part.name or part.ref))
    if part.source == Source.TIER:
        return _("%(value)s from %(tier)s", value=shown, tier=filters.translated(part.name or part.ref))
    added = addons.get(part.ref)
    more = _("+%(value)s", value=shown) if kind == Kind.LIMIT and part.amount is not None else shown
    return _("%(value)s from %(addon)s", value=more, addon=_addon(added) if added else part.ref)


def _addon(addon: AddonName) -> str:
    named = filters.translated(addon.name)
    if addon.variant:
        named = _("%(name)s (%(size)s)", name=named, size=addon.variant)
    return _("%(name)s (%(count)s ×)", name=named, count=addon.quantity) if addon.quantity > 1 else named


def _override(shown: str, part: Part) -> str:
    by = part.by or ""
    if part.until is None:
        return _("set to %(value)s by %(by)s", value=shown, by=by)
    return _("set to %(value)s by %(by)s until %(day)s", value=shown, by=by, day=filters.day(part.until))
