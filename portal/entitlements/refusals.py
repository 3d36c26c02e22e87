"""What the gate raises: the same code, numbers and way out for pages, programs and jobs.

``facts`` carries them as JSON. Limits and usage are in ``unit``: the catalog's limit of storage is in gigabytes, what
is counted are bytes. The way out names a tier and add-ons; the door makes the address.
"""

from typing import Any

from portal.catalog.rules import FEATURE_NAMES, UNITS
from portal.entitlements.rules import Refusal, Verdict
from portal.entitlements.ways import WayAddon, Ways, WayTier
from portal.kit.errors import Forbidden, PaymentRequired
from portal.kit.text import N_

NOWHERE = Ways(None)

MESSAGES = {
    Refusal.SUSPENDED: N_("Your product is closed because an invoice is unpaid. Pay it, and everything opens again."),
    Refusal.TRIAL_ENDED: N_("Your trial has ended. Choose a plan to go on."),
    Refusal.CANCELLED: N_("Your subscription has ended. Choose a plan to go on."),
    Refusal.PAYMENT_PENDING: N_("Your payment has not arrived yet. Everything opens when it does."),
    Refusal.PAST_DUE: N_("An invoice is unpaid. Pay it first, then you can create something new."),
    Refusal.NO_PLAN: N_("Choose a plan first."),
}


class Closed(PaymentRequired):
    """402: something must be paid or chosen first. ``verdict`` is what the gate found, where it was about a metric."""

    def __init__(self, code: Refusal, verdict: Verdict | None = None) -> None:
        self.verdict = verdict
        super().__init__(MESSAGES[code], code=code, facts=_numbers(verdict) if verdict else None)


class LimitReached(Forbidden):
    """403: the tier's number (with add-ons and overrides) is used up. ``ways`` says what raises it."""

    def __init__(self, verdict: Verdict, ways: Ways = NOWHERE) -> None:
        self.verdict, self.ways = verdict, ways
        message, params = _limit_words(verdict, ways.tier)
        facts = {**_numbers(verdict), "upgrade": _tier(ways.tier), "addons": [_addon(a) for a in ways.addons]}
        super().__init__(message, code=Refusal.LIMIT_REACHED, facts=facts, **params)


class FeatureMissing(Forbidden):
    """403: the plan does not have this feature, or not at this level. ``ways`` says which tier does."""

    def __init__(self, feature: str, held: str | None, wanted: str | None, ways: Ways = NOWHERE) -> None:
        self.feature, self.held, self.wanted, self.ways = feature, held, wanted, ways
        facts = {"feature": feature, "level": held, "needed": wanted, "upgrade": _tier(ways.tier)}
        message = N_("Your plan does not include this.")
        if ways.tier:
            message = N_("Your plan does not include this. %(tier)s does.")
        params: dict[str, Any] = {"tier": ways.tier.name} if ways.tier else {}
        super().__init__(message, code=Refusal.FEATURE_MISSING, facts=facts, **params)

    @property
    def feature_name(self) -> str:
        """Its name as a message id."""
        return FEATURE_NAMES.get(self.feature, self.feature)


def of(verdict: Verdict, ways: Ways = NOWHERE) -> Closed | LimitReached | None:
    """The error that a verdict stands for; None when it lets through."""
    if verdict.code is None:
        return None
    return LimitReached(verdict, ways) if verdict.code == Refusal.LIMIT_REACHED else Closed(verdict.code, verdict)


def _numbers(verdict: Verdict) -> dict[str, Any]:
    return {
        "metric": str(verdict.metric),
        "unit": "bytes" if verdict.metric in UNITS else "count",
        "limit": verdict.limit,
        "usage": verdict.used,
        "quantity": verdict.quantity,
    }


def _tier(tier: WayTier | None) -> dict[str, Any] | None:
    if tier is None:
        return None
    told: dict[str, Any] = {"tier": tier.code, "name": tier.name}
    return {**told, "level": tier.level} if tier.level is not None else {**told, "limit": tier.limit}


def _addon(addon: WayAddon) -> dict[str, Any]:
    return {"addon": addon.code, "variant": addon.variant, "name": addon.name, "adds": addon.adds}


def _limit_words(verdict: Verdict, tier: WayTier | None) -> tuple[str, dict[str, Any]]:
    params: dict[str, Any] = {"used": _plain(verdict, verdict.used), "limit": _plain(verdict, verdict.limit or 0)}
    if tier is None:
        return N_("The limit of your plan is reached: %(used)s of %(limit)s are used."), params
    params["tier"], params["more"] = tier.name, tier.limit
    if tier.limit is None:
        return N_("The limit of your plan is reached: %(used)s of %(limit)s are used. %(tier)s has no limit."), params
    return N_("The limit of your plan is reached: %(used)s of %(limit)s are used. %(tier)s allows %(more)s."), params


def _plain(verdict: Verdict, amount: int) -> str:
    """In the unit that the limit is named in, to a tenth."""
    whole, part = divmod(amount * 10 // UNITS.get(verdict.metric, 1), 10)
    return f"{whole}.{part}" if part else str(whole)
