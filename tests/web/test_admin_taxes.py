"""The operator's taxes and what stands on its papers, as staff change them (BIL-4)."""

from datetime import date

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.billing.models import TaxRate
from portal.identity.rules import StaffKind
from portal.kit.db import db
from portal.settings import queries as settings
from tests.reporting.paid import staff_client
from tests.support import people
from tests.support.people import text_of

pytestmark = pytest.mark.usefixtures("unscoped")
PAPERS = {
    "legal_name": "Bazaar Platform GmbH", "legal_address": "Lindenstraße 12\n10969 Berlin", "legal_country": "DE",
    "vat_id": "DE136695976", "invoice_prefix": "RE", "credit_note_prefix": "CN", "proforma_prefix": "PF",
    "invoice_note": "", "legal_footer": "HRB 123", "stripe_tax": "y",
}  # fmt: skip


@pytest.fixture
def admin(client: FlaskClient) -> FlaskClient:
    return staff_client(client)


def adds(admin: FlaskClient, **form: str):
    data = {"country": "DE", "label": "VAT", "rate": "19", "valid_from": "2027-01-01", **form}
    return people.post(admin, "/admin/taxes/add", data)


def rates() -> list[tuple[str, int, date, date | None]]:
    rows = db.session.scalars(select(TaxRate).order_by(TaxRate.id))
    return [(r.country, r.rate_bp, r.valid_from, r.valid_until) for r in rows]


def test_a_rate_is_added_and_shown(admin: FlaskClient) -> None:
    assert "No tax is charged" in text_of(admin.get("/admin/taxes"))
    assert adds(admin).status_code == 303
    assert adds(admin, country="CH", rate="8,1", label="MWST", valid_from="2027-06-01").status_code == 303
    words = text_of(admin.get("/admin/taxes"))
    assert "Germany VAT 19% 1 Jan 2027 – In force" in words
    assert "Switzerland MWST 8.1% 1 Jun 2027 – Not yet" in words
    assert "Your own country is not set" in words
    assert len(db.session.scalars(select(AuditEntry).where(AuditEntry.action == "billing.tax_rate_added")).all()) == 2


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"rate": "101"}, "Enter a rate from 0 to 100"),
        ({"rate": "-1"}, "Enter a rate from 0 to 100"),
        ({"rate": "19.123"}, "Enter a rate from 0 to 100"),
        ({"rate": ""}, "Enter a rate from 0 to 100"),
        ({"country": ""}, "Choose the country."),
        ({"label": " "}, "Enter what stands on the invoice"),
        ({"valid_from": "soon"}, "Not a valid date value"),
    ],
)
def test_a_rate_that_does_not_fit_is_refused(admin: FlaskClient, form: dict[str, str], says: str) -> None:
    answer = adds(admin, **form)
    assert answer.status_code == 422
    assert says in text_of(answer)
    assert rates() == []


def test_one_rate_per_country_and_day(admin: FlaskClient) -> None:
    adds(admin)
    answer = adds(admin, rate="21")
    assert answer.status_code == 422
    assert "a rate that begins on this day already" in text_of(answer)
    assert rates() == [("DE", 1900, date(2027, 1, 1), None)]


def test_a_rate_ends_on_a_day_and_may_hold_again(admin: FlaskClient) -> None:
    adds(admin)
    row = db.session.scalars(select(TaxRate)).one()
    path = f"/admin/taxes/{row.id}/end"
    assert people.post(admin, path, {"valid_until": "2026-12-31"}).status_code == 422
    assert people.post(admin, path, {"valid_until": "2027-01-15"}).status_code == 303
    assert rates()[0][3] == date(2027, 1, 15)
    assert "Ended" in text_of(admin.get("/admin/taxes"))
    people.post(admin, path, {"valid_until": ""})
    assert rates()[0][3] is None


def test_what_stands_on_papers_is_changed_as_a_whole_or_not_at_all(admin: FlaskClient) -> None:
    answer = people.post(admin, "/admin/taxes/papers", {**PAPERS, "invoice_prefix": "1/2"})
    assert answer.status_code == 422
    assert "one to eight letters" in text_of(answer)
    assert settings.current().legal_name == ""
    assert people.post(admin, "/admin/taxes/papers", PAPERS).status_code == 303
    now = settings.current()
    assert (now.legal_name, now.legal_country, now.invoice_prefix, now.stripe_tax) == (
        "Bazaar Platform GmbH", "DE", "RE", True,
    )  # fmt: skip
    kept = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "settings.changed")).all()
    assert {entry.data["key"] for entry in kept} == {
        "legal_name", "legal_address", "legal_country", "vat_id", "invoice_prefix", "legal_footer", "stripe_tax",
    }  # fmt: skip
    people.post(admin, "/admin/taxes/papers", {k: v for k, v in PAPERS.items() if k != "stripe_tax"})
    assert settings.current().stripe_tax is False


def test_support_looks_only(client: FlaskClient) -> None:
    support = staff_client(client, StaffKind.SUPPORT)
    assert "Add a rate" not in text_of(support.get("/admin/taxes"))
    assert adds(support).status_code == 403
    assert people.post(support, "/admin/taxes/papers", PAPERS).status_code == 403
