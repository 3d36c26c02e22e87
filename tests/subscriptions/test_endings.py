"""Cancelling, taking it back, the end and coming again (SUB-7); every date worked out by hand."""

import contextlib
from datetime import UTC, datetime

import pytest
import requests
from flask.testing import FlaskClient

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.credits import queries as credits
from portal.credits import service as credit_service
from portal.credits.rules import EntryKind, LotKind
from portal.entitlements import queries as entitlements
from portal.kit import actor, clock, jobs
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, Unavailable
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.subscriptions import change_flows, ending_flows, endings, queries
from portal.subscriptions import jobs as tasks
from portal.subscriptions.endings import Wish
from portal.subscriptions.history import lock
from portal.subscriptions.models import Trial
from portal.subscriptions.queries import Ending
from portal.subscriptions.rules import Provider, Status, When
from tests.kit.conftest import pass_time
from tests.stripe_events.test_orders_of_events import now_has_a_card_that_fails
from tests.subscriptions.conftest import ADMIN
from tests.support.servers import KEY, Sandbox
from tests.support.stories import (
    Somebody,
    mails_to,
    opens_checkout,
    own_card,
    pays,
    settle,
    signs_up,
    stripe_get,
    stripe_post,
    vendor_row,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
AT_END, NOW = Wish(at_once=False, feedback="too_expensive", comment="Too dear for us"), Wish(at_once=True)


def cancels(who: Somebody, wish: Wish = AT_END, by: actor.Actor | None = None) -> Ending:
    return ending_flows.cancel(who.id, wish, actor=by or who.actor, base_version=queries.held(who.id).version)


def resumes(who: Somebody) -> bool:
    return ending_flows.resume(who.id, actor=who.actor, base_version=queries.held(who.id).version)


def at_stripe(sandbox: Sandbox, who: Somebody) -> dict:
    customer = str(vendor_row(who).stripe_customer_id)
    return stripe_get(sandbox, "subscriptions", customer=customer, status="all")["data"][0]


def rights(who: Somebody) -> dict:
    return entitlements.rights(who.id, clock.business()).limits


def happened(who: Somebody) -> list[tuple[str, str]]:
    """Kind and who, oldest first."""
    db.session.rollback()
    return [(line.kind, line.by) for line in reversed(queries.history(who.id))]


def mails(who: Somebody) -> dict[str, int]:
    wanted = ("cancel_scheduled", "cancelled", "resumed")
    return {kind: n for kind, n in mails_to(who).items() if kind in wanted}


def buys_credits(who: Somebody, amount: int) -> None:
    with unit_of_work():
        credit_service.grant(
            who.id, amount, source="package", kind=LotKind.PURCHASE, entry=EntryKind.PURCHASE, description="Package",
            expires_at=None, actor=who.actor, now=clock.business(),
        )  # fmt: skip


@pytest.mark.thorough
def test_cancelled_for_the_end_of_the_period_everything_stays_until_then(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    buys_credits(payer, 700)
    now = cancels(payer)
    settle(pushed, client)
    assert (now.at_period_end, now.status) == (True, Status.ACTIVE)
    there = at_stripe(pushed, payer)
    assert there["cancel_at_period_end"]
    assert there["cancellation_details"]["feedback"] == "too_expensive"
    assert there["cancellation_details"]["comment"] == "Too dear for us"
    assert rights(payer)["orders"] == 500
    assert credits.balance(payer.id) == 2700
    assert mails(payer) == {"cancel_scheduled": 1}
    assert ("cancel_requested", "Ada Lovelace") in happened(payer)
    assert "cancellation_changed" not in dict(happened(payer)), "one act, one line"

    much_later(days=32)  # 15 January to 15 February is paid for; it is 16 February now
    assert queries.held(payer.id).status == Status.CANCELLED
    assert rights(payer) == {}
    assert credits.balance(payer.id) == 700, "included credits end with the period, bought ones stay"
    assert mails(payer) == {"cancel_scheduled": 1, "cancelled": 1}
    assert len(stripe_get(pushed, "invoices", customer=str(vendor_row(payer).stripe_customer_id))["data"]) == 1
    much_later(days=40)
    assert credits.balance(payer.id) == 700
    assert mails(payer) == {"cancel_scheduled": 1, "cancelled": 1}


def test_taken_back_before_the_end_it_goes_on_and_a_second_click_changes_nothing(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    cancels(payer)
    settle(pushed, client)
    assert resumes(payer)
    settle(pushed, client)
    before = happened(payer)
    assert not resumes(payer)
    pass_time(60)
    settle(pushed, client)
    assert happened(payer) == before
    assert not at_stripe(pushed, payer)["cancel_at_period_end"]
    assert queries.ending(payer.id).feedback is None, "why somebody wanted to leave does not count any more"
    assert mails(payer) == {"cancel_scheduled": 1, "resumed": 1}
    much_later(days=33)
    held = queries.held(payer.id)
    assert (held.status, held.period_end.date().isoformat()) == (Status.ACTIVE, "2027-03-15")
    assert credits.balance(payer.id) == 2000


def test_it_can_be_cancelled_and_taken_back_again_and_again(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, travel: Travel
) -> None:
    for times in (1, 2):
        travel.on(hours=1)
        cancels(payer)
        settle(pushed, client)
        assert resumes(payer)
        settle(pushed, client)
        assert mails(payer) == {"cancel_scheduled": times, "resumed": times}


def test_a_planned_change_is_taken_back_by_who_cancels(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    essential = catalog.offer("essential", Cycle.MONTHLY)
    assert essential is not None
    version = queries.held(payer.id).version
    change_flows.change_tier(payer.id, essential.id, When.NEXT, actor=ADMIN, base_version=version)
    settle(pushed, client)
    assert at_stripe(pushed, payer)["schedule"]
    cancels(payer)
    settle(pushed, client)
    there = at_stripe(pushed, payer)
    assert (there["schedule"], there["cancel_at_period_end"]) == (None, True)
    found = queries.overview(payer.id)
    assert found is not None and found.pending is None
    assert ("change_undone", "Ada Lovelace") in happened(payer)


def test_at_once_by_an_admin_what_is_unused_becomes_credit(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, travel: Travel, later
) -> None:
    later(days=10)
    now = cancels(payer, Wish(at_once=True, comment="Fraud"), ADMIN)
    settle(pushed, client)
    assert now.status == Status.CANCELLED
    customer = stripe_get(pushed, f"customers/{vendor_row(payer).stripe_customer_id}")
    # 31 days cost 9900 cents; 10 days and a few seconds are used: 21/31 of it, 6706 cents, within a cent a minute.
    assert abs(-customer["balance"] - 9900 * 21 // 31) <= 1
    assert rights(payer) == {} and credits.balance(payer.id) == 0
    assert mails(payer) == {"cancelled": 1}
    mail = db.session.query(SentMail).filter_by(kind="cancelled").one()
    assert (mail.params["by"], mail.params["cause"]) == ("Grace", "asked")
    [line] = [h for h in queries.history(payer.id) if h.kind == "cancel_requested"]
    assert (line.reason, line.by, line.data["at_once"]) == ("Fraud", "Grace", True)


def test_without_a_mail_where_staff_does_not_want_one(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    cancels(payer, Wish(at_once=True, comment="Double", notify=False), ADMIN)
    settle(pushed, client)
    pass_time(60)
    settle(pushed, client)
    assert queries.held(payer.id).status == Status.CANCELLED
    assert mails(payer) == {}


def test_vendors_end_a_paid_period_at_once_unless_they_owe(pushed: Sandbox, payer: Somebody) -> None:
    with unit_of_work():
        lock(payer.id).status = Status.PAST_DUE
    with pytest.raises(Conflict) as refused:
        cancels(payer, NOW)
    assert refused.value.code == "not_in_this_state"
    assert at_stripe(pushed, payer)["status"] == "active"
    with unit_of_work():
        lock(payer.id).status = Status.ACTIVE
    cancels(payer, NOW)
    assert at_stripe(pushed, payer)["status"] == "canceled"


def test_a_trial_ends_at_once_and_there_is_no_second_one(
    client: FlaskClient, pushed: Sandbox, travel: Travel, later
) -> None:
    who = signs_up()
    buys_credits(who, 300)
    cancels(who, NOW)
    assert queries.held(who.id).status == Status.CANCELLED
    assert rights(who) == {} and credits.balance(who.id) == 300
    assert mails(who) == {"cancelled": 1}
    with pytest.raises(Conflict):
        resumes(who)

    travel.on(days=3)
    before = happened(who)
    assert pays(opens_checkout(who), own_card(1)).status_code == 303
    settle(pushed, client)
    held = queries.held(who.id)
    assert held.status == Status.ACTIVE
    assert held.trial_ends_at is None, "charged from the first day"
    assert held.period_start.date().isoformat() == "2027-01-18"
    assert db.session.query(Trial).filter_by(vendor_id=who.id).count() == 1
    assert rights(who)["orders"] == 500
    assert credits.balance(who.id) == 2300
    assert happened(who)[: len(before)] == before, "the history goes on"
    assert queries.ending(who.id).asked_at is None


def test_who_left_comes_again_and_everything_is_there(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, travel: Travel, much_later
) -> None:
    first = queries.held(payer.id)
    cancels(payer)
    much_later(days=40)
    assert queries.held(payer.id).status == Status.CANCELLED
    assert pays(opens_checkout(payer, "business")).status_code == 303
    settle(pushed, client)
    held = queries.held(payer.id)
    assert (held.id, held.status, held.cancel_at_period_end) == (first.id, Status.ACTIVE, False)
    assert held.stripe_subscription_id != first.stripe_subscription_id
    assert rights(payer)["orders"] == 2000
    assert credits.balance(payer.id) == 10000
    assert mails(payer) == {"cancel_scheduled": 1, "cancelled": 1}
    cancels(payer)
    much_later(days=40)
    assert queries.held(payer.id).status == Status.CANCELLED
    assert credits.balance(payer.id) == 0
    assert mails(payer) == {"cancel_scheduled": 2, "cancelled": 2}


def test_two_who_saw_the_same_the_second_is_told(pushed: Sandbox, payer: Somebody) -> None:
    seen = queries.held(payer.id).version
    ending_flows.cancel(payer.id, AT_END, actor=payer.actor, base_version=seen)
    with pytest.raises(Conflict):
        ending_flows.cancel(payer.id, AT_END, actor=ADMIN, base_version=seen)
    with pytest.raises(Conflict) as again:
        cancels(payer)
    assert again.value.code == "already_cancelled"
    with pytest.raises(Conflict):
        ending_flows.resume(payer.id, actor=ADMIN, base_version=seen)
    assert queries.ending(payer.id).at_period_end


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (Wish(at_once=False, feedback="because"), "feedback"),
        (Wish(at_once=False, comment="x" * 501), "comment"),
    ],
)
def test_what_does_not_fit_is_named_at_its_field(pushed: Sandbox, payer: Somebody, wish: Wish, field: str) -> None:
    with pytest.raises(Invalid) as wrong:
        cancels(payer, wish)
    assert field in wrong.value.fields
    assert not queries.ending(payer.id).at_period_end
    assert queries.ending(payer.id).asked_at is None


@pytest.mark.parametrize("at_once", [False, True], ids=["at the end", "at once"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_stripe_is_down_and_the_job_finishes_it(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, when: str, at_once: bool
) -> None:
    """Before the effect nothing has happened, after it everything has: one ending, one mail in both cases."""
    path = f"{'DELETE' if at_once else 'POST'} /v1/subscriptions/"
    fault = {"kind": "status", "status": 500, "when": when, "times": 20, "path": path}
    requests.post(f"{pushed.url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()
    with contextlib.suppress(Unavailable):
        cancels(payer, Wish(at_once=at_once, comment="Moving"), ADMIN)
    requests.delete(f"{pushed.url}/_sandbox/faults", timeout=20)
    pass_time(600)
    settle(pushed, client)
    pass_time(600)
    settle(pushed, client)
    now = queries.ending(payer.id)
    assert (now.status == Status.CANCELLED) is at_once
    assert now.at_period_end is not at_once
    assert mails(payer) == ({"cancelled": 1} if at_once else {"cancel_scheduled": 1})
    assert [k for k, _ in happened(payer)].count("cancel_requested") == 1


def test_cancelled_and_taken_back_in_stripes_own_dashboard(
    client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    held = queries.held(payer.id).stripe_subscription_id
    stripe_post(
        pushed, f"subscriptions/{held}", cancel_at_period_end="true",
        **{"cancellation_details[feedback]": "unused", "cancellation_details[comment]": "By phone"},
    )  # fmt: skip
    settle(pushed, client)
    now = queries.ending(payer.id)
    assert (now.at_period_end, now.feedback, now.comment) == (True, "unused", "By phone")
    assert now.asked_at is not None
    assert ("cancellation_changed", "Stripe") in happened(payer)
    stripe_post(pushed, f"subscriptions/{held}", cancel_at_period_end="false")
    settle(pushed, client)
    now = queries.ending(payer.id)
    assert (now.at_period_end, now.feedback, now.asked_at) == (False, None, None)
    assert mails(payer) == {"cancel_scheduled": 1, "resumed": 1}


def test_ended_in_stripes_own_dashboard(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    held = queries.held(payer.id).stripe_subscription_id
    assert requests.delete(f"{pushed.url}/v1/subscriptions/{held}", auth=(KEY, ""), timeout=20).status_code == 200
    settle(pushed, client)
    assert queries.held(payer.id).status == Status.CANCELLED
    assert credits.balance(payer.id) == 0
    assert mails(payer) == {"cancelled": 1}


@pytest.mark.thorough
def test_an_invoice_that_is_paid_after_the_end_brings_no_credits(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, later
) -> None:
    now_has_a_card_that_fails(pushed, str(vendor_row(payer).stripe_customer_id))
    later(days=32)
    cancels(payer, Wish(at_once=True, comment="Left"), ADMIN)
    settle(pushed, client)
    assert queries.held(payer.id).status == Status.CANCELLED
    [invoice] = [
        i for i in stripe_get(pushed, "invoices", customer=str(vendor_row(payer).stripe_customer_id))["data"]
        if i["status"] == "open"
    ]  # fmt: skip
    assert pays(invoice["hosted_invoice_url"]).status_code == 303
    settle(pushed, client)
    assert mails_to(payer)["receipt"] == 2
    assert queries.held(payer.id).status == Status.CANCELLED
    assert rights(payer) == {} and credits.balance(payer.id) == 0


@pytest.fixture
def by_transfer(client: FlaskClient, travel: Travel) -> Somebody:
    """A vendor that pays by bank transfer, for 15 January to 15 February."""
    who = signs_up()
    with unit_of_work():
        row = lock(who.id)
        row.provider, row.status = Provider.TRANSFER, Status.ACTIVE
        row.period_end, row.trial_ends_at = datetime(2027, 2, 15, 12, tzinfo=UTC), None
    return who


def an_hour_passes(travel: Travel) -> None:
    with unit_of_work():
        tasks.end_due()
    jobs.run_all()
    travel.on(hours=1)


def test_without_stripe_the_hourly_task_ends_it(by_transfer: Somebody, travel: Travel) -> None:
    cancels(by_transfer)
    assert resumes(by_transfer)
    cancels(by_transfer)
    assert mails(by_transfer) == {"cancel_scheduled": 2, "resumed": 1}
    travel.to(datetime(2027, 2, 15, 11, 30, tzinfo=UTC))
    an_hour_passes(travel)
    assert queries.held(by_transfer.id).status == Status.ACTIVE
    an_hour_passes(travel)
    an_hour_passes(travel)
    assert queries.held(by_transfer.id).status == Status.CANCELLED
    assert rights(by_transfer) == {} and credits.balance(by_transfer.id) == 0
    assert mails(by_transfer)["cancelled"] == 1
    assert [k for k, _ in happened(by_transfer)].count("status_changed") == 1


def test_without_stripe_staff_ends_it_at_once(by_transfer: Somebody) -> None:
    cancels(by_transfer, Wish(at_once=True, comment="Asked by mail"), ADMIN)
    assert queries.held(by_transfer.id).status == Status.CANCELLED
    assert mails(by_transfer) == {"cancelled": 1}
    assert db.session.query(OutboxJob).filter_by(task="subscriptions.carry_on_cancel").count() == 0


def test_taken_back_too_late_it_has_ended(by_transfer: Somebody, travel: Travel) -> None:
    cancels(by_transfer)
    travel.on(days=40)
    with unit_of_work():
        endings.end_due(by_transfer.id, now=clock.business())
    with pytest.raises(Conflict) as late:
        resumes(by_transfer)
    assert late.value.code == "not_in_this_state"
    assert mails(by_transfer) == {"cancel_scheduled": 1, "cancelled": 1}
