"""Giving money back from the vendor's page: what can go back, what was typed, who may."""

import pytest
from flask.testing import FlaskClient

from portal.billing import refunds
from portal.billing.models import Invoice, Refund
from portal.identity.rules import StaffKind
from portal.kit.db import db
from tests.reporting import paid
from tests.reporting.paid import PARTIAL, sent
from tests.support import people
from tests.support.people import text_of
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, stripe_get

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def vendor(client, sandbox, travel, unscoped, scene):
    """Professional, paid 99.00, half of the period left."""
    return scene("half a paid period", lambda: paid.pays_for(sandbox, client, travel))


@pytest.fixture
def admin(client, vendor):
    return paid.staff_client(client)


def address(vendor: Somebody) -> str:
    db.session.rollback()
    invoice = db.session.query(Invoice).filter_by(vendor_id=vendor.id).one()
    return f"/admin/vendors/{vendor.id}/invoices/{invoice.id}/refund"


def fill(admin: FlaskClient, vendor: Somebody, **more: str) -> dict[str, str]:
    """The form as it opens, with what somebody typed."""
    return {**sent(admin.get(address(vendor), headers=PARTIAL)), "reason": "Double booking", **more}


def went_back(vendor: Somebody) -> list[tuple[str, int]]:
    db.session.rollback()
    return [(r.state, r.amount_minor) for r in db.session.query(Refund).filter_by(vendor_id=vendor.id)]


def test_the_modal_says_what_can_go_back_and_gives_it(admin: FlaskClient, vendor: Somebody, sandbox: Sandbox) -> None:
    here = f"/admin/vendors/{vendor.id}"
    assert address(vendor) in admin.get(here).get_data(as_text=True)
    opened = admin.get(address(vendor), headers=PARTIAL)
    assert "€99.00 can go back" in text_of(opened) and "This cannot be taken back" in text_of(opened)
    assert sent(opened)["amount"] == "99.00"
    done = admin.post(address(vendor), data=fill(admin, vendor, amount="30,50"), headers=PARTIAL)
    assert done.status_code == 200 and "€30.50 goes back to" in done.headers["HX-Trigger"].encode().decode(
        "unicode_escape"
    )
    assert went_back(vendor) == [("succeeded", 3050)]
    assert stripe_get(sandbox, "refunds")["data"][0]["amount"] == 3050
    # 99.00 - 30.50 = 68.50
    again = text_of(admin.get(address(vendor), headers=PARTIAL))
    assert "€68.50 can go back" in again and "€30.50" in again and "sent back: Double booking" in again
    audit = text_of(admin.get(f"{here}?tab=audit"))
    assert "Money given back" in audit and "Double booking" in audit


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("99.01", "not more than is left"),
        ("0", "more than zero"),
        ("-5", "Enter an amount above 0"),
        ("all of it", "Enter an amount above 0"),
        ("1.005", "fewer decimals"),
        ("999999999", "not more than is left"),
    ],
)
def test_a_wrong_amount_comes_back_at_its_field(
    admin: FlaskClient, vendor: Somebody, sandbox: Sandbox, typed: str, message: str
) -> None:
    answer = admin.post(address(vendor), data=fill(admin, vendor, amount=typed), headers=PARTIAL)
    assert answer.status_code == 422 and message in text_of(answer)
    assert f'value="{typed}"' in answer.get_data(as_text=True) and "Double booking" in answer.get_data(as_text=True)
    assert went_back(vendor) == [] and stripe_get(sandbox, "refunds")["data"] == []


def test_without_a_reason_nothing_goes_back(admin: FlaskClient, vendor: Somebody) -> None:
    answer = admin.post(address(vendor), data=fill(admin, vendor, reason=" "), headers=PARTIAL)
    assert answer.status_code == 422 and "Say why" in text_of(answer) and went_back(vendor) == []


def test_the_same_form_sent_twice_gives_back_once(admin: FlaskClient, vendor: Somebody) -> None:
    form = fill(admin, vendor, amount="40")
    assert admin.post(address(vendor), data=form).status_code == 303
    second = admin.post(address(vendor), data=form, headers=PARTIAL)
    assert second.status_code == 409 and "changed meanwhile" in text_of(second)
    assert "€59.00 can go back" in text_of(second)
    assert went_back(vendor) == [("succeeded", 4000)]
    # what is shown now can be confirmed
    assert admin.post(address(vendor), data={**sent(second), "amount": "40", "reason": "x"}).status_code == 303
    assert went_back(vendor) == [("succeeded", 4000), ("succeeded", 4000)]


def test_when_all_went_back_the_modal_says_so(admin: FlaskClient, vendor: Somebody) -> None:
    admin.post(address(vendor), data=fill(admin, vendor))
    assert went_back(vendor) == [("succeeded", 9900)]
    told = text_of(admin.get(address(vendor), headers=PARTIAL))
    late = {"csrf_token": people.csrf_token(admin, f"/admin/vendors/{vendor.id}"), "payment": "1"}
    assert "Nothing can be given back" in told and "All of it went back already." in told
    assert admin.post(address(vendor), data=late, headers=PARTIAL).status_code == 409


def test_stripe_is_silent_and_the_job_goes_on(admin: FlaskClient, vendor: Somebody, sandbox: Sandbox) -> None:
    form = fill(admin, vendor, amount="10")
    sandbox.post("/_sandbox/faults", kind="status", status=503, when="before", times=50)
    answer = admin.post(address(vendor), data=form, follow_redirects=True)
    assert "it finishes" in text_of(answer) or "finishes by itself" in text_of(answer)
    assert went_back(vendor) == [("requested", 1000)]


def test_who_may_and_what_is_not_there(client: FlaskClient, admin: FlaskClient, vendor: Somebody) -> None:
    support = paid.staff_client(client, StaffKind.SUPPORT, "Sue Support")
    assert support.get(address(vendor)).status_code == 403
    assert "Refund…" not in text_of(support.get(f"/admin/vendors/{vendor.id}"))
    other = people.register(email="bob@other.example", business="Other House")
    wrong = address(vendor).replace(f"/vendors/{vendor.id}/", f"/vendors/{other.vendor_id}/")
    assert admin.get(wrong).status_code == 404
    assert admin.post(wrong, data=fill(admin, vendor)).status_code == 404
    assert went_back(vendor) == []


def test_it_works_as_a_page(admin: FlaskClient, vendor: Somebody) -> None:
    page = admin.get(address(vendor))
    assert "<html" in page.get_data(as_text=True) and "Give the money back" in text_of(page)
    assert refunds.shown(vendor.id, 0) == []
