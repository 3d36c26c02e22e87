"""Many hands at one outbox, on the database of this run: nothing is claimed twice, nothing is left."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from flask import Flask

from portal.kit import jobs, outbox, tenancy
from portal.kit.db import db
from portal.kit.outbox import Claim
from portal.kit.unit_of_work import unit_of_work
from tests.kit.conftest import Ledger, ask, job

HANDS = 4


def with_hands(app: Flask, work, count: int = HANDS) -> list:
    """Run ``work(number)`` in threads that begin together, each with a context of its own."""
    gate = Barrier(count)

    def one(number: int):
        with app.app_context(), tenancy.unscoped("a test"):
            gate.wait(10)
            try:
                return work(number)
            finally:
                db.session.remove()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_no_job_is_claimed_by_two(app: Flask, ledger: Ledger) -> None:
    for n in range(12):
        ask(n)

    def claim(_: int) -> list[Claim]:
        with unit_of_work():
            return outbox.claim_due(4)

    claims = [c for some in with_hands(app, claim) for c in some]
    assert max(Counter(c.job_id for c in claims).values()) == 1
    db.session.rollback()
    with unit_of_work():
        claims += outbox.claim_due()
    assert len(claims) == 12


def test_workers_side_by_side_do_every_job_once(app: Flask, ledger: Ledger) -> None:
    for n in range(24):
        ask(n)
    with_hands(app, lambda _: jobs.run_all())
    jobs.run_all()
    assert ledger.effects == list(range(24))


def test_one_job_handed_to_all_is_done_by_one(app: Flask, ledger: Ledger) -> None:
    ask(5)
    with unit_of_work():
        (only,) = outbox.claim_due()
    done = with_hands(app, lambda _: jobs.execute(only.job_id, only.token))
    assert done.count(True) == 1
    assert ledger.effects == [5]
    assert job().state == "done"


def test_one_cause_written_by_all_is_one_job(app: Flask, ledger: Ledger) -> None:
    written = with_hands(app, lambda n: ask(n, key="the one cause"))
    assert written.count(True) == 1
    assert jobs.run_all() == 1
    assert len(ledger.effects) == 1
