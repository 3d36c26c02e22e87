"""Giving more trial days from the back office (ADM-3)."""

import json

import pytest

from portal.identity.rules import StaffKind
from portal.kit.db import db
from portal.subscriptions import queries
from portal.subscriptions.models import SubscriptionEvent
from tests.reporting import paid
from tests.reporting.paid import PARTIAL
from tests.support import people, stories
from tests.support.people import text_of

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def admin(client):
    return paid.staff_client(client)


def opened(admin, vendor_id):
    return admin.get(f"/admin/vendors/{vendor_id}/trial", headers=PARTIAL)


def extend(admin, vendor_id, **fields):
    token = {"csrf_token": people.csrf_token(admin), **paid.sent(opened(admin, vendor_id))}
    return admin.post(f"/admin/vendors/{vendor_id}/trial", data={**token, **fields}, headers=PARTIAL)


def ends(vendor_id):
    db.session.rollback()
    return queries.overview(vendor_id).trial_ends_at.date().isoformat()


def test_days_are_added_to_the_end_with_who_and_why(client, admin):
    # Signed up on 15 January 2027, so the trial ends on the 29th; 10 days more: 8 February.
    trial = people.register()
    assert "The trial ends on 29 January 2027." in text_of(opened(admin, trial.vendor_id))
    answer = extend(admin, trial.vendor_id, days="10", reason="Waits for their <accountant>")
    assert answer.status_code == 200
    assert "runs until 8 February 2027 now." in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    assert ends(trial.vendor_id) == "2027-02-08"
    words = text_of(admin.get(f"/admin/vendors/{trial.vendor_id}/history", headers=PARTIAL))
    assert "Trial extended by 10 days, until 8 February 2027" in words
    assert "Reason: Waits for their <accountant>" in words and "Sam Staff, staff" in words
    assert "<accountant>" not in admin.get(f"/admin/vendors/{trial.vendor_id}").get_data(as_text=True)
    assert "Trial extended" in text_of(admin.get(f"/admin/vendors/{trial.vendor_id}?tab=audit"))


def test_a_trial_that_ended_opens_again_from_today(client, admin, sandbox, travel):
    trial = people.register()
    stories.lives_on(sandbox, client, travel, days=15)
    assert "The trial ended on 29 January 2027." in text_of(opened(admin, trial.vendor_id))
    # Today is 30 January; 5 days more: 4 February.
    assert extend(admin, trial.vendor_id, days="5", reason="On holiday").status_code == 200
    assert ends(trial.vendor_id) == "2027-02-04"
    assert queries.overview(trial.vendor_id).status == "trial"


def test_a_free_time_with_a_card_on_file_is_extended_at_stripe_too(client, admin, sandbox, travel):
    stories.push_catalog()
    who = stories.signs_up("professional")
    stories.pays(stories.opens_checkout(who))
    stories.settle(sandbox, client)
    assert extend(admin, who.id, days="7", reason="Late delivery").status_code == 200
    stories.settle(sandbox, client)
    assert ends(who.id) == "2027-02-05"
    customer = stories.vendor_row(who).stripe_customer_id
    [held] = stories.stripe_get(sandbox, "subscriptions", customer=str(customer))["data"]
    assert held["trial_end"] == int(queries.overview(who.id).trial_ends_at.timestamp())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"days": ""}, "Give between 1 and 90 days."),
        ({"days": "0"}, "Give between 1 and 90 days."),
        ({"days": "91"}, "Give between 1 and 90 days."),
        ({"days": "-5"}, "Give between 1 and 90 days."),
        ({"days": "9" * 5000}, "Not a valid integer value."),
        ({"days": "ten"}, "Not a valid integer value."),
        ({"reason": ""}, "Say why, so that colleagues understand it later."),
        ({"reason": "   "}, "Say why, so that colleagues understand it later."),
        ({"reason": "x" * 501}, "Use at most 500 characters."),
        ({"reason": "a\0b"}, "This contains characters that cannot be used here."),
        ({"base_version": "soon"}, "This form is out of date."),
    ],
)
def test_wrong_input_is_named_at_the_field_and_nothing_changes(client, admin, wrong, message):
    trial = people.register()
    before = db.session.query(SubscriptionEvent).count()
    answer = extend(admin, trial.vendor_id, **{"days": "10", "reason": "Because", **wrong})
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert ends(trial.vendor_id) == "2027-01-29"
    assert db.session.query(SubscriptionEvent).count() == before


def test_the_second_of_two_is_told_and_sees_the_new_end(client, admin):
    trial = people.register()
    stale = paid.sent(opened(admin, trial.vendor_id))["base_version"]
    assert extend(admin, trial.vendor_id, days="10", reason="First").status_code == 200
    answer = extend(admin, trial.vendor_id, days="20", reason="Second", base_version=stale)
    assert answer.status_code == 409
    words = text_of(answer)
    assert "changed meanwhile" in words and "The trial ends on 8 February 2027." in words and "Second" in words
    assert ends(trial.vendor_id) == "2027-02-08"


def test_where_there_is_no_trial_the_modal_says_so(client, admin):
    nobody = people.register(tier=None)
    assert "There is no trial to extend" in text_of(opened(admin, nobody.vendor_id))


def test_support_may_not(client, admin):
    trial = people.register()
    support = paid.staff_client(client, StaffKind.SUPPORT, "Sue Support")
    assert opened(support, trial.vendor_id).status_code == 403
    assert extend(support, trial.vendor_id, days="5", reason="Nice people").status_code == 403
    assert ends(trial.vendor_id) == "2027-01-29"


def test_without_javascript_it_is_a_page_and_leads_back(client, admin):
    trial = people.register()
    page = f"/admin/vendors/{trial.vendor_id}/trial"
    fields = {**paid.sent(admin.get(page)), "days": "3", "reason": "Because"}
    answer = admin.post(page, data=fields)
    assert (answer.status_code, answer.location) == (303, f"/admin/vendors/{trial.vendor_id}")
    assert "runs until 1 February 2027 now." in text_of(admin.get(answer.location))
