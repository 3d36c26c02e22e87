"""The short way of a batch reads events as the models do, or leaves them alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.api import plain_events
from portal.api.usage import UsageEvent, _shaped
from portal.catalog.rules import Metric
from portal.usage import many
from portal.usage.rules import Event, fault

NOW = datetime(2027, 1, 20, 12, 0, tzinfo=UTC)
WINDOW = datetime(2027, 1, 15, 12, 0, tzinfo=UTC)
#: Of each field what may be sent, sound or not. None of them hides another: one field is odd at a time.
TEXTS = ["a", "", "x" * 120, "x" * 121, "nul\0", "\ud800", "ä", '"', "\\"]
ODD: list[Any] = [None, 7, 1.0, True, [], {}, ["a"], "7"]
SENT: dict[str, list[Any]] = {
    "key": [*TEXTS, *ODD, "z"],
    "metric": ["orders", "products", "team_members", "nothing", *ODD],
    "quantity": [1, 3, 0, -1, 10**9, 10**9 + 1, 10**40, *ODD],
    "at": ["", "2027-01-20T12:05:00Z", "2027-01-20T12:05:01Z", "2027-01-15T12:00:00+00:00", "2027-01-15T11:59:59Z",
           "2027-01-20T12:00", "1737374400", "yesterday", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
           *ODD],
    "subject": [*TEXTS, *ODD],
    "vendor_id": [7],
}  # fmt: skip
_good = st.fixed_dictionaries(
    {"key": st.text(st.characters(max_codepoint=126, min_codepoint=32), min_size=1, max_size=8),
     "metric": st.sampled_from(["orders", "products"])},
    optional={"quantity": st.integers(1, 5), "at": st.sampled_from([None, "2027-01-20T10:00:00Z"]),
              "subject": st.sampled_from([None, "Order 1"])},
)  # fmt: skip


def plain(listed: list[Any]) -> list[Event] | None:
    sent = plain_events.columns(listed)
    if sent is None or not many.plain(sent, WINDOW, NOW):
        return None
    rows = zip(sent.keys, sent.metrics, sent.quantities, sent.moments, sent.subjects, strict=True)
    return [Event(key, metric, quantity, at or NOW, subject) for key, metric, quantity, at, subject in rows]


def slow(listed: list[Any]) -> list[Event] | None:
    """The same by the models and the rules; None where one of them finds something to do."""
    shaped = _shaped(listed)
    events = [Event(e.key, e.metric, e.quantity, e.at or NOW, e.subject) for e in shaped if isinstance(e, UsageEvent)]
    different = len({event.key for event in events}) == len(listed)
    sound = different and all(e.quantity > 0 and fault(e, WINDOW, NOW) is None for e in events)
    return sorted(events, key=lambda event: event.key) if sound else None


@pytest.mark.parametrize("field", SENT)
def test_what_is_odd_is_never_plain(field: str) -> None:
    """Tried without each of the conditions in turn: one of these was then plain that is none, or an error."""
    sound = {"key": "z", "metric": "orders"}
    for value in SENT[field]:
        for listed in ([{**sound, field: value}], [{"key": "y", "metric": "products"}, {**sound, field: value}]):
            found = plain(listed)
            assert found is None or found == slow(listed), listed


@pytest.mark.parametrize("listed", [["text"], [7], [None], [[]], [{}], [{"key": "y", "metric": "orders"}] * 2])
def test_what_is_no_event_or_stands_twice_is_never_plain(listed: list[Any]) -> None:
    assert plain(listed) is None


@given(st.lists(_good, min_size=1, max_size=6, unique_by=lambda event: event["key"]))
def test_what_is_ordinary_is_plain(listed: list[Any]) -> None:
    assert plain(listed) == slow(listed) is not None


def test_quantities_have_the_bound_of_their_metric() -> None:
    """As many as one event may count, and one more."""
    event = {"key": "k", "metric": Metric.ORDERS.value, "at": (NOW - timedelta(hours=1)).isoformat()}
    assert plain([{**event, "quantity": 10**9}]) is not None
    assert plain([{**event, "quantity": 10**9 + 1}]) is None
