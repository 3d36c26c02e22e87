"""An invoice stays unpaid (SUB-8): what is written when, what closes when, and that paying opens it at once."""

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from portal.billing.models import Invoice
from portal.credits import queries as credits
from portal.entitlements import queries as entitlements
from portal.kit import clock
from portal.kit.actor import STRIPE, SYSTEM
from portal.kit.db import db
from portal.kit.errors import Conflict
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.settings import service as settings
from portal.subscriptions import dunning, queries, rules
from portal.subscriptions.flows import sync
from portal.subscriptions.history import lock
from portal.subscriptions.models import SubscriptionEvent
from portal.subscriptions.rules import Provider, Restriction, Status, dunning_day, effective_status
from tests.stripe_events.test_orders_of_events import now_has_a_card_that_fails
from tests.subscriptions.conftest import ADMIN
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, mails_to, opens_checkout, pays, settle, signs_up, stripe_get, vendor_row
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
SINCE = datetime(2027, 2, 15, 13, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("elapsed", "grace", "day"),
    [
        (timedelta(), 7, 0),
        (3 * DAY - HOUR, 7, 0),
        (3 * DAY, 7, 3),
        (4 * DAY, 7, 3),
        (5 * DAY, 7, 5),
        (7 * DAY - HOUR, 7, 5),
        (7 * DAY, 7, None),  # the grace is over: the suspension's mail
        (7 * DAY, 14, 7),
        (13 * DAY, 14, 7),
        (14 * DAY, 14, None),
        (DAY, 2, 0),
        (2 * DAY, 2, None),
        (timedelta(), 0, None),
        (-HOUR, 7, None),
    ],
)
def test_each_day_has_its_mail_until_the_grace_is_over(elapsed: timedelta, grace: int, day: int | None) -> None:
    assert dunning_day(SINCE, SINCE + elapsed, grace) == day


FIRST = {Restriction.UPGRADE, Restriction.TOP_UP, Restriction.GRANT}


@pytest.mark.parametrize(
    ("status", "elapsed", "closed"),
    [
        (Status.ACTIVE, 9 * DAY, set()),
        (Status.TRIAL, DAY, set()),
        (Status.PAST_DUE, timedelta(), FIRST),
        (Status.PAST_DUE, 3 * DAY - HOUR, FIRST),
        (Status.PAST_DUE, 3 * DAY, FIRST | {Restriction.CREATE, Restriction.COSTLY}),
        (Status.SUSPENDED, DAY, set(Restriction)),
        (Status.CANCELLED, DAY, set(Restriction)),
        (Status.TRIAL_ENDED, DAY, set(Restriction)),
        (Status.PENDING_PAYMENT, DAY, set(Restriction)),
        (None, DAY, set(Restriction)),
    ],
)
def test_what_is_closed_because_of_money(status: Status | None, elapsed: timedelta, closed: set[Restriction]) -> None:
    assert rules.restrictions(status, SINCE, SINCE + elapsed) == closed


@pytest.mark.parametrize(
    ("told", "ours", "then"),
    [
        ("past_due", Status.ACTIVE, Status.PAST_DUE),
        ("past_due", Status.PAST_DUE, Status.PAST_DUE),
        ("past_due", Status.SUSPENDED, Status.SUSPENDED),
        ("active", Status.SUSPENDED, Status.ACTIVE),
        ("unpaid", Status.PAST_DUE, Status.SUSPENDED),
        ("canceled", Status.SUSPENDED, Status.CANCELLED),
    ],
)
def test_stripes_past_due_does_not_lift_a_suspension(told: str, ours: Status, then: Status) -> None:
    assert effective_status(told, ours) == then


@pytest.fixture
def debtor(client: FlaskClient, payer: Somebody, pushed: Sandbox, travel: Travel, scene: Scene, later) -> Somebody:
    """The renewal of 15 February could not be collected: billed at noon, tried at 13:00. It is 16 February, noon."""

    def fails() -> None:
        now_has_a_card_that_fails(pushed, str(vendor_row(payer).stripe_customer_id))
        later(days=32)

    scene("the renewal failed", fails)
    return payer


def status(who: Somebody) -> Status:
    db.session.rollback()
    return queries.held(who.id).status


def rights(who: Somebody) -> dict:
    return entitlements.rights(who.id, clock.business()).limits


def pays_the_invoice(sandbox: Sandbox, client: FlaskClient, who: Somebody) -> None:
    [invoice] = stripe_get(sandbox, "invoices", customer=str(vendor_row(who).stripe_customer_id), status="open")["data"]
    assert pays(invoice["hosted_invoice_url"]).status_code == 303
    settle(sandbox, client)


def mails(who: Somebody) -> dict[str, int]:
    wanted = ("payment_failed", "payment_reminder", "suspended", "reactivated")
    return {kind: n for kind, n in mails_to(who).items() if kind in wanted}


def since(who: Somebody) -> datetime | None:
    found = queries.overview(who.id)
    assert found is not None
    return found.past_due_since


def test_unpaid_for_a_week_it_closes_and_paying_opens_it(
    client: FlaskClient, pushed: Sandbox, travel: Travel, debtor: Somebody, later
) -> None:
    assert status(debtor) == Status.PAST_DUE
    began = since(debtor)
    # Billed at the end of the period, 15 February at noon; the draft is collected an hour later.
    assert began is not None and abs(began - SINCE) < timedelta(minutes=2)
    assert rights(debtor)["orders"] == 500, "the grace leaves the product open"
    assert mails(debtor) == {"payment_failed": 1}
    assert queries.restrictions(debtor.id, clock.business()) == FIRST

    later(days=2, hours=6)  # 18 February, 18:00: the fourth day has begun
    assert mails(debtor) == {"payment_failed": 1, "payment_reminder": 1}
    assert Restriction.CREATE in queries.restrictions(debtor.id, clock.business())
    later(days=2)
    assert mails(debtor) == {"payment_failed": 1, "payment_reminder": 2}
    assert status(debtor) == Status.PAST_DUE

    later(days=2)  # 22 February, 18:00: seven days are over
    assert status(debtor) == Status.SUSPENDED
    assert rights(debtor) == {}
    assert mails(debtor) == {"payment_failed": 1, "payment_reminder": 2, "suspended": 1}
    days = [m.params["day"] for m in db.session.query(SentMail).filter_by(kind="payment_reminder")]
    assert sorted(days) == [3, 5]

    # Stripe goes on saying past_due: that opens nothing, and nothing is written again.
    sync(debtor.id, str(queries.held(debtor.id).stripe_subscription_id))
    later(days=1)
    assert status(debtor) == Status.SUSPENDED
    assert mails(debtor)["suspended"] == 1

    pays_the_invoice(pushed, client, debtor)
    assert status(debtor) == Status.ACTIVE
    assert since(debtor) is None
    assert rights(debtor)["orders"] == 500
    assert mails(debtor)["reactivated"] == 1
    assert credits.balance(debtor.id) == 2000, "the period's credits come with its payment, once"
    later(days=1)
    assert status(debtor) == Status.ACTIVE, "paid is paid: it never closes again for the same invoice"


@pytest.mark.thorough
def test_paid_within_the_grace_nothing_closes(client: FlaskClient, pushed: Sandbox, debtor: Somebody) -> None:
    assert credits.balance(debtor.id) == 0, "the last period's credits are over, the next ones are not paid for"
    pays_the_invoice(pushed, client, debtor)
    assert status(debtor) == Status.ACTIVE
    assert mails(debtor) == {"payment_failed": 1}
    assert credits.balance(debtor.id) == 2000


def test_a_day_that_nobody_looked_at_is_not_made_up_for(
    client: FlaskClient, pushed: Sandbox, travel: Travel, debtor: Somebody
) -> None:
    travel.on(days=4)  # 20 February, noon: day 4; the mail of day 3 is due, that of day 5 is not
    for _ in range(2):
        with unit_of_work():
            dunning.tend_vendor(debtor.id, now=clock.business())
    travel.on(days=2)  # 22 February, noon: an hour before the end
    with unit_of_work():
        dunning.tend_vendor(debtor.id, now=clock.business())
    assert status(debtor) == Status.PAST_DUE
    assert mails(debtor) == {"payment_failed": 1, "payment_reminder": 2}
    travel.on(days=9)
    with unit_of_work():
        dunning.tend_vendor(debtor.id, now=clock.business())
    assert mails(debtor) == {"payment_failed": 1, "payment_reminder": 2, "suspended": 1}


def test_one_job_a_day_and_vendor(debtor: Somebody, travel: Travel) -> None:
    [first] = list(dunning.due(clock.business()))
    travel.on(hours=20)
    assert list(dunning.due(clock.business())) == [first], "the same day, the same cause"
    travel.on(days=2)
    [third] = list(dunning.due(clock.business()))
    assert third.cause != first.cause
    travel.on(days=9)
    [end] = list(dunning.due(clock.business()))
    assert end.cause.endswith("end of 7")


def test_without_grace_it_closes_at_once(
    client: FlaskClient, pushed: Sandbox, travel: Travel, payer: Somebody, much_later
) -> None:
    with unit_of_work():
        settings.change("grace_days", 0, actor=ADMIN, now=clock.business())
    now_has_a_card_that_fails(pushed, str(vendor_row(payer).stripe_customer_id))
    much_later(days=32)
    assert status(payer) == Status.SUSPENDED
    assert mails(payer) == {"suspended": 1}


def test_heard_of_late_it_counts_from_stripes_date(
    client: FlaskClient, pushed: Sandbox, travel: Travel, payer: Somebody
) -> None:
    """For nine days no event came through: the grace was over on 22 February, whenever we hear of it."""
    now_has_a_card_that_fails(pushed, str(vendor_row(payer).stripe_customer_id))
    travel.on(days=40)
    pushed.run_due()
    sync(payer.id, str(queries.held(payer.id).stripe_subscription_id))
    began = since(payer)
    assert began is not None and abs(began - SINCE) < timedelta(minutes=2)
    assert status(payer) == Status.SUSPENDED
    assert mails(payer) == {"suspended": 1}


def test_a_first_charge_that_comes_early_counts_from_its_own_date(
    client: FlaskClient, pushed: Sandbox, travel: Travel
) -> None:
    """The second vendor's card had a trial before: it is charged at once, in vain."""
    for name in ("first", "second"):
        who = signs_up(email=f"{name}@shop.example", name=name)
        assert pays(opens_checkout(who), "4000000000000341").status_code == 303
        settle(pushed, client)
    invoice = db.session.query(Invoice).filter_by(vendor_id=who.id, status="open").one()
    assert invoice.reason == "subscription_update"
    assert status(who) == Status.PAST_DUE
    assert since(who) == invoice.issued_at
    travel.on(days=8)
    with unit_of_work():
        dunning.tend_vendor(who.id, now=clock.business())
    assert status(who) == Status.SUSPENDED


@pytest.mark.parametrize(("after_retries", "ends"), [("unpaid", Status.SUSPENDED), ("cancel", Status.CANCELLED)])
def test_stripe_gives_up_before_the_grace_is_over(
    client: FlaskClient, pushed: Sandbox, debtor: Somebody, later, after_retries: str, ends: Status
) -> None:
    """With 14 days of grace Stripe's last try, on day 7, comes first: what it is set to counts."""
    with unit_of_work():
        settings.change("grace_days", 14, actor=ADMIN, now=clock.business())
    pushed.post("/_sandbox/settings", after_retries=after_retries)
    later(days=8)
    assert status(debtor) == ends
    assert rights(debtor) == {}
    last = "suspended" if ends == Status.SUSPENDED else "cancelled"
    assert mails_to(debtor)[last] == 1
    if ends == Status.CANCELLED:
        assert db.session.query(SentMail).filter_by(kind="cancelled").one().params["cause"] == "unpaid"
    else:
        pays_the_invoice(pushed, client, debtor)
        assert status(debtor) == Status.ACTIVE
        assert mails(debtor)["reactivated"] == 1


@pytest.fixture
def by_transfer(client: FlaskClient, travel: Travel) -> Somebody:
    """A vendor that pays by bank transfer, for 15 January to 15 February."""
    who = signs_up()
    with unit_of_work():
        row = lock(who.id)
        row.provider, row.status = Provider.TRANSFER, Status.ACTIVE
        row.period_end, row.trial_ends_at = datetime(2027, 2, 15, 12, tzinfo=UTC), None
    return who


def falls_behind(who: Somebody) -> bool:
    with unit_of_work():
        row = lock(who.id)
        return dunning.fall_behind(row, since=row.period_end, now=clock.business())


def test_the_same_for_bank_transfers(by_transfer: Somebody, travel: Travel) -> None:
    travel.to(datetime(2027, 2, 15, 12, 30, tzinfo=UTC))
    assert falls_behind(by_transfer)
    assert not falls_behind(by_transfer)
    assert status(by_transfer) == Status.PAST_DUE
    assert mails(by_transfer) == {"payment_reminder": 1}
    travel.on(days=7)
    with unit_of_work():
        dunning.tend_vendor(by_transfer.id, now=clock.business())
    assert status(by_transfer) == Status.SUSPENDED
    for _ in range(2):
        with unit_of_work():
            dunning.recover(lock(by_transfer.id), now=clock.business(), actor=ADMIN)
    assert status(by_transfer) == Status.ACTIVE
    assert rights(by_transfer)["orders"] == 500
    assert mails(by_transfer) == {"payment_reminder": 1, "suspended": 1, "reactivated": 1}
    changes = [
        (e.data["before"], e.data["after"], e.actor_kind)
        for e in db.session.query(SubscriptionEvent).filter_by(kind="status_changed").order_by(SubscriptionEvent.id)
    ]
    assert changes == [
        ("active", "past_due", "system"),
        ("past_due", "suspended", "system"),
        ("suspended", "active", "staff"),
    ]


def test_the_table_of_states_is_asked(by_transfer: Somebody) -> None:
    with unit_of_work():
        lock(by_transfer.id).status = Status.CANCELLED
    with unit_of_work(), pytest.raises(Conflict):
        row = lock(by_transfer.id)
        dunning.fall_behind(row, since=clock.business(), now=clock.business(), actor=SYSTEM)
    with unit_of_work():
        assert not dunning.recover(lock(by_transfer.id), now=clock.business(), actor=STRIPE)
    assert status(by_transfer) == Status.CANCELLED


def test_unpaid_since_before_the_grace_was_counted(by_transfer: Somebody, travel: Travel) -> None:
    """Rows of an earlier release know no date: their grace begins when they are first looked at."""
    with unit_of_work():
        lock(by_transfer.id).status = Status.PAST_DUE
    assert len(list(dunning.due(clock.business()))) == 1
    with unit_of_work():
        dunning.tend_vendor(by_transfer.id, now=clock.business())
    assert status(by_transfer) == Status.PAST_DUE
    assert since(by_transfer) is not None
