"""The difference between two tiers in words."""

from dataclasses import dataclass

from flask_babel import gettext as _

from portal.catalog.rules import LEVEL_NAMES, METRIC_NAMES, ON, PER_PERIOD
from portal.reporting.compare import Comparison, FeatureChange, LimitChange
from portal.web.kit.filters import number
from portal.web.public.offers import addon_words, feature_words


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A limit that what is used now would exceed, in words with the numbers."""

    metric: str
    text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a vendor gains, loses, and which limits it would be over, line by line."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]
    exceeded: tuple[Exceeded, ...]


def words(found: Comparison) -> Changes:
    """A comparison as lines to read."""
    more = [limit for limit in found.limits if not limit.is_less]
    less = [limit for limit in found.limits if limit.is_less]
    gained = [_limit(limit) for limit in more] + [feature_words(f.feature, f.after or ON) for f in found.gained]
    lost = [_limit(limit) for limit in less] + [_lost(change) for change in found.lost]
    if found.credits_after != found.credits_before:
        credits = _("Credits: %(after)s a month instead of %(before)s",
                    after=number(found.credits_after), before=number(found.credits_before))  # fmt: skip
        (gained if found.credits_after > found.credits_before else lost).append(credits)
    gained += [_("%(name)s included", name=addon_words(addon)) for addon in found.addons_gained]
    lost += [_("%(name)s no longer included", name=addon_words(addon)) for addon in found.addons_lost]
    return Changes(tuple(gained), tuple(lost), tuple(_exceeded(limit) for limit in found.exceeded))


def _limit(limit: LimitChange) -> str:
    name, after, before = _(METRIC_NAMES[limit.metric]), _amount(limit.after), _amount(limit.before)
    if limit.metric in PER_PERIOD and limit.after is not None:
        return str(_("%(name)s: %(after)s a month instead of %(before)s", name=name, after=after, before=before))
    return str(_("%(name)s: %(after)s instead of %(before)s", name=name, after=after, before=before))


def _lost(change: FeatureChange) -> str:
    if change.after is None:
        return feature_words(change.feature, change.before or ON)
    after, before = feature_words(change.feature, change.after), change.before or ON
    return str(_("%(after)s instead of %(before)s", after=after, before=_(LEVEL_NAMES.get(before, before))))


def _exceeded(limit: LimitChange) -> Exceeded:
    used, allowed = number(limit.used or 0), _amount(limit.after)
    name = _(METRIC_NAMES[limit.metric])
    text = _("%(name)s: %(used)s in use, %(limit)s allowed", name=name, used=used, limit=allowed)
    return Exceeded(str(limit.metric), str(text))


def _amount(limit: int | None) -> str:
    return str(_("unlimited")) if limit is None else number(limit)
