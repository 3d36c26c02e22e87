"""A vendor's invoices: one list for both ways to pay, one in full, its PDF (BIL-4)."""

import io
import re
from collections.abc import Callable
from datetime import date, timedelta

import pypdf
import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.billing import balance, papers
from portal.billing.models import BankTransfer, Dispute, Invoice, Payment, Refund, TaxRate
from portal.billing.papers import NewLine
from portal.kit import actor, clock
from portal.kit.db import db
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service as settings
from tests.support import people
from tests.support.people import Someone, text_of
from tests.support.servers import Sandbox
from tests.support.stories import settle
from tests.web.test_vendor_billing_details import sends
from tests.web.test_vendor_checkout import PARTIAL, owner, pays_through
from tests.web.test_vendor_queries import counted, invoiced

pytestmark = pytest.mark.usefixtures("unscoped")
SAM = actor.staff(7, "Sam Staff")


def operator() -> None:
    """An operator in Germany with a bank account and 19 %."""
    kept = {
        "legal_name": "Bazaar Platform GmbH", "legal_address": "Lindenstraße 12\n10969 Berlin", "legal_country": "DE",
        "vat_id": "DE136695976", "bank_holder": "Bazaar Platform GmbH", "bank_iban": "DE89370400440532013000",
    }  # fmt: skip
    with unit_of_work() as session:
        for key, value in kept.items():
            settings.change(key, value, actor=SAM, now=clock.business())
        session.add(TaxRate(country="DE", label="VAT", rate_bp=1900, valid_from=date(2020, 1, 1)))


def asked(who: Someone, minor: int = 9900, *, days: int = 14, reference: str | None = None) -> Invoice:
    """A proforma for a month."""
    now = clock.business()
    line = NewLine("Professional, monthly", minor, period_start=now, period_end=now + timedelta(days=31))
    with unit_of_work() as session:
        made = papers.issue_proforma(
            who.vendor_id, [line], "EUR", reason="subscription_cycle", due_at=now + timedelta(days=days), now=now
        )
        if reference:
            session.add(
                BankTransfer(
                    vendor_id=who.vendor_id, invoice_id=made.id, reference=reference, state="awaiting",
                    currency="EUR", asked_minor=made.due_minor, due_at=now, created_at=now,
                )
            )  # fmt: skip
    return made


def paid(invoice: Invoice, reference: str = "statement-1") -> None:
    """All of it arrives."""
    now = clock.business()
    with unit_of_work():
        papers.receive(invoice, invoice.due_minor - invoice.paid_minor, reference=reference, at=now, now=now)


def test_both_ways_to_pay_are_one_list(client: FlaskClient, sandbox: Sandbox, travel) -> None:
    operator()
    who = owner(client)
    travel.on(days=15)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    paid(asked(who))
    asked(who, 5000)
    words = text_of(client.get(f"/vendor/{who.code}/invoices"))
    # 99.00 + 18.81 = 117.81; 50.00 + 9.50 = 59.50.
    assert "PF-2027-00002 30 Jan 2027 Renewal Bank transfer €59.50 Open by 13 Feb 2027 PDF" in words
    assert "INV-2027-00001 30 Jan 2027 Renewal Bank transfer €117.81 Paid PDF" in words
    assert "First period Card (Stripe) €99.00 Paid PDF" in words
    assert "3 invoices on this page" in words


def test_stripes_invoice_names_the_operator_with_its_country(client: FlaskClient, sandbox: Sandbox) -> None:
    operator()
    who = owner(client)
    client.get(pays_through(client, who))
    page = text_of(client.get(f"/vendor/{who.code}/invoices/{db.session.scalars(db.select(Invoice.id)).one()}"))
    assert "Bazaar Platform GmbH Lindenstraße 12 10969 Berlin Germany VAT number DE136695976" in page


def test_what_waits_for_a_transfer_leads_to_how_to_pay_it(client: FlaskClient) -> None:
    operator()
    who = people.sign_up(client)
    invoice = asked(who, reference="RF8700000042")
    [transfer] = db.session.query(BankTransfer).all()
    for page in ("", f"/{invoice.id}"):
        answer = client.get(f"/vendor/{who.code}/invoices{page}").get_data(as_text=True)
        assert f'href="/vendor/{who.code}/transfer/{transfer.id}"' in answer
    paid(invoice)
    for page in ("", f"/{invoice.id}"):
        assert "How to pay" not in client.get(f"/vendor/{who.code}/invoices{page}").get_data(as_text=True)


def test_status_and_year_narrow_it_and_say_when_nothing_is_left(client: FlaskClient, travel) -> None:
    operator()
    who = people.sign_up(client)
    paid(asked(who))
    travel.on(days=360)
    asked(who, 5000)
    path = f"/vendor/{who.code}/invoices"
    numbers: Callable[[str], list[str]] = lambda query: re.findall(  # noqa: E731
        r'class="lead nowrap"><a [^>]+>([^<]+)</a>', client.get(path + query).get_data(as_text=True)
    )
    assert numbers("") == ["PF-2028-00001", "INV-2027-00001"]
    assert numbers("?status=open") == ["PF-2028-00001"]
    assert numbers("?status=paid") == numbers("?year=2027") == ["INV-2027-00001"]
    assert numbers("?status=nonsense&year=20270") == numbers("")
    assert "No invoice matches" in text_of(client.get(path + "?status=void"))
    assert "2028 2027" in text_of(client.get(path))


def test_before_the_first_it_says_what_comes(client: FlaskClient) -> None:
    who = people.sign_up(client)
    assert "No invoices yet The first one appears here" in text_of(client.get(f"/vendor/{who.code}/invoices"))


def test_pages_lead_on_and_back_and_a_foreign_cursor_nowhere(client: FlaskClient) -> None:
    who = people.sign_up(client)
    invoiced(who, 45)
    first = client.get(f"/vendor/{who.code}/invoices").get_data(as_text=True)
    [onward] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = client.get(onward.replace("&amp;", "&")).get_data(as_text=True)
    assert ">T-20<" in second and ">T-19<" not in second
    assert 'rel="prev"' in second
    for wrong in ("nonsense", "W3RydWUsIFsxLCAyXV0"):
        assert client.get(f"/vendor/{who.code}/invoices?page={wrong}").status_code == 404


def test_when_it_cannot_be_read_it_says_so(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.billing import listing
    from tests.web.test_vendor_billing import fails

    who = people.sign_up(client)
    monkeypatch.setattr(listing, "page", fails)
    assert "The invoices cannot be read right now. · Try again" in text_of(client.get(f"/vendor/{who.code}/invoices"))


def test_one_in_full_adds_up(client: FlaskClient) -> None:
    operator()
    who = people.sign_up(client)
    with unit_of_work():
        balance.add(
            who.vendor_id, Money(1000, "EUR"), cause="g", description="x", actor_label="Sam", now=clock.business()
        )
    invoice = asked(who)
    now = clock.business()
    with unit_of_work():
        papers.receive(invoice, 5000, reference="statement-7", at=now, now=now)
    words = text_of(client.get(f"/vendor/{who.code}/invoices/{invoice.id}"))
    # 117.81 - 10.00 - 50.00 = 57.81.
    assert "Net €99.00 VAT 19% on €99.00 €18.81 Total €117.81" in words
    assert "From your balance -€10.00 Received so far -€50.00 Left to pay €57.81" in words
    assert "Proforma PF-2027-00001" in words
    assert "Payment 15 Jan 2027 statement-7 €50.00 Received" in words
    assert "Bazaar Platform GmbH Lindenstraße 12" in words


def test_what_went_back_and_what_is_disputed_is_shown(client: FlaskClient) -> None:
    operator()
    who = people.sign_up(client)
    invoice = asked(who)
    paid(invoice)
    now = clock.business()
    with unit_of_work():
        papers.credit(invoice, [NewLine("Unused", 1000)], reason="Too much", cause="c", actor=SAM, now=now)
    payment = db.session.query(Payment).one()
    about = {"vendor_id": who.vendor_id, "currency": "EUR", "amount_minor": 1190}
    with unit_of_work() as session:
        session.add(
            Refund(
                **about, invoice_id=None, payment_id=payment.id, provider="transfer", reference="back-1",
                state="succeeded", reason="x", actor_kind="staff", actor_label="Sam", created_at=now,
            )
        )  # fmt: skip
    words = text_of(client.get(f"/vendor/{who.code}/invoices/{invoice.id}"))
    # 10.00 + 19 % = 11.90.
    assert "Credit note 15 Jan 2027 CN-2027-00001 (PDF) Too much -€11.90 Issued" in words
    assert "Refund 15 Jan 2027 back-1 -€11.90 Sent back" in words
    assert "Partly credited" in words


def test_a_dispute_of_a_card_payment_warns(client: FlaskClient, sandbox: Sandbox, travel) -> None:
    who = owner(client)
    travel.on(days=15)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    payment, invoice = db.session.query(Payment).one(), db.session.query(Invoice).one()
    with unit_of_work() as session:
        session.add(
            Dispute(
                vendor_id=who.vendor_id, payment_id=payment.id, stripe_dispute_id="dp_1", status="needs_response",
                reason="fraudulent", currency="EUR", amount_minor=9900, opened_at=clock.business(),
            )
        )  # fmt: skip
    words = text_of(client.get(f"/vendor/{who.code}/invoices/{invoice.id}"))
    assert "The cardholder's bank asks for this payment back" in words
    assert "dp_1 The cardholder says that the payment was not theirs -€99.00 Needs an answer" in words


def test_the_pdf_is_a_private_file_with_everything_in_it(client: FlaskClient) -> None:
    operator()
    who = people.sign_up(client)
    assert sends(client, who).status_code == 303
    invoice = asked(who, reference="RF8700000042")
    answer = client.get(f"/vendor/{who.code}/invoices/{invoice.id}/pdf")
    assert answer.mimetype == "application/pdf"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="PF-2027-00001.pdf"'
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    words = pdf_words(answer.data)
    for part in (
        "Proforma invoice", "PF-2027-00001", "Kilim House GmbH", "20095 Hamburg", "Bazaar Platform GmbH", "€117.81",
        "VAT 19% on €99.00", "DE89 3704 0044 0532 0130 00", "RF87 0000 0042", "29 January 2027", "Page 1 of 1",
    ):  # fmt: skip
        assert part in words, f"{part} is not in: {words}"
    paid(invoice)
    words = pdf_words(client.get(f"/vendor/{who.code}/invoices/{invoice.id}/pdf").data)
    assert "INV-2027-00001" in words and "Paid in full on 15 January 2027." in words
    assert "How to pay" not in words


def pdf_words(data: bytes) -> str:
    """What a person reads."""
    pages = pypdf.PdfReader(io.BytesIO(data)).pages
    return " ".join(" ".join(page.extract_text().split()) for page in pages)


def test_the_pdf_speaks_the_vendors_language_whoever_looks(client: FlaskClient) -> None:
    from portal.identity.models import Vendor

    operator()
    who = people.sign_up(client)
    with unit_of_work() as session:
        session.get_one(Vendor, who.vendor_id).locale = "de"
    invoice = asked(who)
    words = pdf_words(client.get(f"/vendor/{who.code}/invoices/{invoice.id}/pdf").data)
    assert "117,81 €" in words.replace("\xa0", " ") and "15. Januar 2027" in words


def test_a_credit_note_has_a_pdf_and_a_withdrawn_proforma_says_so(client: FlaskClient) -> None:
    operator()
    who = people.sign_up(client)
    invoice = asked(who)
    paid(invoice)
    with unit_of_work():
        note = papers.credit(invoice, None, reason="Too much", cause="c", actor=SAM, now=clock.business())
    words = pdf_words(client.get(f"/vendor/{who.code}/invoices/credit-notes/{note.id}/pdf").data)
    assert "Credit note" in words and "invoice INV-2027-00001" in words and "Too much" in words
    withdrawn = asked(who)
    with unit_of_work():
        papers.void(withdrawn, now=clock.business())
    words = pdf_words(client.get(f"/vendor/{who.code}/invoices/{withdrawn.id}/pdf").data)
    assert "Please do not pay it." in words and "How to pay" not in words


def test_somebody_elses_papers_are_not_there(client: FlaskClient) -> None:
    operator()
    other = people.register("bob@example.com", business="Bobs Books")
    invoice = asked(other)
    paid(invoice)
    with unit_of_work():
        note = papers.credit(invoice, None, reason="x", cause="c", actor=SAM, now=clock.business())
    who = people.sign_up(client)
    for path in (f"{invoice.id}", f"{invoice.id}/pdf", f"credit-notes/{note.id}/pdf"):
        assert client.get(f"/vendor/{who.code}/invoices/{path}").status_code == 404


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("https://pay.stripe.com/invoice/acct_1/test/pdf?s=ap", 303),
        ("https://evil.example/invoice.pdf", 503),
        ("https://pay.stripe.com.evil.example/x", 503),
        ("http://pay.stripe.com/x", 503),
        ("javascript:alert(1)", 503),
        (None, 404),
    ],
)
def test_stripes_pdf_is_at_stripe_and_nowhere_else(client: FlaskClient, address: str | None, status: int) -> None:
    who = people.sign_up(client)
    invoiced(who, 1)
    with unit_of_work() as session:
        invoice = session.query(Invoice).one()
        invoice.pdf_url = address
    answer = client.get(f"/vendor/{who.code}/invoices/{invoice.id}/pdf")
    assert answer.status_code == status
    assert answer.location == (address if status == 303 else None)


@pytest.mark.parametrize("invoices", [1, 60])
def test_the_list_takes_three_statements_and_a_fragment_two(catalog: Flask, client: FlaskClient, invoices: int) -> None:
    who = people.sign_up(client)
    invoiced(who, invoices)
    path = f"/vendor/{who.code}/invoices"
    client.get(path)
    with counted(db.engine) as seen:
        assert client.get(path).status_code == 200
    # Who is at the door, the invoices, their years.
    assert len(seen) == 3
    if invoices > 20:
        [onward] = re.findall(r'rel="next" href="([^"]+)"', client.get(path).get_data(as_text=True))
        with counted(db.engine) as seen:
            assert client.get(onward.replace("&amp;", "&"), headers=PARTIAL).status_code == 200
        assert len(seen) == 2


def test_one_in_full_takes_seven_statements_whatever_is_in_it(catalog: Flask, client: FlaskClient) -> None:
    operator()
    who = people.sign_up(client)
    invoice = asked(who)
    paid(invoice)
    path = f"/vendor/{who.code}/invoices/{invoice.id}"
    client.get(path)
    with counted(db.engine) as seen:
        assert client.get(path).status_code == 200
    # Door, invoice, payments, taxes, credit notes, refunds, lines; disputes only with a card.
    assert len(seen) == 7


def test_payments_and_refunds_are_one_list(client: FlaskClient) -> None:
    operator()
    who = people.sign_up(client)
    assert "No payments yet" in text_of(client.get(f"/vendor/{who.code}/payments"))
    invoice = asked(who)
    paid(invoice)
    payment, later = db.session.query(Payment).one(), clock.business() + timedelta(hours=1)
    with unit_of_work() as session:
        session.add(
            Refund(
                vendor_id=who.vendor_id, currency="EUR", amount_minor=1190, payment_id=payment.id, provider="transfer",
                reference="back-1", state="succeeded", reason="x", actor_kind="staff", actor_label="Sam",
                created_at=later,
            )
        )  # fmt: skip
    client.get(f"/vendor/{who.code}/payments")
    with counted(db.engine) as seen:
        words = text_of(client.get(f"/vendor/{who.code}/payments"))
    assert (
        "Refund 15 Jan 2027 INV-2027-00001 Bank transfer back-1 -€11.90 Sent back"
        " Payment 15 Jan 2027 INV-2027-00001 Bank transfer statement-1 €117.81 Received" in words
    )
    assert len(seen) == 2
    bob = people.register("bob@example.com", business="Bobs Books")
    paid(asked(bob), "statement-2")
    assert "statement-2" not in text_of(client.get(f"/vendor/{who.code}/payments"))


def test_payments_lead_on_and_back(client: FlaskClient) -> None:
    operator()
    who = people.sign_up(client)
    for n in range(25):
        paid(asked(who, 100), f"s-{n:02d}")
    first = client.get(f"/vendor/{who.code}/payments").get_data(as_text=True)
    [onward] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = client.get(onward.replace("&amp;", "&")).get_data(as_text=True)
    seen = re.findall(r"s-\d\d", first) + re.findall(r"s-\d\d", second)
    assert sorted(seen) == [f"s-{n:02d}" for n in range(25)]
    assert client.get(f"/vendor/{who.code}/payments?page=nonsense").status_code == 404
