"""Above the operator's limit two people approve a transfer: what each of them is shown (ADM-9)."""

from flask.testing import FlaskClient

from portal.kit import tenancy
from tests.support import people
from tests.support.people import Someone, text_of
from tests.transfer.steps import change
from tests.transfer.test_pages import desk, found, ordered, shop  # noqa: F401 - fixtures


def test_the_second_approver_is_somebody_else(
    shop: Someone, client: FlaskClient, desk: FlaskClient  # noqa: F811
) -> None:  # fmt: skip
    with tenancy.unscoped("a test"):
        change(second_approval_above_minor=5000)
    page = ordered(client, shop)
    where = f"/admin/transfers/{found(page).id}/approve"
    form = {"amount": "99.00", "booked_on": "2027-01-15"}
    assert people.post(desk, where, {**form, "base_version": "1"}).status_code == 303
    assert found(page).state == "awaiting"
    assert people.post(desk, where, {**form, "base_version": "2"}).status_code == 403
    own, queue = text_of(desk.get(where)), text_of(desk.get("/admin/transfers"))
    assert "You have approved €99.00" in own and "Count the money" not in own
    assert "you approved €99.00; somebody else must too" in queue and "Approve" not in queue
    other = client.application.test_client()
    people.sign_in(other, people.staff().email)
    assert "has approved €99.00" in text_of(other.get(where))
    assert people.post(other, where, {**form, "base_version": "2"}).status_code == 303
    assert found(page).state == "approved"


def test_the_second_approver_finds_what_the_first_one_said(
    shop: Someone, client: FlaskClient, desk: FlaskClient  # noqa: F811
) -> None:  # fmt: skip
    """Another amount is refused, and a renewal date that only one of them saw would be lost."""
    with tenancy.unscoped("a test"):
        change(second_approval_above_minor=5000)
    where = f"/admin/transfers/{found(ordered(client, shop)).id}/approve"
    form = {"amount": "60.00", "booked_on": "2027-01-15", "start": "2027-01-10", "base_version": "1"}
    assert people.post(desk, where, form).status_code == 303
    other = client.application.test_client()
    people.sign_in(other, people.staff().email)
    page = other.get(where).get_data(as_text=True)
    assert 'value="60.00"' in page and 'value="2027-01-10"' in page


def test_in_parts_it_takes_two_people_all_the_same(
    shop: Someone, client: FlaskClient, desk: FlaskClient  # noqa: F811
) -> None:  # fmt: skip
    """Of 99.00 one person may count 50.00; with the other 49.00 it is above the limit."""
    with tenancy.unscoped("a test"):
        change(second_approval_above_minor=5000)
    page = ordered(client, shop)
    where = f"/admin/transfers/{found(page).id}/approve"
    form = {"amount": "50.00", "booked_on": "2027-01-15"}
    assert people.post(desk, where, {**form, "base_version": "1"}).status_code == 303
    assert found(page).received_minor == 5000
    assert "Two people approve this" in text_of(desk.get(where))
    rest = {**form, "amount": "49.00", "base_version": "2"}
    assert people.post(desk, where, rest).status_code == 303
    assert (found(page).received_minor, found(page).state) == (5000, "part_paid"), "somebody else must agree"
    other = client.application.test_client()
    people.sign_in(other, people.staff().email)
    less = people.post(other, where, {**rest, "amount": "10.00", "base_version": "3"})
    assert less.status_code == 409 and found(page).received_minor == 5000, "less than the first said is not it either"
    assert people.post(other, where, {**rest, "base_version": "3"}).status_code == 303
    assert found(page).state == "approved"
