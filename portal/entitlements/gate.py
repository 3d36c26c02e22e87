"""The one gate: may this vendor do one more X? Pages, programs and jobs ask here, and nowhere else (LIM-1, LIM-8).

``check`` and ``has`` look and change nothing; ``admit`` takes, so that of any number of askers at once exactly those
pass that fit. Whatever is refused says what would let it through.
"""

from datetime import datetime

from portal.catalog.rules import Metric, reaches
from portal.entitlements import alerts, refusals, ways
from portal.entitlements.refusals import Closed, FeatureMissing, LimitReached
from portal.entitlements.rules import Refusal, Verdict, judge
from portal.entitlements.state import state
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.usage import service as usage
from portal.usage.rules import counter_start

__all__ = ["Closed", "FeatureMissing", "LimitReached", "admit", "check", "explained", "give_back", "has",
           "require_feature"]  # fmt: skip


def check(vendor_id: int, metric: Metric, quantity: int = 1, *, now: datetime) -> Verdict:
    """Would ``quantity`` more be admitted at ``now``? One query, no effect; ``quantity`` 0 asks how things stand."""
    return judge(state(vendor_id, now, metrics=(metric,)), metric, quantity, now)


def explained(vendor_id: int, verdict: Verdict, *, now: datetime) -> Closed | LimitReached | None:
    """The error that ``admit`` would raise for this verdict, with what to do about it; None when it lets through."""
    if verdict.code != Refusal.LIMIT_REACHED:
        return refusals.of(verdict)
    needed = verdict.used + verdict.quantity
    return refusals.of(verdict, ways.for_limit(vendor_id, verdict.metric, needed, now))


def admit(
    vendor_id: int, metric: Metric, quantity: int = 1, *, key: str, now: datetime, subject: str | None = None
) -> Verdict:
    """Take ``quantity`` of a metric, or raise why not; inside the caller's unit of work, beside what it lets happen.

    The event is written first, so a replay of ``key`` takes nothing and is answered as before, also when there is no
    room any more. Then one statement moves the counter, if it stays within the limit. Raises LimitReached (403),
    Closed (402), Conflict (``key_reused``: the key stands for something else), Invalid (``quantity``, ``key``,
    ``subject``). A refusal leaves nothing behind, so the caller may go on.
    """
    if quantity < 1:
        raise Invalid(fields={"quantity": N_("Please give a whole number that can be counted here.")})
    if not usage.note(vendor_id, metric, quantity, key=key, at=now, subject=subject):
        return _again(vendor_id, metric, quantity, key, subject, now)
    held = state(vendor_id, now, metrics=(metric,))
    window = held.frame.window(now)
    verdict = judge(held, metric, quantity, now)
    used = None
    if verdict.allowed:
        start = counter_start(metric, window)
        used = usage.count(vendor_id, metric, quantity, at=now, start=start, most=verdict.limit)
    if used is None:
        usage.forget(vendor_id, key)
        raise _refused(vendor_id, verdict, now)
    alerts.watch(vendor_id, metric, used - quantity, used, verdict.limit, window=window, now=now)
    return Verdict(True, metric, quantity, used, verdict.limit)


def _again(vendor_id: int, metric: Metric, quantity: int, key: str, subject: str | None, now: datetime) -> Verdict:
    usage.expect_same(vendor_id, key, metric, quantity, subject)
    held = state(vendor_id, now, metrics=(metric,))
    return Verdict(True, metric, quantity, held.used(metric, now), held.limit(metric), replayed=True)


def _refused(vendor_id: int, verdict: Verdict, now: datetime) -> Closed | LimitReached:
    """Somebody else may have taken the last one since the state was read: then the present count is told."""
    if verdict.allowed:
        current = check(vendor_id, verdict.metric, verdict.quantity, now=now)
        verdict = Verdict(False, verdict.metric, verdict.quantity, current.used, current.limit, Refusal.LIMIT_REACHED)
    error = explained(vendor_id, verdict, now=now)
    assert error is not None
    return error


def give_back(
    vendor_id: int, metric: Metric, quantity: int = 1, *, key: str, now: datetime, subject: str | None = None
) -> bool:
    """Return what was taken of a level (a seat, a site, bytes); False when this key returned it before.

    Never refused for money: whoever is closed may still make room. ``key`` names the returning, and may be the same
    as that of the admission. Raises Invalid (``quantity``) when there is less than that, and for what is counted by
    months: an order that happened has happened.
    """
    if quantity < 1:
        raise Invalid(fields={"quantity": N_("Please give a whole number that can be counted here.")})
    start = counter_start(metric, now)
    return usage.record(vendor_id, metric, -quantity, key=f"{key}:back", at=now, period_start=start, subject=subject)


def has(vendor_id: int, feature: str, *, now: datetime, level: str | None = None) -> bool:
    """Does the vendor have the feature (at this level or a better one), and is its product open? One query."""
    held = state(vendor_id, now, metrics=(), feature=feature)
    return held.frame.closed(now) is None and reaches(feature, held.rights.features.get(feature), level)


def require_feature(vendor_id: int, feature: str, *, now: datetime, level: str | None = None) -> None:
    """Raise FeatureMissing (403, with the tier that brings it) or Closed (402) where ``has`` says no."""
    held = state(vendor_id, now, metrics=(), feature=feature)
    if (code := held.frame.closed(now)) is not None:
        raise Closed(code)
    level_held = held.rights.features.get(feature)
    if not reaches(feature, level_held, level):
        raise FeatureMissing(feature, level_held, level, ways.for_feature(vendor_id, feature, level, now))
