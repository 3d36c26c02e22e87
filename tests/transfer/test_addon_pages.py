"""An add-on of a vendor that pays by bank transfer, as its pages and the queue of staff tell it (ADD-2, ADM-9)."""

from flask.testing import FlaskClient

from tests.support import people
from tests.support.people import Someone, text_of
from tests.transfer.test_pages import desk, found, ordered, shop  # noqa: F401 - fixtures
from tests.web.test_vendor_addons import hidden, product


def paid(client: FlaskClient, desk: FlaskClient, shop: Someone) -> None:  # noqa: F811
    """The plan, by a transfer that has come in."""
    number = found(ordered(client, shop)).id
    form = {"amount": "99.00", "booked_on": "2027-01-15", "base_version": "1"}
    assert people.post(desk, f"/admin/transfers/{number}/approve", form).status_code == 303


def test_an_add_on_that_waits_for_its_money_is_in_sight(
    shop: Someone, client: FlaskClient, desk: FlaskClient  # noqa: F811
) -> None:  # fmt: skip
    paid(client, desk, shop)
    home = text_of(client.get("/dashboard"))
    assert "next transfer €99.00, due on" in home and "next charge" not in home
    assert "Add a payment method" not in home, "it pays by transfer"
    way, mine = f"/vendor/{shop.code}/addons/add/{product('extra-storage')}", f"/vendor/{shop.code}/addons"
    assert "waiting for your bank transfer" not in text_of(client.get(mine))
    shown = people.post(client, way, {"quantity": "2"})
    left = people.post(client, way, hidden(shown.get_data(as_text=True)) | {"quantity": "2"})
    assert left.status_code == 303, text_of(left)
    transfer = found(str(left.location))
    page = text_of(client.get(mine))
    assert "Extra storage is waiting for your bank transfer" in page and "How to pay" in page
    assert "· Add-on €" in text_of(desk.get("/admin/transfers")), "staff reads what it is for"
    said = {"reason": "No money came.", "base_version": str(transfer.version)}
    assert people.post(desk, f"/admin/transfers/{transfer.id}/reject", said).status_code == 303
    rejected = text_of(client.get(str(left.location)))
    assert "See your add-ons" in rejected and "Choose a plan again" not in rejected
    assert "waiting for your bank transfer" not in text_of(client.get(mine))
