"""Changing the tier of a paying vendor, on good days and bad ones; amounts worked out by hand."""

import re
from urllib.parse import urljoin

import pytest
import requests
from flask.testing import FlaskClient

from portal.catalog import queries as catalog
from portal.catalog import service as catalog_service
from portal.catalog.rules import Cycle
from portal.gateways.stripe import StripeGateway, StripeMismatch
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, Unavailable
from portal.kit.models import OutboxJob
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service as settings
from portal.subscriptions import change_flows, queries
from portal.subscriptions.models import TierChange
from portal.subscriptions.rules import ChangeState, Status, When
from tests.kit.conftest import pass_time
from tests.subscriptions.conftest import ADMIN
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    mails_to,
    opens_checkout,
    pays,
    push_catalog,
    settle,
    signs_up,
    stripe_get,
    stripe_post,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
CHALLENGE = "pm_card_authenticationRequired"
FAILS = "pm_card_chargeCustomerFail"


def price(tier: str) -> int:
    found = catalog.offer(tier, Cycle.MONTHLY)
    assert found is not None
    return found.id


def change(who: Somebody, tier: str = "business", when: When = When.NOW, *, version: int | None = None) -> ChangeState:
    version = version or queries.held(who.id).version
    return change_flows.change_tier(who.id, price(tier), when, actor=ADMIN, base_version=version)


def state_of(who: Somebody) -> tuple[str, str, list[str]]:
    db.session.rollback()
    held = queries.overview(who.id)
    assert held is not None
    changes = db.session.query(TierChange).populate_existing().order_by(TierChange.id)
    return str(held.status), held.tier_code, [str(c.state) for c in changes]


def card(sandbox: Sandbox, who: Somebody, method: str) -> None:
    """The card on file is now this one."""
    held = queries.held(who.id)
    made = stripe_post(sandbox, f"payment_methods/{method}/attach", customer=str(held.stripe_customer_id))["id"]
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", default_payment_method=made)


def order(sandbox: Sandbox, **fault: object) -> None:
    """A bad day of Stripe's."""
    assert requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).status_code == 200


def upgrades(sandbox: Sandbox) -> list[dict]:
    found = stripe_get(sandbox, "invoices", limit="100")["data"]
    return [i for i in found if i["billing_reason"] == "subscription_update"]


def test_a_declined_card_leaves_the_old_tier_until_the_invoice_is_paid(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    much_later(days=1)
    card(pushed, payer, FAILS)
    settle(pushed, client)
    assert change(payer) == ChangeState.AWAITING_PAYMENT
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["awaiting_payment"])
    assert "tier_changed" not in mails_to(payer)
    with pytest.raises(Conflict, match="under_way"):
        change(payer, "essential")
    (invoice,) = upgrades(pushed)
    assert pays(invoice["hosted_invoice_url"], "4242424242424242").status_code == 303
    settle(pushed, client)
    assert state_of(payer) == ("active", "business", ["applied"])
    assert mails_to(payer)["tier_changed"] == 1


def test_an_upgrade_that_nobody_pays_lapses_after_23_hours(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    card(pushed, payer, FAILS)
    change(payer)
    much_later(hours=24)
    assert state_of(payer) == ("active", "professional", ["refused"])
    assert [i["status"] for i in upgrades(pushed)] == ["void"]
    assert mails_to(payer)["change_failed"] == 1
    card(pushed, payer, "pm_card_visa")
    settle(pushed, client)
    assert change(payer) == ChangeState.APPLIED


@pytest.mark.parametrize(("answer", "tier", "state"), [("complete", "business", "applied"),
                                                      ("fail", "professional", "awaiting_payment")])  # fmt: skip
def test_three_d_secure_decides(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, answer: str, tier: str, state: str
) -> None:
    card(pushed, payer, CHALLENGE)
    settle(pushed, client)
    assert change(payer) == ChangeState.AWAITING_PAYMENT
    (invoice,) = upgrades(pushed)
    asked = pays(invoice["hosted_invoice_url"], "4000002760003184")
    bank = urljoin(invoice["hosted_invoice_url"], asked.headers["Location"])
    assert re.search("authenticate$", bank)
    requests.post(bank, data={"answer": answer}, timeout=20, allow_redirects=False)
    settle(pushed, client)
    assert state_of(payer) == ("active", tier, [state])


def test_next_cycle_keeps_the_tier_until_the_period_ends(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    assert change(payer, "essential", When.NEXT) == ChangeState.SCHEDULED
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["scheduled"])
    assert mails_to(payer)["change_scheduled"] == 1
    much_later(days=30)  # 14 February: the last day
    assert state_of(payer)[1] == "professional"
    much_later(days=2)
    assert state_of(payer) == ("active", "essential", ["applied"])
    paid = [i["amount_paid"] for i in stripe_get(pushed, "invoices", limit="100")["data"]]
    assert paid == [4900, 9900]  # 49.00 from 15 February on, nothing prorated
    assert mails_to(payer)["tier_changed"] == 1


def test_a_scheduled_change_can_be_undone(client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later) -> None:
    change(payer, "essential", When.NEXT)
    settle(pushed, client)
    change_flows.undo_change(payer.id, actor=ADMIN, base_version=queries.held(payer.id).version)
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["undone"])
    assert "change_failed" not in mails_to(payer), "who took it back need not be told"
    with pytest.raises(Conflict):
        change_flows.undo_change(payer.id, actor=ADMIN, base_version=queries.held(payer.id).version)
    much_later(days=32)
    assert state_of(payer)[1] == "professional"


def test_a_schedule_released_in_stripes_dashboard_is_undone_here(
    client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    change(payer, "essential", When.NEXT)
    settle(pushed, client)
    schedule = db.session.query(TierChange).one().stripe_schedule_id
    stripe_post(pushed, f"subscription_schedules/{schedule}/release")
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["undone"])
    assert mails_to(payer)["change_failed"] == 1


@pytest.mark.thorough
def test_a_new_wish_takes_the_place_of_the_scheduled_one(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    change(payer, "essential", When.NEXT)
    settle(pushed, client)
    assert change(payer, "business", When.NEXT) == ChangeState.SCHEDULED
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["undone", "scheduled"])
    much_later(days=32)
    assert state_of(payer) == ("active", "business", ["undone", "applied"])


def test_a_crash_between_the_two_calls_of_a_schedule_is_repaired(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crashed(BaseException):
        """As kill -9 does it: nothing after this line runs."""

    def crash(*_: object) -> None:
        raise Crashed

    with monkeypatch.context() as patched, pytest.raises(Crashed):
        patched.setattr(StripeGateway, "schedule_update", crash)
        change(payer, "essential", When.NEXT)
    db.session.remove()
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["requested"])
    pass_time(31)
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["scheduled"])
    assert len(stripe_get(pushed, "subscription_schedules")["data"]) == 1
    much_later(days=32)
    assert state_of(payer) == ("active", "essential", ["applied"])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("heard", ["by event", "by nobody"])
def test_a_500_of_stripes_is_carried_on_and_charged_once(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, when: str, heard: str
) -> None:
    """Stripe repeats its 500 for the same key, so whether it did the work must be looked up."""
    order(pushed, kind="status", status=500, when=when, path="^POST /v1/subscriptions/", times=3)
    if heard == "by nobody":
        order(pushed, kind="drop_events", times=1000)
    if when == "before":
        with pytest.raises(Unavailable):
            change(payer)
    else:
        assert change(payer) == ChangeState.APPLIED
    for _ in range(3):
        settle(pushed, client)
        pass_time(40)
    settle(pushed, client)
    assert state_of(payer) == ("active", "business", ["applied"])
    assert len(upgrades(pushed)) == 1
    assert mails_to(payer)["tier_changed"] == 1
    assert db.session.query(OutboxJob).filter_by(state="dead").count() == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_500_for_a_schedule_is_carried_on(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later, when: str
) -> None:
    order(pushed, kind="status", status=500, when=when, path="^POST /v1/subscription_schedules", times=3)
    with pytest.raises(Unavailable):
        change(payer, "essential", When.NEXT)
    for _ in range(4):
        settle(pushed, client)
        pass_time(40)
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["scheduled"])
    assert len(stripe_get(pushed, "subscription_schedules")["data"]) == 1
    much_later(days=32)
    assert state_of(payer) == ("active", "essential", ["applied"])


def test_an_unpaid_invoice_blocks_a_change(client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later) -> None:
    card(pushed, payer, FAILS)
    much_later(days=32)
    assert queries.held(payer.id).status == Status.PAST_DUE
    with pytest.raises(Conflict, match="invoice_unpaid"):
        change(payer)
    assert db.session.query(TierChange).count() == 0
    assert upgrades(pushed) == []


def test_who_saw_an_older_state_is_told(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    seen = queries.held(payer.id).version
    change(payer)
    settle(pushed, client)
    with pytest.raises(Conflict):
        change(payer, "essential", version=seen)
    assert state_of(payer) == ("active", "business", ["applied"])
    assert len(upgrades(pushed)) == 1


def test_the_same_tier_a_hidden_one_and_none_at_all_are_refused(pushed: Sandbox, payer: Somebody) -> None:
    held = queries.held(payer.id)
    for wish in (held.price_id, 4711):
        with pytest.raises(Invalid) as refused:
            change_flows.change_tier(payer.id, int(wish or 0), When.NOW, actor=ADMIN, base_version=held.version)
        assert "price" in refused.value.fields
    assert jobs.run_all() == 0
    assert db.session.query(TierChange).count() == 0


def test_an_upgrade_in_the_free_days_costs_nothing_until_they_end(client: FlaskClient, sandbox: Sandbox) -> None:
    """Ten free days are left with a card on file: due today 0, and Business, not Professional, is charged first."""
    push_catalog()
    who = signs_up()
    assert pays(opens_checkout(who)).status_code == 303
    settle(sandbox, client)
    shown = change_flows.preview_change(who.id, price("business"), When.NOW)
    assert (shown.due.minor, shown.lines) == (0, ())
    assert change(who) == ChangeState.APPLIED
    settle(sandbox, client)
    assert state_of(who) == ("active", "business", ["applied"])
    customer = str(queries.held(who.id).stripe_customer_id)
    assert {i["amount_due"] for i in stripe_get(sandbox, "invoices", customer=customer)["data"]} == {0}
    coming = stripe_get(sandbox, "subscriptions", customer=customer)["data"][0]["items"]["data"][0]["price"]
    assert coming["unit_amount"] == 19900


def retire(tier: str) -> None:
    found = catalog.tier_by_code(tier)
    assert found is not None
    with unit_of_work():
        catalog_service.retire_tier(found.id, actor=ADMIN, now=clock.business())


@pytest.mark.thorough
def test_a_target_that_was_retired_before_the_day_is_dropped_and_both_sides_are_told(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    with unit_of_work():
        settings.change("support_email", "help@operator.example", actor=ADMIN, now=clock.business())
    change(payer, "essential", When.NEXT)
    settle(pushed, client)
    retire("essential")
    much_later(days=28)
    assert state_of(payer)[2] == ["scheduled"], "looked at on the day, not before: it may be sold again"
    much_later(days=6)
    assert state_of(payer) == ("active", "professional", ["refused"])
    assert (mails_to(payer)["change_failed"], mails_to(payer)["change_failed_staff"]) == (1, 1)
    paid = [i["amount_paid"] for i in stripe_get(pushed, "invoices", limit="100")["data"]]
    assert paid == [9900, 9900], "the present tier was renewed"
    assert change(payer, "business") == ChangeState.APPLIED, "no schedule is left in the way"


@pytest.mark.thorough
def test_a_target_whose_price_rose_before_the_day_is_kept_at_the_price_that_was_confirmed(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, much_later
) -> None:
    change(payer, "essential", When.NEXT)
    settle(pushed, client)
    tier = catalog.tier_by_code("essential")
    assert tier is not None
    with unit_of_work():
        catalog_service.change_price(tier.id, Cycle.MONTHLY, "EUR", 6900, actor=ADMIN, now=clock.business())
    push_catalog()
    much_later(days=34)
    assert state_of(payer) == ("active", "essential", ["applied"])
    assert stripe_get(pushed, "invoices", limit="100")["data"][0]["amount_paid"] == 4900


def shown_for(who: Somebody, tier: str = "business") -> change_flows.Preview:
    return change_flows.preview_change(who.id, price(tier), When.NOW)


def confirm(who: Somebody, shown: change_flows.Preview, due: Money | None = None) -> ChangeState:
    version = queries.held(who.id).version
    return change_flows.change_tier(
        who.id, shown.price.id, When.NOW, actor=ADMIN, base_version=version, proration_at=shown.proration_at,
        shown=due or shown.due,
    )  # fmt: skip


def test_what_was_shown_is_charged_or_nothing_is(client: FlaskClient, pushed: Sandbox, payer: Somebody, later) -> None:
    later(days=3)
    shown = shown_for(payer)
    for wrong in (Money(shown.due.minor - 1, "EUR"), Money(shown.due.minor, "USD")):
        with pytest.raises(Conflict, match="preview_changed"):
            confirm(payer, shown, wrong)
    assert db.session.query(TierChange).count() == 0 and upgrades(pushed) == []
    assert confirm(payer, shown) == ChangeState.APPLIED
    assert [i["amount_paid"] for i in upgrades(pushed)] == [shown.due.minor]


def test_what_was_shown_too_long_ago_is_not_charged(pushed: Sandbox, payer: Somebody, travel: Travel) -> None:
    shown = shown_for(payer)
    travel.on(minutes=15, seconds=1)
    with pytest.raises(Conflict, match="preview_expired"):
        confirm(payer, shown)
    assert db.session.query(TierChange).count() == 0 and upgrades(pushed) == []


def test_a_refusal_that_only_a_job_sees_is_told_by_mail(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The web process died before Stripe was asked; the job asks, and Stripe refuses."""

    def refuses(*_: object) -> None:
        raise StripeMismatch(detail="This price cannot be bought now.")

    with monkeypatch.context() as patched, pytest.raises(Unavailable):
        patched.setattr(StripeGateway, "subscription_update", lambda *_: (_ for _ in ()).throw(Unavailable()))
        change(payer)
    monkeypatch.setattr(StripeGateway, "subscription_update", refuses)
    pass_time(31)
    settle(pushed, client)
    assert state_of(payer) == ("active", "professional", ["refused"])
    assert mails_to(payer)["change_failed"] == 1


def test_giving_up_voids_the_invoice_and_a_payment_at_the_same_moment_wins(
    client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    card(pushed, payer, FAILS)
    settle(pushed, client)
    change(payer)
    (invoice,) = upgrades(pushed)
    assert pays(invoice["hosted_invoice_url"], "4242424242424242").status_code == 303  # its event is still on the way
    version = queries.held(payer.id).version
    assert change_flows.give_up(payer.id, actor=ADMIN, base_version=version) == ChangeState.APPLIED
    settle(pushed, client)
    assert state_of(payer) == ("active", "business", ["applied"])
    assert mails_to(payer)["tier_changed"] == 1 and "change_failed" not in mails_to(payer)
