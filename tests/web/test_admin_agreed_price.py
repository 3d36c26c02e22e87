"""A price agreed with one vendor: seen and bought by it alone, known to Stripe, refused where it makes no sense."""

import json

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.catalog import queries as catalog
from portal.catalog.models import TierPrice
from portal.catalog.rules import Cycle
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.models import SubscriptionEvent
from tests.kit.conftest import pass_time
from tests.reporting import paid
from tests.reporting.paid import PARTIAL
from tests.support import people, stories
from tests.support.people import text_of
from tests.support.servers import Sandbox

pytestmark = pytest.mark.usefixtures("unscoped")
GOOD = {"tier": "enterprise", "cycle": "monthly", "amount": "499.00", "currency": "EUR", "reason": "Ten shops"}


@pytest.fixture
def vendor(client, sandbox, travel, unscoped, scene):
    """Professional, paid, half of the period left."""
    return scene("half a paid period", lambda: paid.pays_for(sandbox, client, travel))


@pytest.fixture
def admin(client: FlaskClient, vendor) -> FlaskClient:
    return paid.staff_client(client, StaffKind.FINANCE)


def agrees(admin: FlaskClient, vendor_id: int, **other: str):
    data = {"csrf_token": people.csrf_token(admin), **GOOD, **other}
    return admin.post(f"/admin/vendors/{vendor_id}/agreed-price", data=data, headers=PARTIAL)


def live(vendor_id: int) -> list[tuple[str, int, str | None]]:
    rows = db.session.execute(
        select(TierPrice.cycle, TierPrice.amount_minor, TierPrice.stripe_price_id)
        .where(TierPrice.vendor_id == vendor_id, TierPrice.valid_until.is_(None))
    )  # fmt: skip
    return [(r.cycle, r.amount_minor, r.stripe_price_id) for r in rows]


def test_an_agreed_price_is_known_to_stripe_written_down_and_offered(admin, vendor, sandbox: Sandbox) -> None:
    answer = agrees(admin, vendor.id)
    assert answer.status_code == 200
    assert "sees the price on its plans page" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    ((cycle, amount, stripe_id),) = live(vendor.id)
    assert (cycle, amount) == ("monthly", 49900)
    there = stories.stripe_get(sandbox, f"prices/{stripe_id}")
    assert (there["unit_amount"], there["currency"], there["lookup_key"]) == (49900, "eur", None)
    told = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "catalog.price_agreed")).one()
    assert (told.vendor_id, told.data["reason"], told.data["amount_minor"]) == (vendor.id, "Ten shops", 49900)
    page = text_of(admin.get(f"/admin/vendors/{vendor.id}"))
    assert "Price agreed: Enterprise at €499/month" in page and "Reason: Ten shops" in page
    assert catalog.offer("enterprise", Cycle.MONTHLY) is None, "nobody else can have it"
    assert "Agreed now: Enterprise at €499/month" in text_of(admin.get(f"/admin/vendors/{vendor.id}/agreed-price"))


def test_another_one_takes_its_place_and_it_can_be_withdrawn(admin, vendor) -> None:
    agrees(admin, vendor.id)
    assert agrees(admin, vendor.id, tier="business", amount="149,50").status_code == 200
    assert [(c, a) for c, a, _id in live(vendor.id)] == [("monthly", 14950)]
    token = {"csrf_token": people.csrf_token(admin)}
    where = f"/admin/vendors/{vendor.id}/agreed-price/withdraw"
    assert admin.post(where, data=token, headers=PARTIAL).status_code == 200
    assert live(vendor.id) == []
    again = admin.post(where, data=token, headers=PARTIAL)
    assert "There was no agreed price." in json.loads(again.headers["HX-Trigger"])["toast"]["text"]


def test_the_same_sent_twice_is_one_price(admin, vendor) -> None:
    for _ in range(2):
        assert agrees(admin, vendor.id).status_code == 200
    assert len(live(vendor.id)) == 1
    assert db.session.query(TierPrice).filter_by(vendor_id=vendor.id).count() == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"amount": "-5"}, "Enter an amount above 0"),
        ({"amount": "0"}, "Enter an amount above 0"),
        ({"amount": ""}, "Enter an amount above 0"),
        ({"amount": "a lot"}, "Enter an amount above 0"),
        ({"amount": "9999999.00"}, "0 to 999,999.99"),
        ({"amount": "499.005"}, "fewer decimals"),
        ({"amount": "1e9"}, "Enter an amount above 0"),
        ({"currency": "USD"}, "Not a valid choice"),
        ({"tier": "no-such-tier"}, "Not a valid choice"),
        ({"cycle": "weekly"}, "Not a valid choice"),
        ({"reason": ""}, "Say why"),
        ({"reason": "x" * 501}, "Use at most 500 characters."),
    ],
)
def test_what_makes_no_sense_is_told_at_its_field(admin, vendor, wrong: dict[str, str], says: str) -> None:
    answer = agrees(admin, vendor.id, **wrong)
    assert answer.status_code == 422 and says in text_of(answer)
    assert "Ten shops" in answer.get_data(as_text=True) or "reason" in wrong, "what was typed stays"
    assert live(vendor.id) == []


def test_when_stripe_is_silent_it_is_made_known_later(client, admin, vendor, sandbox: Sandbox) -> None:
    fault = {"kind": "status", "status": 503, "times": 3, "path": "/v1/prices"}
    requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()
    answer = agrees(admin, vendor.id)
    assert "Stripe does not answer" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    assert live(vendor.id)[0][2] is None
    requests.delete(f"{sandbox.url}/_sandbox/faults", timeout=20).raise_for_status()
    pass_time(40)
    stories.settle(sandbox, client)
    assert live(vendor.id)[0][2] is not None


def test_a_retired_tier_is_agreed_on_with_nobody(admin, vendor) -> None:
    from portal.catalog.models import SubscriptionTier

    with unit_of_work() as session:
        session.scalars(
            select(SubscriptionTier).where(SubscriptionTier.code == "enterprise")
        ).one().retired_at = clock.business()
    assert agrees(admin, vendor.id).status_code == 422
    assert live(vendor.id) == []


def test_support_may_look_and_agree_nothing(client, vendor) -> None:
    support = paid.staff_client(client, StaffKind.SUPPORT)
    assert agrees(support, vendor.id).status_code == 403
    assert "Agree a price" not in text_of(support.get(f"/admin/vendors/{vendor.id}"))


def test_a_vendor_without_a_plan_can_be_made_an_offer(client, admin) -> None:
    nobody = people.register("nora@example.com", tier=None, business="Nora's Nuts")
    assert agrees(admin, nobody.vendor_id).status_code == 200
    assert [a for _c, a, _id in live(nobody.vendor_id)] == [49900]
    assert db.session.query(SubscriptionEvent).filter_by(vendor_id=nobody.vendor_id).count() == 0
