"""Ending a subscription from the back office, with a reason, and letting it go on (ADM-3, SUB-7)."""

import json

import pytest

from portal.identity.rules import StaffKind
from portal.kit.db import db
from portal.notifications.models import SentMail
from portal.subscriptions import queries
from portal.subscriptions.rules import Status
from tests.reporting import paid
from tests.reporting.paid import PARTIAL
from tests.support import people, stories
from tests.support.people import text_of

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def admin(client):
    return paid.staff_client(client)


@pytest.fixture
def payer(client, sandbox, travel, scene):
    """Paid for 16 February to 16 March; half of it is over."""
    return scene("half of a paid month is over", lambda: paid.pays_for(sandbox, client, travel))


def opened(admin, vendor_id):
    return admin.get(f"/admin/vendors/{vendor_id}/cancel", headers=PARTIAL)


def cancel(admin, vendor_id, **fields):
    data = {"csrf_token": people.csrf_token(admin), **paid.sent(opened(admin, vendor_id)), **fields}
    return admin.post(f"/admin/vendors/{vendor_id}/cancel", data=data, headers=PARTIAL)


def toast(answer):
    return json.loads(answer.headers["HX-Trigger"])["toast"]["text"]


def test_for_the_end_of_the_period_and_back(client, sandbox, payer, admin):
    words = text_of(opened(admin, payer.id))
    assert "On 16 March 2027, at the end of the period" in words and "Now: the product closes at once" in words
    answer = cancel(admin, payer.id, when="end", reason="Asked by <phone>", feedback="unused")
    assert answer.status_code == 200
    assert toast(answer) == "The subscription of Ada's Shop ends on 16 March 2027."
    stories.settle(sandbox, client)
    assert queries.ending(payer.id).at_period_end
    page = text_of(admin.get(f"/admin/vendors/{payer.id}"))
    assert "Cancelled for 16 March 2027" in page and "Take it back" in page
    assert "Cancelled for 16 March 2027 (Not used enough)" in page
    assert "Reason: Asked by <phone>" in page and "Sam Staff, staff" in page
    assert "Subscription cancelled" in text_of(admin.get(f"/admin/vendors/{payer.id}?tab=audit"))
    assert "at the end of the period" not in text_of(opened(admin, payer.id)), "only ending it now is left"

    version = queries.held(payer.id).version
    answer = people.post(
        admin, f"/admin/vendors/{payer.id}/resume", {"base_version": version}, headers=PARTIAL, page="/admin/vendors"
    )
    assert toast(answer) == "The cancellation is taken back."
    assert not queries.ending(payer.id).at_period_end
    assert "Cancellation taken back" in text_of(admin.get(f"/admin/vendors/{payer.id}"))


def test_at_once_without_a_mail(client, sandbox, payer, admin):
    fields = paid.sent(opened(admin, payer.id))
    assert fields["notify"] == "y", "the mail is written unless staff says no"
    data = {**fields, "csrf_token": people.csrf_token(admin), "when": "now", "reason": "Chargeback"}
    data.pop("notify")
    answer = admin.post(f"/admin/vendors/{payer.id}/cancel", data=data, headers=PARTIAL)
    assert toast(answer) == "The subscription of Ada's Shop has ended."
    stories.settle(sandbox, client)
    assert queries.held(payer.id).status == Status.CANCELLED
    assert db.session.query(SentMail).filter_by(kind="cancelled").count() == 0
    page = text_of(admin.get(f"/admin/vendors/{payer.id}"))
    assert "Cancelled on 2 March 2027" in page and "Ended at once" in page
    assert "There is nothing to cancel" in text_of(opened(admin, payer.id))
    # Half of €99.00 is unused: €49.50 less a second or two.
    customer = stories.stripe_get(sandbox, f"customers/{stories.vendor_row(payer).stripe_customer_id}")
    assert abs(customer["balance"] + 4950) <= 1


def test_a_trial_can_only_end_now(client, admin):
    who = people.register()
    words = text_of(opened(admin, who.vendor_id))
    assert "at the end of the period" not in words and "There is no second trial." in words
    assert cancel(admin, who.vendor_id, when="end", reason="Spam").status_code == 409
    assert queries.held(who.vendor_id).status == Status.TRIAL
    assert cancel(admin, who.vendor_id, when="now", reason="Spam").status_code == 200
    assert queries.held(who.vendor_id).status == Status.CANCELLED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reason": ""}, "Say why, so that colleagues understand it later."),
        ({"reason": "x" * 501}, "Use at most 500 characters."),
        ({"reason": "a\0b"}, "This contains characters that cannot be used here."),
        ({"when": "yesterday"}, "Choose when the subscription ends."),
        ({"feedback": "because"}, "Not a valid choice"),
        ({"base_version": "soon"}, "This form is out of date."),
    ],
)
def test_wrong_input_is_named_and_nothing_changes(client, admin, wrong, message):
    who = people.register()
    answer = cancel(admin, who.vendor_id, **{"when": "now", "reason": "Because", **wrong})
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert queries.held(who.vendor_id).status == Status.TRIAL


def test_the_second_of_two_is_told(client, admin):
    who = people.register()
    stale = paid.sent(opened(admin, who.vendor_id))["base_version"]
    from tests.web.test_admin_trial import extend

    assert extend(admin, who.vendor_id, days="10", reason="First").status_code == 200
    answer = cancel(admin, who.vendor_id, when="now", reason="Second", base_version=stale)
    assert answer.status_code == 409
    assert "changed meanwhile" in text_of(answer) and "Second" in answer.get_data(as_text=True)
    assert queries.held(who.vendor_id).status == Status.TRIAL


def test_support_may_not(client, admin):
    who = people.register()
    support = paid.staff_client(client, StaffKind.SUPPORT, "Sue Support")
    assert opened(support, who.vendor_id).status_code == 403
    assert "Cancel…" not in text_of(support.get(f"/admin/vendors/{who.vendor_id}"))
    assert "Cancel…" in text_of(admin.get(f"/admin/vendors/{who.vendor_id}"))


def test_without_a_subscription_there_is_nothing_to_cancel(client, admin):
    nobody = people.register(tier=None)
    assert "There is nothing to cancel" in text_of(opened(admin, nobody.vendor_id))
