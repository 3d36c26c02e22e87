"""The arithmetic of subscriptions, every figure worked out by hand."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.catalog.rules import Cycle
from portal.subscriptions.rules import (
    FROM_STRIPE,
    Status,
    add_months,
    credits_for,
    extended_trial,
    is_open,
    period_ending,
    person_hash,
    prorated_credits,
    reminder_due,
    usage_window,
)

pytestmark = pytest.mark.once
ENDS = datetime(2027, 1, 29, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("anchor", "months", "expected"),
    [
        ("2027-01-31", 1, "2027-02-28"),  # February 2027 has 28 days
        ("2028-01-31", 1, "2028-02-29"),  # 2028 is a leap year
        ("2027-01-31", 3, "2027-04-30"),
        ("2027-01-31", 2, "2027-03-31"),  # counted from the anchor: the day comes back after February
        ("2027-12-15", 1, "2028-01-15"),
        ("2028-02-29", 12, "2029-02-28"),
        ("2027-03-15", -1, "2027-02-15"),
        ("2027-05-05", 0, "2027-05-05"),
    ],
)
def test_months_keep_the_day_or_take_the_last(anchor: str, months: int, expected: str) -> None:
    assert add_months(at(anchor), months) == at(expected)


@pytest.mark.parametrize(
    ("anchor", "months", "end", "begin"),
    [
        ("2027-01-29 12:00", 1, "2027-02-28 12:00", "2027-01-29 12:00"),  # not the 28th: the day was clamped
        ("2027-01-29 12:00", 1, "2027-03-29 12:00", "2027-02-28 12:00"),
        ("2028-01-31 00:00", 1, "2028-02-29 00:00", "2028-01-31 00:00"),  # leap day
        ("2027-01-31 00:00", 1, "2027-05-31 00:00", "2027-04-30 00:00"),
        ("2024-02-29 00:00", 12, "2027-02-28 00:00", "2026-02-28 00:00"),
        ("2024-02-29 00:00", 12, "2025-02-28 00:00", "2024-02-29 00:00"),
        ("2027-01-10 00:00", 1, "2027-03-15 00:00", "2027-02-15 00:00"),  # from another anchor: a month back
        ("2027-03-15 00:00", 1, "2027-03-15 00:00", "2027-02-15 00:00"),  # before the anchor
    ],
)
def test_a_period_is_found_by_its_end(anchor: str, months: int, end: str, begin: str) -> None:
    assert period_ending(at(end), at(anchor), months) == (at(begin), at(end))


@pytest.mark.parametrize(
    ("start", "moment", "expected"),
    [
        ("2027-01-29T12:00", "2027-02-15T00:00", "2027-01-29T12:00"),
        # A year from 31 January: months begin on 31 January, 28 February, 31 March, 30 April …
        ("2027-01-31T12:00", "2027-02-28T11:59:59", "2027-01-31T12:00"),
        ("2027-01-31T12:00", "2027-02-28T12:00", "2027-02-28T12:00"),  # half-open: the new month begins here
        ("2027-01-31T12:00", "2027-03-30T00:00", "2027-02-28T12:00"),
        ("2027-01-31T12:00", "2027-03-31T12:00", "2027-03-31T12:00"),
        ("2027-01-31T12:00", "2028-01-30T00:00", "2027-12-31T12:00"),
        ("2027-06-01T00:00", "2027-05-01T00:00", "2027-06-01T00:00"),  # before the period: its start
    ],
)
def test_limits_count_from_the_month_that_a_moment_lies_in(start: str, moment: str, expected: str) -> None:
    assert usage_window(at(start), at(moment)) == at(expected)


@given(st.integers(0, 15 * 365 * 86400), st.timedeltas(timedelta(), timedelta(days=3000)))
def test_every_moment_lies_in_exactly_one_month(seconds: int, after: timedelta) -> None:
    start = at("2020-01-01") + seconds * SECOND
    begin = usage_window(start, start + after)
    number = (begin.year - start.year) * 12 + begin.month - start.month
    assert begin <= start + after < add_months(start, number + 1)


@pytest.mark.parametrize(
    ("old", "new", "moment", "expected"),
    [
        # 30 days from 29 January to 28 February, 2,000 → 10,000 included: 8,000 more for the whole period.
        (2000, 10000, "2027-01-29", 8000),  # at once: all of them
        (2000, 10000, "2027-02-08", 5333),  # 20 of 30 days left: 5,333.33, rounded down
        (2000, 10000, "2027-02-27", 266),  # 1 of 30 days left: 266.67
        (2000, 10000, "2027-02-28", 0),  # half-open: the period is over
        (2000, 10000, "2027-01-01", 8000),  # before it began: never more than the difference
        (10000, 2000, "2027-02-08", 0),  # a smaller tier takes none away
        (500, 500, "2027-02-08", 0),
    ],
)
def test_an_upgrade_brings_its_share_of_credits(old: int, new: int, moment: str, expected: int) -> None:
    assert prorated_credits(old, new, at("2027-01-29"), at("2027-02-28"), at(moment)) == expected


@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.timedeltas(SECOND / 10, timedelta(days=366)), st.fractions(0, 1)
)
def test_the_share_is_exact_to_the_microsecond(old: int, more: int, whole: timedelta, share: Fraction) -> None:
    start = at("2027-01-29")
    passed = timedelta(microseconds=int(share * (whole // timedelta(microseconds=1))))
    left = whole - passed
    exact = Fraction(more) * (left // timedelta(microseconds=1)) / (whole // timedelta(microseconds=1))
    assert prorated_credits(old, old + more, start, start + whole, start + passed) == exact.__floor__()


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=14), None),
        (timedelta(days=7, seconds=1), None),
        (timedelta(days=7), 7),
        (timedelta(days=3, seconds=1), 7),
        (timedelta(days=3), 3),
        (timedelta(days=1, microseconds=1), 3),
        (timedelta(days=1), 1),
        (SECOND, 1),
        (timedelta(), None),
        (timedelta(days=-1), None),
    ],
)
def test_each_reminder_covers_the_time_until_the_next(left: timedelta, expected: int | None) -> None:
    assert reminder_due(ENDS, ENDS - left) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ada@shop.example", "ada+second@shop.example", True),
        ("ada.lovelace@gmail.com", "adalovelace@gmail.com", True),
        ("a.d.a+x@googlemail.com", "ada@gmail.com", True),
        ("ada.lovelace@shop.example", "adalovelace@shop.example", False),  # elsewhere dots tell mailboxes apart
        ("ada@shop.example", "ada@other.example", False),
        ("ada@shop.example", "bob@shop.example", False),
    ],
)
def test_a_person_is_known_by_the_mailbox(one: str, other: str, same: bool) -> None:
    assert (person_hash(one) == person_hash(other)) is same
    assert "ada" not in person_hash(one)


@pytest.mark.parametrize(
    ("ended", "now", "days", "expected"),
    [
        ("2027-01-29", "2027-01-20", 7, "2027-02-05"),  # from its end
        ("2027-01-29", "2027-03-01", 7, "2027-03-08"),  # from now when it is over
        (None, "2027-03-01", 1, "2027-03-02"),
    ],
)
def test_an_extension_counts_from_the_end_or_from_now(ended: str | None, now: str, days: int, expected: str) -> None:
    assert extended_trial(at(ended) if ended else None, at(now), days) == at(expected)


def test_a_paid_year_brings_twelve_months_of_credits() -> None:
    assert credits_for(2000, Cycle.MONTHLY) == 2000
    assert credits_for(2000, Cycle.YEARLY) == 24000


def test_the_product_is_open_in_trial_while_paid_and_in_grace_alone() -> None:
    assert {status for status in Status if is_open(status)} == {Status.TRIAL, Status.ACTIVE, Status.PAST_DUE}


def test_every_state_of_stripes_is_known() -> None:
    # https://docs.stripe.com/api/subscriptions/object: the eight values of status.
    known = "trialing active past_due unpaid paused canceled incomplete incomplete_expired"
    assert set(FROM_STRIPE) == set(known.split())
