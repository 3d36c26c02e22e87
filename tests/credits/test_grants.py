"""Grants happen exactly once; the ledger keeps every one and cannot be rewritten."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from portal.cli import credits as credits_commands
from portal.credits import queries, service
from portal.credits.rules import Discrepancy, EntryKind, LotKind
from portal.kit import tenancy
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Invalid, NotFound
from portal.kit.unit_of_work import unit_of_work
from tests.credits.steps import adjust, day, entries, give, left, renew
from tests.support.tenants import make_vendor


def test_a_grant_is_a_lot_an_entry_and_a_balance(vendor_id: int) -> None:
    assert give(vendor_id, 500, "start", expires_at=day(14)) is True
    assert queries.balance(vendor_id) == 500
    (lot,) = queries.lots(vendor_id)
    assert (lot.kind, lot.granted, lot.remaining, lot.expires_at) == (LotKind.GRANT, 500, 500, day(14))
    (entry,) = queries.ledger(vendor_id, 10)
    assert (entry.kind, entry.amount, entry.balance_after, entry.actor) == (EntryKind.GRANT, 500, 500, "system")


def test_the_same_source_again_changes_nothing(vendor_id: int) -> None:
    give(vendor_id, 500, "start")
    assert [give(vendor_id, 500, "start") for _ in range(10)] == [False] * 10
    assert give(vendor_id, 900, "start") is False
    assert entries(vendor_id) == [("grant", 500, 500)]


def test_two_vendors_may_have_the_same_source(vendor_id: int) -> None:
    give(vendor_id, 500, "start")
    other = make_vendor("tea-house")
    with tenancy.scoped(other):
        with unit_of_work():
            service.open_account(other)
        assert give(other, 700, "start") is True
        assert queries.balance(other) == 700
    assert queries.balance(vendor_id) == 500


def test_opening_an_account_again_keeps_what_is_in_it(vendor_id: int) -> None:
    give(vendor_id, 500, "start")
    with unit_of_work():
        service.open_account(vendor_id)
    assert queries.balance(vendor_id) == 500


def test_without_an_account_there_is_no_balance_and_no_grant(app: Flask) -> None:
    stranger = make_vendor("tea-house")
    with tenancy.scoped(stranger):
        assert queries.balance(stranger) is None
        with pytest.raises(NotFound):
            give(stranger, 5, "start")


def test_a_tier_without_included_credits_grants_nothing(vendor_id: int) -> None:
    assert give(vendor_id, 0, "start") is False
    assert (queries.balance(vendor_id), entries(vendor_id), left(vendor_id)) == (0, [], {})


@pytest.mark.parametrize("amount", [-5, 1_000_000_001])
def test_what_is_no_amount_is_refused_at_the_field(vendor_id: int, amount: int) -> None:
    with pytest.raises(Invalid) as refused:
        give(vendor_id, amount, "start")
    assert refused.value.fields.keys() == {"amount"}
    assert entries(vendor_id) == []


def test_the_ledger_refuses_to_be_changed_or_deleted(vendor_id: int) -> None:
    give(vendor_id, 500, "start")
    for statement in ("UPDATE credit_transactions SET amount = 5000", "DELETE FROM credit_transactions"):
        with pytest.raises(DatabaseError, match="append-only"), unit_of_work() as session:
            session.execute(text(statement))
    assert entries(vendor_id) == [("grant", 500, 500)]


def test_a_failed_unit_of_work_leaves_no_credit(vendor_id: int) -> None:
    with pytest.raises(RuntimeError), unit_of_work():
        service.grant(
            vendor_id,
            500,
            source="start",
            kind=LotKind.GRANT,
            entry=EntryKind.GRANT,
            description="Included credits",
            expires_at=None,
            actor=SYSTEM,
            now=day(0),
        )
        raise RuntimeError("the door broke")
    assert (queries.balance(vendor_id), entries(vendor_id), left(vendor_id)) == (0, [], {})


def in_parallel(app: Flask, vendor_id: int, act: Callable[[int], bool], times: int = 8) -> list[bool]:
    """Run ``act`` in as many threads as given, each with its own context and session, all let go at once."""
    gate, answers = threading.Barrier(times), []

    def work(number: int) -> None:
        with app.app_context(), tenancy.scoped(vendor_id):
            gate.wait()
            answers.append(act(number))
            db.session.remove()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers)


def test_eight_at_once_with_one_source_grant_once(app: Flask, vendor_id: int) -> None:
    answers = in_parallel(app, vendor_id, lambda _: give(vendor_id, 500, "invoice:in_1"))
    assert answers == [False] * 7 + [True]
    assert entries(vendor_id) == [("grant", 500, 500)]


def test_eight_renewals_at_once_renew_once(app: Flask, vendor_id: int) -> None:
    give(vendor_id, 120, "start", expires_at=day(0))
    answers = in_parallel(app, vendor_id, lambda _: renew(vendor_id, 500, "invoice:in_1", day(30)))
    assert answers == [False] * 7 + [True]
    assert entries(vendor_id) == [("grant", 120, 120), ("expiry", -120, 0), ("grant", 500, 500)]


def test_eight_different_grants_at_once_all_count(app: Flask, vendor_id: int) -> None:
    assert in_parallel(app, vendor_id, lambda n: give(vendor_id, 10 + n, f"pack:{n}")) == [True] * 8
    # 10 + 11 + … + 17 = 8 × 13.5 = 108
    assert queries.balance(vendor_id) == 108
    running = [after for _, _, after in entries(vendor_id)]
    assert running == sorted(running)


def test_eight_removals_at_once_take_what_is_there_and_no_more(app: Flask, vendor_id: int) -> None:
    give(vendor_id, 50, "start")

    def take_ten(number: int) -> bool:
        try:
            return adjust(vendor_id, -10, f"take:{number}")
        except Invalid:
            return False

    # 50 credits pay for five times ten; the other three are refused.
    assert in_parallel(app, vendor_id, take_ten) == [False] * 3 + [True] * 5
    assert queries.balance(vendor_id) == 0


def test_verify_names_the_vendor_whose_books_do_not_agree(app: Flask) -> None:
    vendor = make_vendor()
    with tenancy.scoped(vendor):
        with unit_of_work():
            service.open_account(vendor)
        give(vendor, 500, "start")
    runner = app.test_cli_runner()
    assert runner.invoke(credits_commands.group, ["verify"]).exit_code == 0
    with unit_of_work() as session:
        session.execute(text("UPDATE credit_accounts SET balance = 510"))
        session.execute(text("UPDATE credit_lots SET remaining = 480"))
    with tenancy.unscoped("a test"):
        assert queries.verify() == [Discrepancy(vendor, balance=510, ledger=500, lots=480)]
    result = runner.invoke(credits_commands.group, ["verify"])
    assert result.exit_code == 1
    assert result.output == f"vendor {vendor}: balance 510, sum of the ledger 500, left in lots 480\n"


def test_entries_keep_the_time_they_were_given(vendor_id: int) -> None:
    give(vendor_id, 5, "leap", now=datetime(2028, 2, 29, 23, 59, tzinfo=UTC))
    assert queries.ledger(vendor_id, 1)[0].at == datetime(2028, 2, 29, 23, 59, tzinfo=UTC)
