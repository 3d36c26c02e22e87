"""Invoices of all vendors in the back office: found, corrected, exported (ADM-8)."""

import csv
import io
import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.billing import balance
from portal.billing.models import BalanceEntry, CreditNote, Invoice
from portal.identity.rules import StaffKind
from portal.kit.db import db
from tests.reporting import paid as backoffice
from tests.support import people
from tests.support.people import text_of
from tests.web.test_admin_vendors import queries_of
from tests.web.test_vendor_invoices import asked, operator, paid, pdf_words
from tests.web.test_vendor_queries import invoiced

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def admin(client: FlaskClient) -> FlaskClient:
    """One of the operator's admins, signed in; the operator has taxes and an account."""
    operator()
    return backoffice.staff_client(client)


def numbers(admin: FlaskClient, query: str = "") -> list[str]:
    page = admin.get(f"/admin/invoices{query}").get_data(as_text=True)
    return re.findall(r'class="lead nowrap"><a [^>]+>([^<]+)</a>', page)


def test_every_vendors_invoices_are_found_by_number_vendor_state_and_way(admin: FlaskClient, travel) -> None:
    ann, bob = people.register(), people.register("bob@example.com", business="Bobs Books")
    paid(asked(ann))
    late = asked(bob, days=1)
    invoiced(bob, 1)
    travel.on(days=2)
    assert sorted(numbers(admin)) == ["INV-2027-00001", "PF-2027-00002", "T-0"]
    assert numbers(admin, "?q=inv-2027") == ["INV-2027-00001"]
    assert sorted(numbers(admin, "?q=bobs")) == ["PF-2027-00002", "T-0"]
    assert numbers(admin, "?status=overdue") == [late.proforma_number]
    assert numbers(admin, "?status=paid&provider=transfer") == ["INV-2027-00001"]
    assert numbers(admin, "?provider=stripe") == ["T-0"]
    assert numbers(admin, "?q=%25") == []
    assert numbers(admin, f"?vendor={ann.vendor_id}") == ["INV-2027-00001"]
    assert len(numbers(admin, "?vendor=0&q=")) == 3
    detail = admin.get(f"/admin/vendors/{ann.vendor_id}").get_data(as_text=True)
    assert f'href="/admin/invoices?vendor={ann.vendor_id}"' in detail
    words = text_of(admin.get("/admin/invoices?status=overdue"))
    assert "Bobs Books bobs-books 15 Jan 2027 Renewal Bank transfer €117.81 Overdue by 16 Jan 2027" in words
    assert "No invoice matches" in text_of(admin.get("/admin/invoices?q=zzz"))


def test_pages_keep_the_filter_and_take_two_statements(admin: FlaskClient) -> None:
    invoiced(people.register(), 60)
    page = admin.get("/admin/invoices?status=paid&q=T").get_data(as_text=True)
    [onward] = re.findall(r'rel="next" href="([^"]+)"', page)
    assert "status=paid" in onward and "q=T" in onward
    assert "T-25" in numbers(admin, onward.replace("&amp;", "&").removeprefix("/admin/invoices"))
    # Who is at the door, the page.
    assert queries_of(admin, "/admin/invoices") == 2
    assert admin.get("/admin/invoices?page=nonsense").status_code == 404


def test_an_export_has_every_row_and_no_formula(admin: FlaskClient) -> None:
    who = people.register(business="=HYPERLINK(1)")
    paid(asked(who))
    invoiced(who, 3)
    answer = admin.get("/admin/invoices/export?status=paid")
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))
    assert len(rows) == 4
    ours = next(row for row in rows if row["number"] == "INV-2027-00001")
    assert ours["vendor"] == "'=HYPERLINK(1)"
    assert (ours["net"], ours["tax"], ours["total"], ours["paid"]) == ("99.00", "18.81", "117.81", "117.81")


def test_an_export_is_read_in_batches(admin: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.reporting import invoice_list

    monkeypatch.setattr(invoice_list, "BATCH", 7)
    invoiced(people.register(), 30)
    assert len(admin.get("/admin/invoices/export").get_data(as_text=True).strip().splitlines()) == 31


def credit(admin: FlaskClient, invoice: Invoice, **form: str):
    page = admin.get(f"/admin/invoices/{invoice.id}/credit-note").get_data(as_text=True)
    found = re.search(r'name="once"[^>]* value="([^"]+)"', page)
    once = found[1] if found else "x" * 20
    data = {"once": once, "reason": "Charged twice", "money": "balance", "amount": "", **form}
    return people.post(admin, f"/admin/invoices/{invoice.id}/credit-note", data), data


def test_a_credit_note_is_written_once_and_the_money_goes_to_the_balance(admin: FlaskClient) -> None:
    who = people.register()
    invoice = asked(who)
    paid(invoice)
    answer, data = credit(admin, invoice, amount="50,00")
    assert answer.status_code == 303
    people.post(admin, f"/admin/invoices/{invoice.id}/credit-note", data)
    note = db.session.scalars(select(CreditNote)).one()
    # 50.00 + 19 % = 59.50.
    assert (note.number, note.total_minor, note.actor_label) == ("CN-2027-00001", 5950, "Sam Staff")
    assert balance.balance(who.vendor_id, "EUR").minor == 5950
    assert db.session.scalars(select(AuditEntry).where(AuditEntry.action == "billing.credited")).one()
    words = text_of(admin.get(f"/admin/invoices/{invoice.id}"))
    assert "Credit note CN-2027-00001 over €59.50 is written." in words
    assert "Partly credited" in words
    pdf = pdf_words(admin.get(f"/admin/invoices/{invoice.id}/credit-notes/{note.id}/pdf").data)
    assert "Part of invoice INV-2027-00001" in pdf and "Charged twice" in pdf


def test_the_rest_is_sent_back_by_hand_and_then_nothing_is_left(admin: FlaskClient) -> None:
    who = people.register()
    invoice = asked(who)
    paid(invoice)
    credit(admin, invoice, amount="50")
    credit(admin, invoice, money="by_hand")
    # 117.81 - 59.50 = 58.31.
    assert [note.total_minor for note in db.session.scalars(select(CreditNote).order_by(CreditNote.id))] == [5950, 5831]
    assert len(db.session.scalars(select(BalanceEntry)).all()) == 1
    assert "There is nothing to credit" in text_of(admin.get(f"/admin/invoices/{invoice.id}/credit-note"))
    answer, _ = credit(admin, invoice)
    assert answer.status_code == 409


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"amount": "99.01"}, "not more than is left"),
        ({"amount": "0"}, "more than zero"),
        ({"amount": "-5"}, "Enter an amount such as 12.50"),
        ({"amount": "1,234"}, "Enter an amount such as 12.50"),
        ({"reason": " "}, "Say why"),
        ({"money": "elsewhere"}, "Not a valid choice"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(admin: FlaskClient, form: dict[str, str], says: str) -> None:
    invoice = asked(people.register())
    paid(invoice)
    answer, _ = credit(admin, invoice, **form)
    assert answer.status_code == 422
    assert says in text_of(answer)
    assert db.session.scalars(select(CreditNote)).all() == []


def test_open_and_stripes_invoices_are_not_credited(admin: FlaskClient) -> None:
    who = people.register()
    invoiced(who, 1)
    stripes = db.session.scalars(select(Invoice)).one()
    for invoice in (stripes, asked(who)):
        assert "There is nothing to credit" in text_of(admin.get(f"/admin/invoices/{invoice.id}/credit-note"))
        answer, _ = credit(admin, invoice)
        assert answer.status_code == 409
    assert "put right by a refund" in text_of(admin.get(f"/admin/invoices/{stripes.id}"))


def test_support_looks_but_neither_credits_nor_exports(client: FlaskClient) -> None:
    operator()
    support = backoffice.staff_client(client, StaffKind.SUPPORT)
    invoice = asked(people.register())
    paid(invoice)
    assert support.get(f"/admin/invoices/{invoice.id}").status_code == 200
    assert "Credit note…" not in text_of(support.get(f"/admin/invoices/{invoice.id}"))
    assert "Export" not in text_of(support.get("/admin/invoices"))
    assert support.get("/admin/invoices/export").status_code == 403
    assert support.get(f"/admin/invoices/{invoice.id}/credit-note").status_code == 403


def test_a_note_belongs_to_its_invoice(admin: FlaskClient) -> None:
    first, second = asked(people.register()), asked(people.register("bob@example.com", business="Bobs Books"))
    for at, invoice in enumerate((first, second)):
        paid(invoice, f"statement-{at}")
    credit(admin, first)
    note = db.session.scalars(select(CreditNote)).one()
    assert admin.get(f"/admin/invoices/{second.id}/credit-notes/{note.id}/pdf").status_code == 404
    assert admin.get(f"/admin/invoices/{first.id}/pdf").mimetype == "application/pdf"
