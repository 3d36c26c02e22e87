"""Which limit a vendor should be told of, and which tier would lift it (ADD-6, LIM-2); pure."""

from dataclasses import dataclass

from portal.catalog.rules import PER_PERIOD, Metric
from portal.subscriptions.meters import Meter, MeterState, Offer, Reading


@dataclass(frozen=True, slots=True)
class Upsell:
    """One limit that is reached or near; ``offer`` is the next tier that allows more, None where there is none.

    ``what`` is its name for dismissals: it carries the month of usage, so that it may come back in the next one.
    """

    meter: Meter
    reached: bool
    offer: Offer | None
    what: str


def most_urgent(reading: Reading) -> Upsell | None:
    """At most one: a limit that is reached before one that is near, what is counted each month before what stays.

    What its reader has dismissed this month is left out, and with it every limit that is only near. A limit that
    is only near is worth a word where there is something to choose, a reached one always. One of one (the only site,
    the owner's own seat) is no limit that was hit: that is said where a second one is refused.
    """
    found = [_upsell(meter, reading) for meter in reading.meters if _presses(meter)]
    wanted = [upsell for upsell in found if not _is_dismissed(upsell, reading) and (upsell.reached or upsell.offer)]
    return min(wanted, key=_urgency, default=None)


def next_offer(metric: Metric, limit: int | None, reading: Reading) -> Offer | None:
    """The nearest public tier above the vendor's own that allows more of a metric than ``limit``."""
    if limit is None:
        return None
    own = [offer.position for offer in reading.offers if offer.tier_code in reading.tiers]
    floor = max(own, default=-1)
    larger = [o for o in reading.offers if o.metric == metric and o.position > floor and _is_more(o.amount, limit)]
    return min(larger, key=lambda offer: offer.position, default=None)


def named(metric: Metric, reached: bool, reading: Reading) -> str:
    """The name under which it is dismissed until the month of usage ends."""
    return f"upsell:{metric}:{'reached' if reached else 'near'}:{reading.window:%Y-%m-%d}"


def _presses(meter: Meter) -> bool:
    worth = meter.metric in PER_PERIOD or (meter.limit or 0) > 1
    return worth and meter.limit != 0 and meter.state in (MeterState.NEAR, MeterState.REACHED)


def _upsell(meter: Meter, reading: Reading) -> Upsell:
    reached = meter.state == MeterState.REACHED
    offer = next_offer(meter.metric, meter.limit, reading)
    return Upsell(meter, reached, offer, named(meter.metric, reached, reading))


def _is_dismissed(upsell: Upsell, reading: Reading) -> bool:
    """Whoever dismissed anything this month wants no quiet word; a limit that is reached is told of by itself."""
    if upsell.reached:
        return upsell.what in reading.dismissed
    return any(name.endswith(f":{reading.window:%Y-%m-%d}") for name in reading.dismissed)


def _is_more(amount: int | None, limit: int) -> bool:
    return amount is None or amount > limit


def _urgency(upsell: Upsell) -> tuple[bool, bool, int]:
    metrics = list(Metric)
    return not upsell.reached, upsell.meter.metric not in PER_PERIOD, metrics.index(upsell.meter.metric)
