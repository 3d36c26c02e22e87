"""Trials: one per vendor, person and card; reminded of on their days; and 45 days in one go, each thing on its date."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.credits import queries as credits
from portal.entitlements import queries as entitlements
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.notifications.models import SentMail
from portal.subscriptions import flows, queries
from portal.subscriptions.models import SubscriptionEvent
from portal.subscriptions.rules import Status
from tests.subscriptions.conftest import ADMIN
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, mails_to, opens_checkout, own_card, pays, settle, signs_up, stripe_get
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped", "pushed")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ada@shop.example", "ada+two@shop.example"),
        ("ada.lovelace@gmail.com", "adalovelace@gmail.com"),
        ("a.da@googlemail.com", "ada@gmail.com"),
        ("ada@shop.example", "ADA+x@Shop.Example"),
    ],
)
def test_a_person_gets_one_trial(first: str, second: str) -> None:
    signs_up(email=first)
    again = signs_up(email=second, name="Second Shop")
    held = queries.held(again.id)
    assert held.status == Status.TRIAL_ENDED
    assert credits.balance(again.id) == 0
    assert entitlements.rights(again.id, clock.business()).limits == {}
    told = mails_to(again)
    assert (told.get("trial_used"), told.get("welcome")) == (1, None)
    (why,) = db.session.query(SubscriptionEvent).filter_by(vendor_id=again.id, kind="trial_refused")
    assert why.reason == "same person"


def test_somebody_else_gets_a_trial_of_their_own() -> None:
    signs_up(email="ada.lovelace@shop.example")
    other = signs_up(email="adalovelace@shop.example", name="Other")
    assert queries.held(other.id).status == Status.TRIAL


def test_who_had_a_trial_can_still_buy_and_is_charged_at_once(client: FlaskClient, pushed: Sandbox) -> None:
    signs_up()
    again = signs_up(email="ada+two@shop.example", name="Second Shop")
    assert pays(opens_checkout(again), own_card(2)).status_code == 303
    settle(pushed, client)
    assert queries.held(again.id).status == Status.ACTIVE
    assert [i["amount_paid"] for i in stripe_get(pushed, "invoices")["data"]] == [9900]


def test_a_card_that_had_a_trial_ends_the_rest_of_the_next(client: FlaskClient, pushed: Sandbox) -> None:
    first = signs_up(email="ada@shop.example")
    pays(opens_checkout(first), own_card(1))
    settle(pushed, client)
    second = signs_up(email="bob@else.example", name="Bob")
    pays(opens_checkout(second), own_card(1))
    for _ in range(2):
        settle(pushed, client)
    held = queries.overview(second.id)
    assert held is not None
    assert (held.status, held.free_until(clock.business())) == (Status.ACTIVE, None)
    customer = str(queries.held(second.id).stripe_customer_id)
    charged = [i["amount_paid"] for i in stripe_get(pushed, "invoices", customer=customer)["data"]]
    assert charged == [9900, 0]  # the trial's empty invoice, then the first period, once
    assert mails_to(second)["trial_card_used"] == 1
    assert mails_to(second)["receipt"] == 1
    assert "trial_card_used" not in mails_to(first)
    assert queries.held(first.id).trial_ends_at is not None


def days(who: Somebody, *kinds: str) -> list[tuple[str, str]]:
    """(kind, day of January, February …) of the vendor's mails of these kinds, in order."""
    rows = db.session.query(SentMail).filter(SentMail.vendor_id == who.id, SentMail.kind.in_(kinds))
    return [(m.kind + str(m.params.get("days", "")), f"{m.created_at:%m-%d}") for m in rows.order_by(SentMail.id)]


def test_a_trial_is_reminded_of_thrice_and_ends(later: Any) -> None:
    """From 15 January at noon 14 days: until 29 January at noon. 7, 3 and 1 days before: the 22nd, 26th and 28th."""
    who = signs_up()
    later(days=20)
    assert days(who, "trial_ending", "trial_ended") == [
        ("trial_ending7", "01-22"), ("trial_ending3", "01-26"), ("trial_ending1", "01-28"), ("trial_ended", "01-29"),
    ]  # fmt: skip
    assert queries.held(who.id).status == Status.TRIAL_ENDED
    assert entitlements.rights(who.id, clock.business()).limits == {}
    assert credits.balance(who.id) == 2000  # nothing is lost


@pytest.mark.thorough
def test_an_extended_trial_has_reminders_of_its_own(later: Any, travel: Travel) -> None:
    """On 23 January, one reminder later, 7 days more: until 5 February; reminders on 29 January, 2 and 4 February."""
    who = signs_up()
    later(days=8)
    version = queries.held(who.id).version
    ends = flows.extend_trial(who.id, 7, reason="asked nicely", actor=ADMIN, base_version=version)
    assert ends.date() == datetime(2027, 2, 5, tzinfo=UTC).date()
    later(days=16)
    assert days(who, "trial_ending", "trial_ended", "trial_extended") == [
        ("trial_ending7", "01-22"), ("trial_extended", "01-23"), ("trial_ending7", "01-29"), ("trial_ending3", "02-02"),
        ("trial_ending1", "02-04"), ("trial_ended", "02-05"),
    ]  # fmt: skip


def test_a_trial_that_ended_opens_again_by_an_admin(later: Any) -> None:
    who = signs_up()
    later(days=15)
    version = queries.held(who.id).version
    flows.extend_trial(who.id, 3, reason="was on holiday", actor=ADMIN, base_version=version)
    held = queries.held(who.id)
    assert held.status == Status.TRIAL
    assert held.trial_ends_at is not None
    assert timedelta(days=2, hours=23) < held.trial_ends_at - clock.business() <= timedelta(days=3)
    assert entitlements.rights(who.id, clock.business()).limits["orders"] == 500


@pytest.mark.thorough
def test_a_paid_trial_is_extended_at_stripe_too(client: FlaskClient, pushed: Sandbox, later: Any) -> None:
    who = signs_up()
    pays(opens_checkout(who), own_card(1))
    settle(pushed, client)
    flows.extend_trial(who.id, 10, reason="launch", actor=ADMIN, base_version=queries.held(who.id).version)
    settle(pushed, client)
    later(days=20)  # past 29 January, not yet 8 February
    assert [i["amount_paid"] for i in stripe_get(pushed, "invoices")["data"]] == [0]
    later(days=5)
    assert [i["amount_paid"] for i in stripe_get(pushed, "invoices")["data"]] == [9900, 0]
    assert mails_to(who)["trial_extended"] == 1


@pytest.mark.parametrize("wrong", [0, -1, 91, 10**9])
def test_an_extension_has_bounds(wrong: int) -> None:
    who = signs_up()
    held = queries.held(who.id)
    with pytest.raises(Invalid) as refused:
        flows.extend_trial(who.id, wrong, reason="x", actor=ADMIN, base_version=held.version)
    assert "days" in refused.value.fields
    assert queries.held(who.id).trial_ends_at == held.trial_ends_at


def test_of_two_who_extend_the_second_is_told() -> None:
    who = signs_up()
    version = queries.held(who.id).version
    flows.extend_trial(who.id, 7, reason="x", actor=ADMIN, base_version=version)
    with pytest.raises(Conflict):
        flows.extend_trial(who.id, 7, reason="x", actor=ADMIN, base_version=version)
    assert mails_to(who)["trial_extended"] == 1


@pytest.mark.thorough
def test_forty_five_days_in_one_go(client: FlaskClient, pushed: Sandbox, later: Any, travel: Travel) -> None:
    """Ada adds payment on day 0 and lives on; Bob never pays. Worked out by hand, 15 January being day 0:

    day  0  15 Jan  both: welcome, 2,000 credits; Ada: payment added, nothing due until the trial ends
    day  7  22 Jan  Bob: 7 days left                     day 11  26 Jan  Bob: 3 days left
    day 13  28 Jan  Bob: 1 day left                      day 14  29 Jan  Bob: ended
    day 14  29 Jan  Ada: 99.00 for 29 January to 28 February; 2,000 credits take the place of the first
    day 44  28 Feb  Ada: 99.00 for 28 February to 29 March (the anchor's day does not exist in February)
    day 45   1 Mar  the end
    """
    ada, bob = signs_up(), signs_up(email="bob@else.example", name="Bob")
    pays(opens_checkout(ada), own_card(1))
    settle(pushed, client)
    later(days=45, step=6)  # as the conductor moves
    everything = ("welcome", "subscription_active", "trial_ending", "trial_ended", "receipt", "payment_failed",
                  "trial_card_used", "tier_changed")  # fmt: skip
    assert days(ada, *everything) == [
        ("welcome", "01-15"), ("subscription_active", "01-15"), ("receipt", "01-29"), ("receipt", "02-28"),
    ]  # fmt: skip
    assert days(bob, *everything) == [
        ("welcome", "01-15"), ("trial_ending7", "01-22"), ("trial_ending3", "01-26"), ("trial_ending1", "01-28"),
        ("trial_ended", "01-29"),
    ]  # fmt: skip
    paid = [i for i in reversed(stripe_get(pushed, "invoices", limit="100")["data"]) if i["amount_paid"]]
    dates = [datetime.fromtimestamp(i["status_transitions"]["paid_at"], UTC) for i in paid]
    assert [(i["amount_paid"], f"{at:%m-%d}") for i, at in zip(paid, dates, strict=True)] == [
        (9900, "01-29"), (9900, "02-28"),
    ]  # fmt: skip
    entries = [(str(e.kind), e.amount, f"{e.at:%m-%d}") for e in reversed(credits.ledger(ada.id))]
    assert entries == [
        ("grant", 2000, "01-15"), ("expiry", -2000, "01-29"), ("grant", 2000, "01-29"),
        ("expiry", -2000, "02-28"), ("grant", 2000, "02-28"),
    ]  # fmt: skip
    assert [(str(e.kind), e.amount) for e in credits.ledger(bob.id)] == [("grant", 2000)]
    assert credits.verify() == []
    held = queries.held(ada.id)
    assert (f"{held.period_start:%m-%d}", f"{held.period_end:%m-%d}") == ("02-28", "03-29")
