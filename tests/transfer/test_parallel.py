"""Twenty people click at once: money is counted once, rights and credits come once (ADM-9)."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask

from portal.billing.models import Payment
from portal.checkout import transfer
from portal.checkout.models import Purchase
from portal.checkout.transfer import Approval
from portal.credits import queries as credits
from portal.kit import actor, clock, jobs, tenancy
from portal.kit.db import db
from portal.kit.errors import Conflict
from portal.kit.unit_of_work import unit_of_work
from tests.transfer.steps import held, orders, payer, row, rows

CLICKS = 20


def at_once(app: Flask, act: Callable[[int], object]) -> list[str]:
    """Let so many threads do the same at the same moment; gives what became of each."""
    ready = threading.Barrier(CLICKS)
    out: list[str] = []

    def click(number: int) -> None:
        with app.app_context(), tenancy.unscoped("a test"):
            try:
                ready.wait(timeout=30)
                with unit_of_work():
                    act(number)
                out.append("done")
            except Conflict as error:
                out.append(error.code)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=click, args=(number,)) for number in range(CLICKS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return out


@pytest.mark.parametrize("same_page", [True, False], ids=["one page", "each reloaded"])
def test_twenty_clicks_count_once(bank: Flask, same_page: bool) -> None:
    """Tried once without the version's check and the state's: money came in twenty times, the surplus as credit."""
    who = payer()
    made = orders(who)
    db.session.remove()

    def approve(number: int) -> None:
        version = 1 if same_page else row_version(made)
        approval = Approval(9900, datetime(2027, 1, 15, 12, tzinfo=UTC), version)
        transfer.approve(made, approval, actor=actor.staff(900 + number, "Sam"), now=clock.business())

    out = at_once(bank, approve)
    assert len(out) == CLICKS
    assert out.count("done") == 1, out
    jobs.run_all()
    assert [(p.amount_minor, p.status) for p in rows(Payment, who)] == [(9900, "succeeded")]
    assert len(rows(Purchase, who)) == 1
    assert (row(made).received_minor, held(who).status) == (9900, "active")
    assert credits.verify() == []


def row_version(transfer_id: int) -> int:
    """What a page loaded at this moment would carry."""
    from portal.billing.models import BankTransfer

    return int(db.session.query(BankTransfer.version).filter_by(id=transfer_id).scalar())


def test_approving_and_cancelling_at_once(bank: Flask) -> None:
    """Either the money counts or the order is gone, never both."""
    who = payer()
    made = orders(who)
    db.session.remove()

    def act(number: int) -> None:
        if number % 2:
            transfer.cancel(made, who.id, actor=who.actor, now=clock.business())
        else:
            approval = Approval(9900, datetime(2027, 1, 15, 12, tzinfo=UTC), 1)
            transfer.approve(made, approval, actor=actor.staff(900, "Sam"), now=clock.business())

    at_once(bank, act)
    after = row(made)
    if after.state == "approved":
        assert (after.received_minor, held(who).status) == (9900, "active")
    else:
        assert (after.state, after.received_minor, held(who).status) == ("cancelled", 0, "trial")
        assert rows(Payment, who) == []
