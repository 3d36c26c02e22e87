"""A vendor compared with Stripe: what differs is named, nothing changes by looking, one button repairs it."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.gateways import stripe
from portal.identity.rules import StaffKind
from portal.kit import jobs, tenancy
from portal.kit.db import db
from portal.stripe_events import reconcile
from portal.subscriptions import queries as subscriptions
from tests.support import people
from tests.support.people import post, text_of
from tests.support.scenes import Scene
from tests.support.servers import KEY, Sandbox
from tests.support.stories import (
    Somebody,
    opens_checkout,
    pays,
    portrait,
    push_catalog,
    settle,
    signs_up,
    stripe_get,
    stripe_post,
)
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
PARTIAL = {"HX-Request-Type": "partial"}


@pytest.fixture
def ada(client: FlaskClient, sandbox: Sandbox, travel: Travel, scene: Scene) -> Somebody:
    """Has paid for Professional; the portal knows everything."""

    def has_paid() -> Somebody:
        push_catalog()
        somebody = signs_up()
        assert pays(opens_checkout(somebody)).status_code == 303
        settle(sandbox, client)
        travel.on(days=14, hours=3)
        sandbox.run_due()
        settle(sandbox, client)
        return somebody

    return scene.from_the_start("has paid for Professional", has_paid)


@pytest.fixture
def staff(client: FlaskClient) -> FlaskClient:
    """A browser of an admin."""
    people.sign_in(client, people.staff().email)
    return client


@pytest.fixture
def deaf(sandbox: Sandbox, ada: Somebody) -> Iterator[None]:
    """From now on Stripe's events are lost."""
    sandbox.post("/_sandbox/faults", kind="drop_events", times=1_000_000)
    yield


def page(who: Somebody) -> str:
    return f"/admin/vendors/{who.id}/stripe"


def at_stripe(sandbox: Sandbox, who: Somebody) -> str:
    overview = subscriptions.held(who.id)
    db.session.rollback()
    return str(overview.stripe_subscription_id)


def price_at_stripe(tier: str) -> str:
    price = catalog.offer(tier, Cycle.MONTHLY)
    assert price is not None
    db.session.rollback()
    return str(price.stripe_price_id)


def test_what_agrees_is_said(ada: Somebody, staff: FlaskClient) -> None:
    assert "Compare with Stripe" in text_of(staff.get(f"/admin/vendors/{ada.id}"))
    assert "Everything agrees" in text_of(staff.get(page(ada), headers=PARTIAL))


def test_a_subscription_changed_in_stripes_dashboard_shows_and_is_repaired(
    ada: Somebody, staff: FlaskClient, sandbox: Sandbox, deaf: None
) -> None:
    held = stripe_get(sandbox, f"subscriptions/{at_stripe(sandbox, ada)}")
    changes = {"items[0][id]": held["items"]["data"][0]["id"], "items[0][price]": price_at_stripe("business")}
    stripe_post(sandbox, f"subscriptions/{held['id']}", **changes, proration_behavior="none")
    stripe_post(sandbox, f"subscriptions/{held['id']}", cancel_at_period_end="true")
    before = portrait(ada)
    said = text_of(staff.get(page(ada)))
    assert "Tier and price Professional, €99/month Business, €199/month" in said
    assert "Ends with the period no yes" in said
    assert "Repair 2 differences" in said
    assert portrait(ada) == before
    answer = post(staff, page(ada), {}, page=page(ada))
    assert answer.location == f"/admin/vendors/{ada.id}"
    jobs.run_all()
    after = portrait(ada)["subscription"]
    assert (after[1], after[-1]) == ("business", True)
    assert "Everything agrees" in text_of(staff.get(page(ada)))
    audited = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "stripe.reconciled")).one()
    assert (audited.actor_label, audited.vendor_id) == ("Sam Staff", ada.id)
    assert audited.data["differences"][0] == {
        "what": "price",
        "before": "Professional, 99.00 EUR monthly",
        "after": "Business, 199.00 EUR monthly",
    }


def test_a_schedule_released_in_stripes_dashboard_shows_and_is_repaired(
    ada: Somebody, staff: FlaskClient, sandbox: Sandbox, client: FlaskClient
) -> None:
    from portal.subscriptions import change_flows
    from portal.subscriptions.rules import When

    price = catalog.offer("essential", Cycle.MONTHLY)
    overview = subscriptions.overview(ada.id)
    assert price is not None and overview is not None
    with tenancy.scoped(ada.id):
        change_flows.change_tier(ada.id, price.id, When.NEXT, actor=ada.actor, base_version=overview.version)
    settle(sandbox, client)
    planned = subscriptions.overview(ada.id)
    assert planned is not None and planned.pending is not None
    sandbox.post("/_sandbox/faults", kind="drop_events", times=1_000_000)
    schedule = str(subscriptions.held(ada.id).stripe_schedule_id)
    stripe_post(sandbox, f"subscription_schedules/{schedule}/release")
    said = text_of(staff.get(page(ada)))
    assert f"Planned change (schedule) {schedule} nothing" in said
    assert post(staff, page(ada), {}, page=page(ada)).status_code == 303
    jobs.run_all()
    db.session.rollback()
    now = subscriptions.overview(ada.id)
    assert now is not None and now.pending is None and now.tier_code == "professional"
    assert subscriptions.held(ada.id).stripe_schedule_id is None


def test_another_card_shows_and_is_repaired(ada: Somebody, staff: FlaskClient, sandbox: Sandbox, deaf: None) -> None:
    held = stripe_get(sandbox, f"subscriptions/{at_stripe(sandbox, ada)}")
    method = stripe_post(sandbox, "payment_methods/pm_card_mastercard/attach", customer=held["customer"])["id"]
    stripe_post(sandbox, f"subscriptions/{held['id']}", default_payment_method=method)
    assert "Card Visa ending in 4242 Mastercard ending in 4444" in text_of(staff.get(page(ada)))
    assert post(staff, page(ada), {}, page=page(ada)).status_code == 303
    found = subscriptions.overview(ada.id)
    assert found is not None and found.payment_method is not None and found.payment_method["last4"] == "4444"


def test_lost_charges_show_with_their_invoice(
    ada: Somebody, staff: FlaskClient, sandbox: Sandbox, travel: Travel, deaf: None
) -> None:
    travel.on(days=31)
    sandbox.run_due()
    said = text_of(staff.get(page(ada)))
    assert "Period ends" in said
    number = stripe_get(sandbox, "invoices")["data"][0]["number"]
    assert f"Invoice {number} nothing Paid" in said
    assert post(staff, page(ada), {}, page=page(ada)).status_code == 303
    jobs.run_all()
    assert [i[1] for i in portrait(ada)["invoices"]] == ["paid"] * 3
    assert portrait(ada)["books agree"]


def test_a_subscription_that_nobody_ordered_here_is_named_and_left_alone(
    ada: Somebody, staff: FlaskClient, sandbox: Sandbox, deaf: None
) -> None:
    held = stripe_get(sandbox, f"subscriptions/{at_stripe(sandbox, ada)}")
    stranger = stripe_post(
        sandbox, "subscriptions", customer=held["customer"],
        **{"items[0][price]": price_at_stripe("essential"), "default_payment_method": held["default_payment_method"]},
    )  # fmt: skip
    before = portrait(ada)
    said = text_of(staff.get(page(ada)))
    assert "Another subscription at Stripe" in said and f"{stranger['id']} was not ordered here" in said
    db.session.rollback()
    reconcile.repair(ada.id)
    assert portrait(ada) == before


def test_two_at_once_repair_once(
    ada: Somebody, staff: FlaskClient, sandbox: Sandbox, travel: Travel, deaf: None
) -> None:
    travel.on(days=31)
    sandbox.run_due()
    for _ in range(3):
        assert post(staff, page(ada), {}, page=f"/admin/vendors/{ada.id}").status_code == 303
    jobs.run_all()
    assert portrait(ada)["mails"]["receipt"] == 2
    assert len(db.session.scalars(select(AuditEntry).where(AuditEntry.action == "stripe.reconciled")).all()) == 1


def test_when_stripe_is_away_the_modal_says_so(ada: Somebody, staff: FlaskClient, sandbox: Sandbox) -> None:
    stripe.configure("sk_test_wrong", sandbox.url, 0)
    try:
        partial, whole = staff.get(page(ada), headers=PARTIAL), staff.get(page(ada))
    finally:
        stripe.configure(KEY, sandbox.url, 0)
    assert (partial.status_code, whole.status_code) == (200, 503)
    for answer in (partial, whole):
        assert "Stripe could not be asked" in text_of(answer)
        assert "sk_test_wrong" not in answer.get_data(as_text=True)


def test_a_vendor_that_stripe_does_not_know(staff: FlaskClient, sandbox: Sandbox) -> None:
    bob = people.register("bob@example.com", business="Bob", tier=None)
    assert "Stripe does not know this vendor" in text_of(staff.get(f"/admin/vendors/{bob.vendor_id}/stripe"))


def test_support_looks_and_does_not_repair(
    client: FlaskClient, ada: Somebody, sandbox: Sandbox, travel: Travel, deaf: None
) -> None:
    travel.on(days=31)
    sandbox.run_due()
    people.sign_in(client, people.staff("sue@example.com", StaffKind.SUPPORT).email)
    said = text_of(client.get(page(ada)))
    assert "Period ends" in said and "Repair" not in said
    assert post(client, page(ada), {}, page=page(ada)).status_code == 403
