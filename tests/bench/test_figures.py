"""What the bench computes and when it refuses to count: figures nobody can check by eye."""

from collections import Counter

import pytest

from tests.bench import events, load, raw_statement, report, rounds
from tests.bench.figures import Figure, Goal, Line, Reading, ratios, spread
from tests.bench.rounds import VoidRound

pytestmark = pytest.mark.once


def test_a_reading_is_for_each_operation():
    # 0.5 s of CPU for 200 operations are 2,500 µs each; 200 in 4 s are 50 a second.
    reading = Reading(operations=200, cpu=0.5, wall=4.0)
    assert (reading.cpu_each, reading.rate) == (2500.0, 50.0)


def test_ratios_are_formed_within_each_round():
    # 10/5 = 2, 40/10 = 4, 30/10 = 3: median 3. The medians' ratio, 30/10, would hide the spread; 2 to 4 shows it.
    found = ratios([10, 40, 30], [5, 10, 10])
    assert (found.low, found.median, found.high) == (2, 3, 4)


@pytest.mark.parametrize(
    ("sense", "reached", "met"),
    [("at least", 14.9, False), ("at least", 15, True), ("at most", 15, True), ("at most", 15.1, False)],
)
def test_a_goal_is_met_on_its_side_of_the_limit(sense, reached, met):
    assert Goal("times", reached, sense, 15).met is met


def test_the_first_round_is_thrown_away_and_sides_take_turns_to_begin():
    order = []

    def side(name):
        def perform(number):
            order.append(name)
            return Reading(1, number, 1)

        return perform

    taken = rounds.take({"a": side("a"), "b": side("b")}, 2, lambda _: None)
    assert [reading.cpu for reading in taken["a"]] == [1, 2]
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_void_round_is_taken_again_and_counts_for_no_side():
    def fails_in_round_one(number):
        if number == 1:
            raise VoidRound("answered 500")
        return Reading(1, number, 1)

    taken = rounds.take({"a": lambda number: Reading(1, number, 1), "b": fails_in_round_one}, 2, lambda _: None)
    assert [reading.cpu for reading in taken["a"]] == [reading.cpu for reading in taken["b"]] == [2, 3]


def test_too_many_void_rounds_give_no_figure():
    def fails(_):
        raise VoidRound("answered 500")

    with pytest.raises(VoidRound):
        rounds.take({"a": fails}, 2, lambda _: None)


@pytest.mark.parametrize(
    ("head", "body", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", b"hell", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_when_its_length_or_last_chunk_is_there(head, body, whole):
    assert load.whole(head, body) is whole


def test_only_2xx_is_clean():
    assert load.Outcome(statuses=Counter({200: 3, 204: 1})).clean
    assert not load.Outcome(statuses=Counter({200: 3, 302: 1})).clean


def test_events_are_the_same_but_for_their_id_and_pass_the_products_own_check():
    from portal.gateways import stripe

    made = events.batch([{"id": "evt_1", "object": "event", "type": "a"}], "x", 2)
    read = [stripe.verify(body, headers["Stripe-Signature"], [events.SECRET]) for body, headers in made]
    assert [event["id"] for event in read] == ["evt_bench_x_0", "evt_bench_x_1"]
    assert all(event["type"] == "a" for event in read)


def test_the_floor_writes_another_event_with_every_transaction():
    sample = [("INSERT …", {"key": "stripe-event:evt_s", "payload": '{"id": "evt_s"}', "attempts": 0})]
    [(text, values)] = raw_statement.renumbered(sample, "evt_s", "evt_7")
    assert text == "INSERT …"
    assert values == {"key": "stripe-event:evt_7", "payload": '{"id": "evt_7"}', "attempts": 0}


def test_the_report_says_what_was_missed():
    goals = [Goal("times less CPU", 7.3, "at least", 15), Goal("statements", 2, "at most", 2, 0)]
    figure = Figure("P1", "Webhook", "How.", [Line("ours", "µs", spread([1500, 1400, 1700]))], goals, ["A note."])
    text = report.figure(figure)
    assert "| ours | 1,500 | 1,400 | 1,700 | µs |" in text
    assert "times less CPU: 7.3, goal at least 15.0: **missed**." in text
    assert "statements: 2, goal at most 2: met." in text
    assert "- A note." in text
