"""Add-ons bought through Stripe: exactly once, for exactly what was shown, and mirrored from then on."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.addons import flows, queries
from portal.addons.purchase import Way
from portal.addons.rules import AddonStatus, Origin
from portal.billing.models import Invoice
from portal.checkout import addon_flows
from portal.checkout.flows import Addresses
from portal.checkout.models import Order, Purchase
from portal.gateways.stripe import StripeGateway
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound, PaymentRequired
from portal.kit.money import Money
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.rules import Status
from tests.addons.buying import buys, confirms, live, row, wish
from tests.stripe_events.life import end_trial
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import (
    Somebody,
    lives_on,
    mails_to,
    opens_checkout,
    own_card,
    pays,
    push_catalog,
    settle,
    signs_up,
    stripe_get,
    stripe_post,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def trial(scene: Scene) -> Somebody:
    """A vendor on Essential in its trial, and a Stripe that knows the catalog."""

    def begin() -> Somebody:
        push_catalog()
        return signs_up("essential")

    return scene("an essential trial", begin)


@pytest.fixture
def payer(client: FlaskClient, sandbox: Sandbox, scene: Scene, trial: Somebody) -> Somebody:
    """The same vendor, paying monthly by card since today."""

    def pay() -> Somebody:
        end_trial(trial)
        pays(opens_checkout(trial, "essential"), own_card(1))
        settle(sandbox, client)
        return trial

    return scene("an essential payer", pay)


def orders() -> list[tuple[str, str, str | None]]:
    db.session.rollback()
    rows = db.session.query(Order).filter_by(kind="addon").order_by(Order.id).populate_existing()
    return [(str(o.provider), str(o.state), o.note) for o in rows]


def test_in_a_trial_a_domain_gets_a_subscription_of_its_own(
    client: FlaskClient, sandbox: Sandbox, trial: Somebody
) -> None:
    shown = addon_flows.prospect(trial.id, wish("custom-domain"))
    assert (shown.way, shown.due) == (Way.OWN, Money(1500, "EUR"))
    started = confirms(trial, wish("custom-domain"), shown)
    assert started.url is not None
    pays(started.url, own_card(2))
    settle(sandbox, client)
    (addon,) = live(trial)
    assert (addon.origin, addon.provider, addon.config["name"]) == (Origin.BOUGHT, "stripe", "www.myshop.de")
    assert addon.stripe_subscription_id is not None
    assert addon.period_end is not None and addon.period_end.date().isoformat() == "2028-01-15"
    assert orders() == [("stripe", "fulfilled", None)]
    (bought,) = db.session.query(Purchase).filter_by(kind="addon")
    assert (bought.addon_id, bought.amount_minor) == (addon.product_id, 1500)
    assert subscriptions.held(trial.id).status == Status.TRIAL, "the tier is not touched"
    assert [i.paid_minor for i in db.session.query(Invoice)] == [1500]


@pytest.mark.parametrize("event_first", [True, False])
def test_success_page_and_event_in_any_order_and_number(
    client: FlaskClient, sandbox: Sandbox, trial: Somebody, event_first: bool
) -> None:
    started = buys(trial, wish("custom-domain"))
    pays(str(started.url), own_card(2))
    if event_first:
        settle(sandbox, client)
    assert addon_flows.fulfil(started.order_id) == "fulfilled"
    settle(sandbox, client)
    assert addon_flows.fulfil(started.order_id) == "fulfilled"
    assert len(live(trial)) == 1
    assert db.session.query(Purchase).filter_by(kind="addon").count() == 1
    assert mails_to(trial)["addon_added"] == 1


def test_two_tabs_lead_to_one_page_and_another_name_to_another(sandbox: Sandbox, trial: Somebody) -> None:
    first, again = buys(trial, wish("custom-domain")), buys(trial, wish("custom-domain"))
    assert (first.url, first.order_id) == (again.url, again.order_id)
    other = buys(trial, wish("custom-domain", config={"name": "www.other.de", "shown": "www.other.de"}))
    assert other.order_id != first.order_id


def test_the_same_name_is_not_bought_twice(client: FlaskClient, sandbox: Sandbox, trial: Somebody) -> None:
    pays(str(buys(trial, wish("custom-domain")).url), own_card(2))
    settle(sandbox, client)
    with pytest.raises(Invalid) as refused:
        addon_flows.prospect(trial.id, wish("custom-domain"))
    assert "domain" in refused.value.fields


def test_what_was_not_asked_for_is_refused_and_paid_back(
    client: FlaskClient, sandbox: Sandbox, trial: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard (addon_orders._wrong) was taken out once: then the add-on was granted and this failed."""
    pays(str(buys(trial, wish("custom-domain")).url), own_card(2))
    fetch = StripeGateway.checkout_session

    def changed(self: StripeGateway, session_id: str) -> dict[str, Any]:
        session = fetch(self, session_id)
        session["line_items"]["data"][0]["quantity"] = 2
        return session

    monkeypatch.setattr(StripeGateway, "checkout_session", changed)
    settle(sandbox, client)
    assert orders() == [("stripe", "refused", "quantity")]
    assert live(trial) == []
    (paid,) = db.session.query(Invoice)
    assert (paid.paid_minor, paid.refunded_minor) == (1500, 1500)


def test_storage_at_the_same_interval_is_an_item_charged_as_shown(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel
) -> None:
    """The month began today, so a month's 2 × 500 is charged whole; half a month later it would be half."""
    lives_on(sandbox, client, travel, days=10)
    wanted = wish("extra-storage", quantity=2)
    shown = addon_flows.prospect(payer.id, wanted)
    assert shown.way == Way.ITEM and 0 < shown.due.minor < 1000
    started = confirms(payer, wanted, shown)
    assert started.state == "fulfilled"
    settle(sandbox, client)
    (addon,) = live(payer)
    held = subscriptions.held(payer.id)
    assert (addon.quantity, addon.stripe_subscription_id, addon.period_end) == (2, None, held.period_end)
    assert addon.stripe_item_id
    newest = db.session.query(Invoice).order_by(Invoice.id.desc()).first()
    assert newest is not None and newest.paid_minor == shown.due.minor
    lives_on(sandbox, client, travel, days=25)
    renewed = row(addon.id)
    assert renewed.period_start == held.period_end, "the item renews with the tier, and so does the mirror"
    assert renewed.status == AddonStatus.ACTIVE


def test_another_amount_than_shown_buys_nothing(sandbox: Sandbox, payer: Somebody) -> None:
    wanted = wish("extra-storage")
    shown = addon_flows.prospect(payer.id, wanted)
    with pytest.raises(Conflict) as refused:
        addon_flows.buy(payer.id, wanted, Addresses("x", "y"), shown=Money(1, "EUR"), at=shown.at, actor=payer.actor)
    assert refused.value.code == "preview_changed"
    assert (live(payer), orders()) == ([], [])


def test_cancelled_and_taken_back_and_ended(
    client: FlaskClient, sandbox: Sandbox, trial: Somebody, travel: Travel
) -> None:
    pays(str(buys(trial, wish("custom-domain")).url), own_card(2))
    settle(sandbox, client)
    (addon,) = live(trial)
    ends = flows.cancel(addon.id, trial.id, actor=trial.actor)
    assert ends == addon.period_end
    settle(sandbox, client)
    assert flows.cancel(addon.id, trial.id, actor=trial.actor) == ends, "a second click"
    flows.resume(addon.id, trial.id, actor=trial.actor)
    settle(sandbox, client)
    assert row(addon.id).cancel_at_period_end is False
    assert {k: v for k, v in mails_to(trial).items() if k in ("addon_ending", "addon_resumed")} == {
        "addon_ending": 1, "addon_resumed": 1,
    }  # fmt: skip
    flows.cancel(addon.id, trial.id, actor=trial.actor)
    travel.on(days=366)
    sandbox.run_due()
    settle(sandbox, client)
    assert row(addon.id).status == AddonStatus.CANCELLED
    assert mails_to(trial)["addon_ended"] == 1


@pytest.mark.thorough
def test_an_item_is_cancelled_for_the_periods_end(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel
) -> None:
    buys(payer, wish("extra-storage"))
    settle(sandbox, client)
    (addon,) = live(payer)
    ends = flows.cancel(addon.id, payer.id, actor=payer.actor)
    assert ends == subscriptions.held(payer.id).period_end
    flows.resume(addon.id, payer.id, actor=payer.actor)
    assert row(addon.id).cancel_at_period_end is False
    flows.cancel(addon.id, payer.id, actor=payer.actor)
    lives_on(sandbox, client, travel, days=32)
    assert row(addon.id).status == AddonStatus.CANCELLED
    assert subscriptions.held(payer.id).status == Status.ACTIVE


def test_removed_in_stripes_dashboard(client: FlaskClient, sandbox: Sandbox, trial: Somebody) -> None:
    pays(str(buys(trial, wish("custom-domain")).url), own_card(2))
    settle(sandbox, client)
    (addon,) = live(trial)
    stripe_post(sandbox, f"subscriptions/{addon.stripe_subscription_id}", cancel_at_period_end="true")
    settle(sandbox, client)
    assert row(addon.id).cancel_at_period_end is True
    assert mails_to(trial)["addon_ending"] == 1


@pytest.mark.thorough
def test_more_now_less_with_the_next_period(
    client: FlaskClient, sandbox: Sandbox, payer: Somebody, travel: Travel
) -> None:
    buys(payer, wish("extra-storage"))
    settle(sandbox, client)
    (addon,) = live(payer)
    more = wish("extra-storage", quantity=3)
    shown = flows.preview(addon.id, payer.id, more)
    assert shown.is_now and shown.due.minor > 0
    made = flows.change(
        addon.id, payer.id, more, shown=shown.due, at=shown.at, base_version=row(addon.id).version, actor=payer.actor
    )
    assert (made.state, row(addon.id).quantity) == ("applied", 3)
    jobs.run_all()
    less = wish("extra-storage", quantity=1)
    shown = flows.preview(addon.id, payer.id, less)
    assert (shown.is_now, shown.due.minor) == (False, 0)
    made = flows.change(
        addon.id, payer.id, less, shown=shown.due, at=shown.at, base_version=row(addon.id).version, actor=payer.actor
    )
    assert (made.state, row(addon.id).quantity, row(addon.id).next_quantity) == ("planned", 3, 1)
    flows.undo_plan(addon.id, payer.id, actor=payer.actor)
    assert row(addon.id).next_quantity is None
    shown = flows.preview(addon.id, payer.id, less)
    flows.change(
        addon.id, payer.id, less, shown=shown.due, at=shown.at, base_version=row(addon.id).version, actor=payer.actor
    )
    lives_on(sandbox, client, travel, days=32)
    assert (row(addon.id).quantity, row(addon.id).next_quantity) == (1, None)


def test_who_owes_buys_nothing(client: FlaskClient, sandbox: Sandbox, payer: Somebody) -> None:
    from portal.kit.unit_of_work import unit_of_work
    from portal.subscriptions.history import lock

    with unit_of_work():
        subscription = lock(payer.id)
        subscription.status, subscription.past_due_since = Status.PAST_DUE, clock.business()
    with pytest.raises(PaymentRequired) as refused:
        addon_flows.prospect(payer.id, wish("custom-domain"))
    assert refused.value.status == 402


def test_a_price_of_another_vendors_tier_is_not_there(sandbox: Sandbox, trial: Somebody) -> None:
    from portal.addons.purchase import Wish

    with pytest.raises(NotFound):
        addon_flows.prospect(trial.id, Wish(987654))
    assert stripe_get(sandbox, "subscriptions")["data"] == []
    with pytest.raises(NotFound):
        queries.one(trial.id, 987654)
