"""Setting a limit or a feature for one vendor from the back office (LIM-7), and why each is what it is."""

import json
from datetime import timedelta

import pytest

from portal.catalog.rules import Metric
from portal.entitlements import gate, overrides, queries
from portal.entitlements.models import LimitOverride
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.db import db
from portal.subscriptions.models import SubscriptionEvent
from tests.reporting import paid
from tests.reporting.paid import PARTIAL
from tests.support import people, stories
from tests.support.people import text_of

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def admin(client):
    return paid.staff_client(client)


@pytest.fixture
def vendor_id(client):
    """In its trial of Professional: 500 orders."""
    return people.register(tier="professional").vendor_id


def page_of(vendor_id):
    return f"/admin/vendors/{vendor_id}/override"


def opened(admin, vendor_id, what="limit:orders"):
    return admin.get(f"{page_of(vendor_id)}?what={what}", headers=PARTIAL)


def sets(admin, vendor_id, what="limit:orders", **fields):
    token = {"csrf_token": people.csrf_token(admin), "what": what}
    return admin.post(page_of(vendor_id), data={**token, **fields}, headers=PARTIAL)


def ends(admin, vendor_id, override_id):
    token = {"csrf_token": people.csrf_token(admin)}
    return admin.post(f"/admin/vendors/{vendor_id}/overrides/{override_id}/end", data=token, headers=PARTIAL)


def tab(admin, vendor_id):
    return text_of(admin.get(f"/admin/vendors/{vendor_id}?tab=limits"))


def limits(vendor_id):
    db.session.rollback()
    return queries.rights(vendor_id, clock.business()).limits


def live(vendor_id):
    return overrides.live(vendor_id, clock.business())


def test_a_limit_holds_at_once_with_who_until_when_and_why(admin, vendor_id):
    words = text_of(opened(admin, vendor_id))
    assert "Set Orders" in words and "Now: 500" in words and "500 from Professional" in words
    answer = sets(admin, vendor_id, amount="700", until="2027-03-31", reason="Waits for the <new> tier")
    assert answer.status_code == 200
    assert "Orders of Kilim House: 700." in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    assert limits(vendor_id)["orders"] == 700
    assert gate.check(vendor_id, Metric.ORDERS, 700, now=clock.business()).allowed
    words = tab(admin, vendor_id)
    assert "set to 700 by Sam Staff until 31 March 2027" in words
    assert "Reason: Waits for the <new> tier" in words and "500 from Professional" in words
    words = text_of(admin.get(f"/admin/vendors/{vendor_id}?tab=history"))
    assert "Orders set to 700 until 31 March 2027" in words and "Sam Staff, staff" in words
    assert "Limit set by hand" in text_of(admin.get(f"/admin/vendors/{vendor_id}?tab=audit"))


def test_it_ends_by_itself_after_its_day_and_history_says_so(client, admin, vendor_id, sandbox, travel):
    sets(admin, vendor_id, amount="700", until="2027-01-17", reason="A weekend")
    assert limits(vendor_id)["orders"] == 700
    stories.lives_on(sandbox, client, travel, days=2)
    # 17 January, noon: its last day.
    assert limits(vendor_id)["orders"] == 700
    stories.lives_on(sandbox, client, travel, hours=13)
    assert limits(vendor_id)["orders"] == 500
    assert live(vendor_id) == []
    assert "Orders is no longer set to 700" in text_of(admin.get(f"/admin/vendors/{vendor_id}?tab=history"))
    stories.lives_on(sandbox, client, travel, days=1)
    assert db.session.query(SubscriptionEvent).filter_by(vendor_id=vendor_id, kind="override_ended").count() == 1


def test_it_can_be_ended_by_hand_once(admin, vendor_id):
    sets(admin, vendor_id, amount="3", reason="Too many")
    assert limits(vendor_id)["orders"] == 3, "lower than the tier, and it counts"
    [held] = live(vendor_id)
    assert ends(admin, vendor_id, held.id).status_code == 200
    assert limits(vendor_id)["orders"] == 500
    assert ends(admin, vendor_id, held.id).status_code == 200
    assert db.session.query(SubscriptionEvent).filter_by(vendor_id=vendor_id, kind="override_ended").count() == 1


def test_another_takes_its_place(admin, vendor_id):
    sets(admin, vendor_id, amount="700", reason="First")
    sets(admin, vendor_id, unlimited="y", reason="Second")
    assert limits(vendor_id)["orders"] is None
    [held] = live(vendor_id)
    assert (held.amount, held.reason) == (None, "Second")
    assert db.session.query(LimitOverride).filter_by(vendor_id=vendor_id).count() == 2


def test_a_feature_is_given_and_taken_away(admin, vendor_id):
    now = clock.business()
    assert "Now: not granted by anything." in text_of(opened(admin, vendor_id, "feature:api_access"))
    assert sets(admin, vendor_id, "feature:api_access", level="yes", reason="A trial of it").status_code == 200
    assert gate.has(vendor_id, "api_access", now=now + timedelta(minutes=1))
    sets(admin, vendor_id, "feature:analytics", level="none", reason="Misused")
    assert not gate.has(vendor_id, "analytics", now=now + timedelta(minutes=1))
    words = tab(admin, vendor_id)
    assert "set to not included by Sam Staff" in words and "Advanced from Professional" in words


def test_the_vendor_is_written_to_if_asked_for(admin, vendor_id):
    from portal.notifications.models import SentMail

    sets(admin, vendor_id, amount="700", reason="Secret reason")
    assert db.session.query(SentMail).filter_by(vendor_id=vendor_id, kind="limit_changed").count() == 0
    sets(admin, vendor_id, amount="800", until="2027-03-31", reason="Secret reason", notify="y")
    mail = db.session.query(SentMail).filter_by(vendor_id=vendor_id, kind="limit_changed").one()
    assert mail.params["limit"] == "800" and "Secret" not in json.dumps(mail.params)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"amount": ""}, "Give a whole number from 0 to 1,000,000,000."),
        ({"amount": "-1"}, "Give a whole number from 0 to 1,000,000,000."),
        ({"amount": "1000000001"}, "Give a whole number from 0 to 1,000,000,000."),
        ({"amount": "9" * 5000}, "Not a valid integer value."),
        ({"amount": "many"}, "Not a valid integer value."),
        ({"until": "2027-01-14"}, "Choose a day in the future, or none."),
        ({"until": "soon"}, "Not a valid date value."),
        ({"reason": ""}, "Say why, so that colleagues understand it later."),
        ({"reason": "x" * 501}, "Use at most 500 characters."),
        ({"reason": "a\0b"}, "This contains characters that cannot be used here."),
        ({"what": "feature:analytics", "level": "divine"}, "Choose one of the levels."),
    ],
)
def test_wrong_input_is_named_at_the_field_and_nothing_changes(admin, vendor_id, wrong, message):
    answer = sets(admin, vendor_id, **{"amount": "700", "reason": "Because", **wrong})
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert limits(vendor_id)["orders"] == 500
    assert db.session.query(LimitOverride).count() == 0


@pytest.mark.parametrize("what", ["", "limit", "limit:none", "feature:orders", "tier:orders", "limit:orders:x"])
def test_what_there_is_not_cannot_be_set(admin, vendor_id, what):
    assert opened(admin, vendor_id, what).status_code == 404
    assert sets(admin, vendor_id, what, amount="7", reason="Because").status_code == 404


def test_anothers_and_missing_ones_are_not_found(client, admin, vendor_id):
    other = people.register("bob@example.com", business="Tea House").vendor_id
    sets(admin, other, amount="700", reason="Theirs")
    [theirs] = live(other)
    assert ends(admin, vendor_id, theirs.id).status_code == 404
    assert ends(admin, vendor_id, 999).status_code == 404
    assert limits(other)["orders"] == 700


def test_where_there_is_no_plan_the_modal_says_so(client, admin):
    nobody = people.register(tier=None).vendor_id
    assert "There is no subscription yet" in text_of(opened(admin, nobody))
    assert sets(admin, nobody, amount="7", reason="Because").status_code == 404


def test_support_may_look_and_not_set(client, admin, vendor_id):
    support = paid.staff_client(client, StaffKind.SUPPORT, "Sue Support")
    assert opened(support, vendor_id).status_code == 403
    assert sets(support, vendor_id, amount="7", reason="Nice people").status_code == 403
    assert "500 from Professional" in tab(support, vendor_id)
    assert "/override?what" not in support.get(f"/admin/vendors/{vendor_id}?tab=limits").get_data(as_text=True)


def test_without_javascript_it_is_a_page_and_leads_back(admin, vendor_id):
    fields = {**paid.sent(admin.get(f"{page_of(vendor_id)}?what=limit:orders")), "amount": "7", "reason": "Because"}
    answer = admin.post(page_of(vendor_id), data=fields)
    assert (answer.status_code, answer.location) == (303, f"/admin/vendors/{vendor_id}?tab=limits")
    assert limits(vendor_id)["orders"] == 7
