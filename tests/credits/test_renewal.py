"""Renewals (SUB-9), expiry, the end of a subscription and adjustments, with the arithmetic written out."""

import pytest

from portal.audit import queries as audit
from portal.catalog.rules import CreditPolicy
from portal.credits import jobs, queries, service
from portal.credits.rules import LotKind
from portal.kit import tenancy
from portal.kit.actor import SYSTEM
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from tests.credits.steps import NOW, adjust, day, entries, give, left, renew
from tests.support.travel import Travel

ROLLOVER = CreditPolicy.ROLLOVER


def test_reset_lets_the_old_grant_lapse_and_gives_the_new_one(vendor_id: int) -> None:
    give(vendor_id, 500, "start", expires_at=day(14))
    adjust(vendor_id, -380, "used")
    assert renew(vendor_id, 2000, "in_1", day(45)) is True
    # 500 − 380 = 120 left; 120 − 120 = 0; 0 + 2,000 = 2,000
    assert entries(vendor_id) == [
        ("grant", 500, 500),
        ("adjustment", -380, 120),
        ("expiry", -120, 0),
        ("grant", 2000, 2000),
    ]
    assert [lot.expires_at for lot in queries.lots(vendor_id) if lot.remaining] == [day(46)]


def test_reset_leaves_bought_and_goodwill_credits_alone(vendor_id: int) -> None:
    give(vendor_id, 500, "start", expires_at=day(14))
    give(vendor_id, 300, "pack", kind=LotKind.PURCHASE)
    give(vendor_id, 50, "sorry", kind=LotKind.GOODWILL, expires_at=day(20))
    renew(vendor_id, 1000, "in_1", day(45))
    assert left(vendor_id) == {"pack": 300, "sorry": 50, "in_1": 1000}
    assert queries.balance(vendor_id) == 1350


def test_rollover_carries_over_up_to_the_cap_and_drops_the_oldest_first(vendor_id: int) -> None:
    give(vendor_id, 500, "jan", expires_at=day(10), now=day(0))
    give(vendor_id, 700, "feb", expires_at=day(20), now=day(1))
    renew(vendor_id, 1000, "mar", day(50), policy=ROLLOVER, cap=800, now=day(20))
    # 500 + 700 = 1,200 held, 800 may be carried over: 400 lapse, all from January's 500, which keeps 100.
    assert left(vendor_id) == {"jan": 100, "feb": 700, "mar": 1000}
    assert entries(vendor_id)[2:] == [("expiry", -400, 800), ("grant", 1000, 1800)]


def test_rollover_drops_across_lots_in_one_entry(vendor_id: int) -> None:
    give(vendor_id, 500, "jan", now=day(0))
    give(vendor_id, 700, "feb", now=day(1))
    renew(vendor_id, 0, "mar", day(50), policy=ROLLOVER, cap=300, now=day(20))
    # 1,200 − 300 = 900 lapse: January's 500 and 400 of February's 700.
    assert left(vendor_id) == {"feb": 300}
    assert entries(vendor_id)[2:] == [("expiry", -900, 300)]


def test_rollover_below_the_cap_or_without_one_loses_nothing(vendor_id: int) -> None:
    give(vendor_id, 500, "jan", expires_at=day(10))
    renew(vendor_id, 500, "feb", day(40), policy=ROLLOVER, cap=500, now=day(10))
    renew(vendor_id, 500, "mar", day(70), policy=ROLLOVER, cap=None, now=day(40))
    assert queries.balance(vendor_id) == 1500
    assert [kind for kind, _, _ in entries(vendor_id)] == ["grant", "grant", "grant"]


def test_what_is_carried_over_does_not_expire_while_a_renewal_is_on_its_way(vendor_id: int) -> None:
    give(vendor_id, 500, "jan", expires_at=day(10))
    renew(vendor_id, 500, "feb", day(40), policy=ROLLOVER, cap=500, now=day(10))
    with unit_of_work():
        assert service.expire_due(day(41)) == 0
    renew(vendor_id, 500, "mar", day(70), policy=ROLLOVER, cap=500, now=day(41))
    # 1,000 held, 500 may be carried over: January's 500 lapse.
    assert left(vendor_id) == {"feb": 500, "mar": 500}


def test_after_rollover_a_tier_that_resets_takes_what_was_carried_over(vendor_id: int) -> None:
    give(vendor_id, 500, "jan", expires_at=day(10))
    renew(vendor_id, 500, "feb", day(40), policy=ROLLOVER, cap=None, now=day(10))
    renew(vendor_id, 200, "mar", day(70), now=day(40))
    assert left(vendor_id) == {"mar": 200}


@pytest.mark.parametrize("amount", [0, 1000])
def test_a_renewal_happens_once(vendor_id: int, amount: int) -> None:
    assert renew(vendor_id, amount, "in_1", day(30)) is True
    give(vendor_id, 40, "upgrade")
    before = entries(vendor_id)
    assert [renew(vendor_id, amount, "in_1", day(30)) for _ in range(3)] == [False] * 3
    assert renew(vendor_id, 5000, "in_1", day(30)) is False
    assert entries(vendor_id) == before


def test_a_renewal_worked_off_late_leaves_the_later_period_alone(vendor_id: int) -> None:
    renew(vendor_id, 1000, "feb", day(60), now=day(31))
    renew(vendor_id, 900, "jan", day(30), now=day(32))
    assert left(vendor_id) == {"feb": 1000, "jan": 900}
    with unit_of_work():
        assert service.expire_due(day(32)) == 1
    assert left(vendor_id) == {"feb": 1000}


def test_a_tier_without_credits_lets_the_old_ones_lapse(vendor_id: int) -> None:
    give(vendor_id, 500, "start", expires_at=day(14))
    renew(vendor_id, 0, "in_1", day(45), now=day(14))
    assert entries(vendor_id) == [("grant", 500, 500), ("expiry", -500, 0)]


def test_expiry_takes_each_lot_once_at_the_very_moment(vendor_id: int) -> None:
    give(vendor_id, 500, "start", expires_at=day(14))
    give(vendor_id, 300, "pack", kind=LotKind.PURCHASE, expires_at=day(15))
    give(vendor_id, 20, "ever", kind=LotKind.GOODWILL)
    # One second before the moment nothing goes; at the moment the first lot, a day later the second.
    for moment, lots, balance in ((day(13), 0, 820), (day(14), 1, 320), (day(14), 0, 320), (day(15), 1, 20)):
        with unit_of_work():
            assert service.expire_due(moment) == lots
        assert queries.balance(vendor_id) == balance


def test_the_periodic_task_expires_over_all_vendors(vendor_id: int, travel: Travel) -> None:
    give(vendor_id, 500, "start", expires_at=day(14))
    travel.on(days=13)
    with tenancy.unscoped("as the worker does"):
        jobs.expire()
    assert queries.balance(vendor_id) == 500
    travel.on(days=1)
    with tenancy.unscoped("as the worker does"):
        jobs.expire()
    assert queries.balance(vendor_id) == 0


def test_the_end_of_a_subscription_takes_included_credits_alone(vendor_id: int) -> None:
    give(vendor_id, 500, "start")
    give(vendor_id, 300, "pack", kind=LotKind.PURCHASE)
    with unit_of_work():
        assert service.end_grants(vendor_id, source="subscription:1", actor=SYSTEM, now=NOW) == 500
    give(vendor_id, 70, "came back")
    with unit_of_work():
        assert service.end_grants(vendor_id, source="subscription:1", actor=SYSTEM, now=NOW) == 0
    assert left(vendor_id) == {"pack": 300, "came back": 70}


def test_adjusting_up_is_goodwill_that_stays(vendor_id: int) -> None:
    assert adjust(vendor_id, 250, "ticket-9", reason="Two days of outage") is True
    assert adjust(vendor_id, 250, "ticket-9", reason="Two days of outage") is False
    (lot,) = queries.lots(vendor_id)
    assert (lot.kind, lot.remaining, lot.expires_at) == (LotKind.GOODWILL, 250, None)
    (entry,) = queries.ledger(vendor_id, 5)
    assert (entry.description, entry.actor, entry.kind) == ("Two days of outage", "Ada", "adjustment")
    (act,) = audit.recent(vendor_id, 5)
    assert (act.action, act.actor_label) == ("credits.adjusted", "Ada")
    assert act.data == {"amount": 250, "reason": "Two days of outage"}


def test_adjusting_down_takes_what_expires_first_and_never_more_than_there_is(vendor_id: int) -> None:
    give(vendor_id, 100, "late", expires_at=day(30))
    give(vendor_id, 100, "soon", expires_at=day(5))
    give(vendor_id, 100, "ever")
    adjust(vendor_id, -150, "one")
    # 100 of what expires on day 5, then 50 of what expires on day 30.
    assert left(vendor_id) == {"late": 50, "ever": 100}
    with pytest.raises(Invalid) as refused:
        adjust(vendor_id, -151, "two")
    assert refused.value.fields.keys() == {"amount"}
    assert queries.balance(vendor_id) == 150


def test_an_adjustment_needs_a_reason(vendor_id: int) -> None:
    with pytest.raises(Invalid) as refused:
        adjust(vendor_id, 5, "one", reason="   ")
    assert refused.value.fields.keys() == {"reason"}
    assert entries(vendor_id) == []


def test_what_has_expired_cannot_be_taken(vendor_id: int) -> None:
    give(vendor_id, 100, "start", expires_at=day(5))
    with pytest.raises(Invalid):
        adjust(vendor_id, -10, "one", now=day(5))
