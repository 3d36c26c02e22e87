"""What a vendor's invoices say about it, as people type it (BIL-4)."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.billing import details
from portal.identity.models import Membership, Vendor
from portal.identity.rules import Role
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from tests.support import people
from tests.support.people import Someone, text_of
from tests.support.servers import Sandbox
from tests.support.stories import settle, stripe_get
from tests.support.travel import Travel
from tests.web.test_vendor_checkout import owner, pays_through

pytestmark = pytest.mark.usefixtures("unscoped")
GOOD = {
    "legal_name": "Kilim House GmbH", "street": "Große Bleichen 1\nHinterhaus", "postcode": "20095", "city": "Hamburg",
    "country": "DE", "vat_id": "de 136 695 976", "email": "invoices@kilim.example",
}  # fmt: skip


def sends(client: FlaskClient, who: Someone, **change: str) -> Any:
    return people.post(client, f"/vendor/{who.code}/billing-details", {**GOOD, **change})


def test_details_are_kept_and_shown_again(client: FlaskClient) -> None:
    who = people.sign_up(client)
    assert sends(client, who).status_code == 303
    page = client.get(f"/vendor/{who.code}/billing-details").get_data(as_text=True)
    assert "Kilim House GmbH" in page
    assert 'value="DE136695976"' in page
    kept = details.read(who.vendor_id)
    assert (kept.street, kept.lacking) == ("Große Bleichen 1\nHinterhaus", ())
    assert 'selected value="DE"' in page


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"vat_id": "DE136695977"}, "This is no VAT number"),
        ({"legal_name": " "}, "Enter the name that must stand on the invoice."),
        ({"street": ""}, "Enter street and number"),
        ({"country": ""}, "Choose the country."),
        ({"country": "D1"}, "Choose the country."),
        ({"email": "nonsense"}, "Enter an email address such as"),
        ({"city": "x" * 81}, "This is too long."),
        ({"city": "Ham\x00burg"}, "characters that cannot be used here"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field_and_nothing_changes(
    client: FlaskClient, change: dict[str, str], says: str
) -> None:
    who = people.sign_up(client)
    answer = sends(client, who, **change)
    assert answer.status_code == 422
    assert says in text_of(answer)
    assert "Große Bleichen 1" in answer.get_data(as_text=True) or "street" in change
    assert details.read(who.vendor_id) == details.Details()


def test_stripe_is_told_once_for_a_change(client: FlaskClient, sandbox: Sandbox) -> None:
    who = people.sign_up(client)
    jobs.run_all()
    sends(client, who)
    sends(client, who)
    jobs.run_all()
    customer = stripe_get(sandbox, f"customers/{db.session.get_one(Vendor, who.vendor_id).stripe_customer_id}")
    assert (customer["name"], customer["email"]) == ("Kilim House GmbH", "invoices@kilim.example")
    assert customer["address"]["city"] == "Hamburg"
    assert customer["metadata"] == {"vendor_id": str(who.vendor_id), "vat_id": "DE136695976"}
    changes = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "vendor.legal_data_changed")).all()
    assert len(changes) == 1


def test_one_is_led_back_to_the_page_that_asked_and_to_no_other_site(client: FlaskClient) -> None:
    who = people.sign_up(client)
    assert sends(client, who, next=f"/vendor/{who.code}/plans").location == f"/vendor/{who.code}/plans"
    assert sends(client, who, next="//evil.example").location == f"/vendor/{who.code}/billing-details"


def test_members_do_not_change_them(client: FlaskClient) -> None:
    who = people.register()
    carol = people.login("carol@example.com")
    with unit_of_work() as session:
        session.add(
            Membership(vendor_id=who.vendor_id, user_id=carol.id, role=Role.MEMBER, created_at=clock.business())
        )
    people.sign_in(client, "carol@example.com")
    assert client.get(f"/vendor/{who.code}/billing-details").status_code == 403


def test_mails_about_money_go_where_invoices_go_and_others_to_the_owner(
    client: FlaskClient, sandbox: Sandbox, travel: Travel
) -> None:
    who = owner(client)
    sends(client, who)
    travel.on(days=15)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    mails = {m.kind: m.recipient for m in db.session.scalars(select(SentMail))}
    assert mails["receipt"] == "invoices@kilim.example"
    assert mails["welcome"] == who.email
