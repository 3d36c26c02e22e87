"""Every order of a story's events at once: the portal as an automaton whose letters are events.

A handler fetches the present object, so what an event leads to depends on three things alone: on what the portal holds,
on what Stripe holds, and on the event. From each state that a story can reach, every kind of event is delivered once,
by restoring that state before it: that gives the table of the automaton. The table is then walked for every set of
events that is still to come, without a database, so that n! orders, each with any number of duplicates and with events
that come any number of stages late, are proved with about as many deliveries as there are states times kinds of events.

Two states are the same when all rows say the same but for ids, times within ten minutes and the inbox itself. What a
state leaves out could only hide a difference; lives lived through in real sequences (life.Cohort) stand beside.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.kit import jobs
from portal.kit.db import db
from portal.sandbox import ids
from portal.settings import queries as settings
from tests.stripe_events.life import post
from tests.stripe_events.likeness import digest, portal_rows, stripe_key
from tests.support.databases import Cleaner
from tests.support.servers import Copy, Sandbox
from tests.support.travel import Travel

#: Into a stage, and far from the next tens of minutes: what lies a little before or after stays in them.
A_WHILE = timedelta(minutes=3)
#: States of one stage. The longest story has 248; what happens again each time it is heard of has no end of them.
MOST = 400
HANDLED = (
    ("checkout.session.", "session"),
    ("customer.subscription.", "subscription"),
    ("subscription_schedule.", "schedule"),
    ("invoice_payment.", "payment of"),
    ("invoice.", "invoice"),
    ("payment_method.", "method"),
    ("setup_intent.", "method"),
    ("customer.", "customer"),
    ("refund.", "refund"),
    ("charge.refund", "refund"),
    ("charge.dispute.", "dispute"),
)


@dataclass(frozen=True)
class State:
    """What portal and Stripe hold: ``key`` tells two apart, ``place`` names the saved database.

    ``at``: when it was reached; what follows happens later.
    """

    key: str
    place: str
    at: datetime = field(compare=False)
    stripe: Copy = field(compare=False, repr=False)
    rows: tuple[str, ...] = field(compare=False, repr=False)

    @cached_property
    def events(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that Stripe told until here, oldest first, by kind."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        invoices: list[str] = []
        for row in self.stripe["docs"]:
            document = json.loads(row[-1])
            if document["object"] == "event" and not document["type"].startswith(("product.", "price.")):
                found[kind_of(document, invoices)].append(document)
        return found


def kind_of(event: dict[str, Any], invoices: list[str]) -> str:
    """The handler that an event wakes, and what it is about. ``invoices`` numbers them as they come."""
    about = event["data"]["object"]
    name = next((name for prefix, name in HANDLED if event["type"].startswith(prefix)), "other")
    if name == "subscription" and about.get("default_payment_method"):
        return "subscription with a card"  # the handler looks at the card, too
    if name not in ("invoice", "payment of"):
        return name
    invoice = about.get("invoice" if name == "payment of" else "id")
    if invoice is None:
        return "invoice to come"
    if invoice not in invoices:
        invoices.append(invoice)
    return f"{name} {invoices.index(invoice) + 1}"


@dataclass
class Stage:
    """One stretch of a story in which Stripe's side stands still: the states it began with, its table, its news."""

    begun: dict[State, State]
    news: frozenset[str]
    table: dict[State, dict[str, State]] = field(default_factory=dict)


@dataclass
class Explorer:
    """Reaches states, keeps them, and returns to them."""

    client: FlaskClient
    sandbox: Sandbox
    travel: Travel
    cleaner: Cleaner
    #: What may be done at any time beside hearing of events, such as loading the success page.
    beside: dict[str, Callable[[], object]] = field(default_factory=dict)
    #: Deliver every single event of a kind, not only the newest: they must all lead to the same.
    each: bool = False
    deliveries: int = 0
    stages: list[Stage] = field(default_factory=list)
    _states: dict[str, State] = field(default_factory=dict)
    _at: State | None = None
    _stripe: Copy | None = None
    _numbers: Iterable[int] = field(default_factory=lambda: count(1))

    # where we are
    def here(self) -> State:
        """The present state, kept when it is new."""
        db.session.rollback()
        stripe = self._stripe or self.sandbox.copied()
        rows = tuple(portal_rows())
        key = f"{len(self.stages)} {digest(str(rows))} {stripe_key(self.sandbox)}"
        if key not in self._states:
            place = f"state {len(self._states)}"
            db.session.remove()
            self.cleaner.save(place)
            self._states[key] = State(key, place, self.travel.now, stripe, rows)
        self._at = self._states[key]
        return self._at

    def go_to(self, state: State) -> None:
        """Return to a state; nothing is done when it is the present one."""
        if self._at is not state:
            db.session.remove()
            self.cleaner.restore(state.place)
            settings.forget()
            if self._stripe is not state.stripe:
                self.sandbox.put_back(state.stripe)
            self._at, self._stripe = state, state.stripe
            self.travel.to(state.at)

    # how it goes on
    def begin(self, at: datetime) -> None:
        """Everything until here belongs to the story's beginning; all that Stripe tells is unheard."""
        self.travel.to(at + A_WHILE)
        first = self.here()
        self._stripe = first.stripe
        self._explore({first: first}, frozenset(first.events))

    def at_stripe(self, act: Callable[[], object], at: datetime) -> None:
        """Time passes and something happens at Stripe alone, whatever the portal knows."""
        before = self._last_states()
        self.go_to(before[0])
        self.travel.to(at + A_WHILE)
        act()
        after = self.sandbox.copied()
        self.stages.append(Stage({}, frozenset()))
        begun = {}
        for state in before:
            self.go_to(state)
            self.travel.to(at + A_WHILE)
            self.sandbox.put_back(after)
            self._stripe = after
            begun[state] = self.here()
        self._begin_stage(begun)

    def here_and_there(self, act: Callable[[], object], at: datetime, *, when: Callable[[], bool]) -> None:
        """Somebody does something in the portal, which tells Stripe; from every state in which it can be done."""
        before, begun = self._last_states(), {}
        self.stages.append(Stage({}, frozenset()))
        for state in before:
            self.go_to(state)
            self.travel.to(at + A_WHILE)
            if when():
                with numbered(len(self.stages)):
                    act()
                jobs.run_all()
                self._stripe = None
                begun[state] = self.here()
                self._stripe = begun[state].stripe
        self._begin_stage(begun)

    def _last_states(self) -> list[State]:
        return list(self.stages[-1].table)

    def _begin_stage(self, begun: dict[State, State]) -> None:
        self.stages.pop()
        news = {
            kind
            for old, new in begun.items()
            for kind in new.events
            if [e["id"] for e in new.events[kind]] != [e["id"] for e in old.events.get(kind, [])]
        }
        self._explore(begun, frozenset(news))

    def _explore(self, begun: dict[State, State], news: frozenset[str]) -> None:
        """Fill the table of a stage: every letter from every state that its letters reach."""
        self.stages.append(Stage(begun, news))
        table, waiting = self.stages[-1].table, list(dict.fromkeys(begun.values()))
        while waiting:
            state = waiting.pop()
            if state in table:
                continue
            assert len(table) < MOST, f"no end of states; the last differs by {difference(state, next(iter(table)))}"
            table[state] = {}
            for letter in [*state.events, *self.beside]:
                table[state][letter] = self._follow(state, letter)
            waiting += [each for each in table[state].values() if each not in table]

    def _follow(self, state: State, letter: str) -> State:
        if letter in self.beside:
            self.go_to(state)
            self.beside[letter]()
            return self._reached()
        newest, *older = reversed(state.events[letter])
        found = self._hear(state, newest)
        for event in older if self.each else []:
            other = self._hear(state, event)
            assert other == found, f"{event['type']} against {newest['type']}: {difference(other, found)}"
        return found

    def _hear(self, state: State, event: dict[str, Any]) -> State:
        """Deliver an event under an id that is new, so that the inbox does not know it: a second one of its kind."""
        self.go_to(state)
        answer = post(self.client, {**event, "id": f"{event['id']}_{next(iter(self._numbers))}"})
        assert answer.status_code == 200, answer.text
        self.deliveries += 1
        return self._reached()

    def _reached(self) -> State:
        jobs.run_all()
        self._at = None
        return self.here()

    # what follows
    def ends(self) -> list[State]:
        """The states that a story can end in once everything was heard of since it last changed."""
        reached = {(first, self.stages[0].news) for first in self.stages[0].begun.values()}
        for number, stage in enumerate(self.stages):
            if number:
                reached = {
                    (stage.begun[state], missing | stage.news) for state, missing in reached if state in stage.begun
                }
            reached = closed(reached, stage.table)
        return list(dict.fromkeys(state for state, missing in reached if not missing))

    def orders(self) -> int:
        """In how many ways the story's events can be heard of, each once, early or late; duplicates not counted."""
        ways: dict[frozenset[str], int] = {frozenset(): 1}
        for number, stage in enumerate(self.stages):
            news: dict[frozenset[str], int] = defaultdict(int)
            for missing, n in ways.items():
                news[missing | stage.news] += n
            last = number == len(self.stages) - 1
            ways = defaultdict(int)
            for missing, n in news.items():
                for left in subsets(missing) if not last else [frozenset()]:
                    ways[left] += n * _factorial(len(missing) - len(left))
        return sum(ways.values())

    def last(self) -> list[State]:
        """Every state of the last stage: whichever events were lost, the story stands in one of them."""
        return self._last_states()


def closed(
    reached: set[tuple[State, frozenset[str]]], table: dict[State, dict[str, State]]
) -> set[tuple[State, frozenset[str]]]:
    """All that letters lead to, with what is still missing."""
    waiting = list(reached)
    while waiting:
        state, missing = waiting.pop()
        for letter, target in table[state].items():
            found = (target, missing - {letter})
            if found not in reached:
                reached.add(found)
                waiting.append(found)
    return reached


def subsets(of: frozenset[str]) -> Iterable[frozenset[str]]:
    names = sorted(of)
    for bits in range(2 ** len(names)):
        yield frozenset(name for i, name in enumerate(names) if bits >> i & 1)


def _factorial(n: int) -> int:
    return n * _factorial(n - 1) if n else 1


def difference(one: State, other: State) -> str:
    """The rows that only one of two states has."""
    mine, theirs = set(one.rows), set(other.rows)
    return "\n".join([f"+ {row}" for row in sorted(mine - theirs)] + [f"- {row}" for row in sorted(theirs - mine)])


@contextmanager
def numbered(stage: int) -> Iterator[None]:
    """Stripe's new ids come out alike whichever state a story goes on from."""
    numbers = count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "random_text", lambda length: f"{stage:02}{next(numbers):0{length - 2}}")
        yield
