"""Random lives of a credit account against a plain model: the books agree after every step."""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from portal.catalog.rules import CreditPolicy
from portal.credits import queries, service
from portal.credits.rules import LotKind
from portal.kit import tenancy
from portal.kit.actor import SYSTEM
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from tests.credits.steps import adjust, day, give, renew
from tests.support.tenants import make_vendor

AMOUNTS = st.integers(0, 60)
DAYS = st.integers(0, 12)


@dataclass
class Pile:
    """What the model knows of a lot."""

    kind: LotKind
    left: int
    until: datetime | None


class CreditLife(RuleBasedStateMachine):
    """One vendor; piles in the order in which they came."""

    numbers = 0

    @initialize()
    def begin(self) -> None:
        type(self).numbers += 1
        self.vendor_id = make_vendor(f"vendor-{type(self).numbers}-{id(self)}")
        self.piles: list[Pile] = []
        self.done: set[str] = set()
        self.today = 0
        self.scope = tenancy.scoped(self.vendor_id)
        self.scope.__enter__()
        with unit_of_work():
            service.open_account(self.vendor_id)

    def teardown(self) -> None:
        if hasattr(self, "scope"):
            self.scope.__exit__(None, None, None)

    @property
    def now(self) -> datetime:
        return day(self.today)

    @rule(days=st.integers(1, 4))
    def time_passes(self, days: int) -> None:
        self.today += days

    @rule(amount=st.integers(1, 60), kind=st.sampled_from(LotKind), number=st.integers(0, 5), days=st.none() | DAYS)
    def grant(self, amount: int, kind: LotKind, number: int, days: int | None) -> None:
        until = None if days is None else day(self.today + days + 1)
        source = f"grant-{number}"
        assert give(self.vendor_id, amount, source, kind=kind, expires_at=until, now=self.now) == (
            source not in self.done
        )
        if source not in self.done:
            self.piles.append(Pile(kind, amount, until))
            self.done.add(source)

    @rule(amount=AMOUNTS, number=st.integers(0, 9), reset=st.booleans(), cap=st.none() | AMOUNTS, days=DAYS)
    def renewal(self, amount: int, number: int, reset: bool, cap: int | None, days: int) -> None:
        policy = CreditPolicy.RESET if reset else CreditPolicy.ROLLOVER
        end, source = day(self.today + days + 1), f"renewal-{number}"
        happened = renew(self.vendor_id, amount, source, end, policy=policy, cap=cap, now=self.now)
        assert happened == (source not in self.done)
        if happened:
            self.done.add(source)
            self._lapse(0 if reset else cap, end, reset)
            if amount:
                self.piles.append(Pile(LotKind.GRANT, amount, end + timedelta(days=1) if reset else None))

    def _lapse(self, kept: int | None, end: datetime, reset: bool) -> None:
        earlier = [p for p in self.piles if p.kind == LotKind.GRANT and (p.until is None or p.until < end)]
        excess = 0 if kept is None else max(0, sum(p.left for p in earlier) - kept)
        for pile in earlier:
            gone = min(pile.left, excess)
            pile.left, excess = pile.left - gone, excess - gone
            if not reset and pile.left:
                pile.until = None

    @rule(amount=st.integers(1, 80), number=st.integers(0, 20))
    def take_away(self, amount: int, number: int) -> None:
        key = f"take-{number}"
        usable = [p for p in self.piles if p.left and (p.until is None or p.until > self.now)]
        try:
            happened = adjust(self.vendor_id, -amount, key, now=self.now)
        except Invalid:
            assert sum(p.left for p in usable) < amount
            return
        assert happened == (key not in self.done)
        if happened:
            self.done.add(key)
            for pile in sorted(usable, key=lambda p: (p.until is None, p.until or self.now)):
                gone = min(pile.left, amount)
                pile.left, amount = pile.left - gone, amount - gone

    @rule()
    def expire(self) -> None:
        due = [p for p in self.piles if p.left and p.until is not None and p.until <= self.now]
        with unit_of_work():
            assert service.expire_due(self.now) == len(due)
        for pile in due:
            pile.left = 0

    @rule(number=st.integers(0, 2))
    def end(self, number: int) -> None:
        source = f"end-{number}"
        mine = [p for p in self.piles if p.kind == LotKind.GRANT] if source not in self.done else []
        with unit_of_work():
            taken = service.end_grants(self.vendor_id, source=source, actor=SYSTEM, now=self.now)
        assert taken == sum(p.left for p in mine)
        self.done.add(source)
        for pile in mine:
            pile.left = 0

    @invariant()
    def the_books_agree_with_the_model(self) -> None:
        if not hasattr(self, "vendor_id"):
            return
        balance, lots = queries.balance(self.vendor_id), queries.lots(self.vendor_id)
        assert balance == sum(pile.left for pile in self.piles)
        assert [(lot.remaining, lot.expires_at) for lot in lots if lot.remaining] == [
            (pile.left, pile.until) for pile in self.piles if pile.left
        ]
        assert sum(entry.amount for entry in queries.ledger(self.vendor_id, 1000)) == balance


def test_any_life_of_an_account_keeps_its_books(app: Flask) -> None:
    runs, steps = map(int, os.environ.get("MACHINE_SIZE", "50x30").split("x"))
    run_state_machine_as_test(
        CreditLife,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    with tenancy.unscoped("a test"):
        assert queries.verify() == []
