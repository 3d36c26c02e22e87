"""Bank transfer as people meet it: choosing it, its page, the proof, and the queue of the back office."""

import io
import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject
from urllib3 import encode_multipart_formdata

from portal.billing.models import BankStatement, BankStatementLine, BankTransfer
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.gateways import storage
from portal.identity.models import Vendor
from portal.identity.rules import StaffKind
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.subscriptions import queries as subscriptions
from tests.support import people
from tests.support.people import Someone, text_of
from tests.support.travel import Travel
from tests.transfer.steps import change, lives_on, offer
from tests.web.test_vendor_checkout import PARTIAL
from tests.web.test_vendor_queries import counted


def pdf(kind: str = "plain", weight: int = 0) -> bytes:
    """A page without anything on it; with a program, an attachment or a password; weighing so many bytes more."""
    writer = PdfWriter()
    writer.add_blank_page(99, 99)
    if kind == "program":
        action = {NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("app.alert(1)")}
        writer.root_object[NameObject("/OpenAction")] = DictionaryObject(action)
    elif kind == "attachment":
        writer.add_attachment("evil.exe", b"MZ")
    elif kind == "locked":
        writer.encrypt("secret")
    out = io.BytesIO()
    writer.write(out)
    head, _, tail = out.getvalue().rpartition(b"startxref")
    return head + b"%" + b"x" * weight + b"\nstartxref" + tail


@pytest.fixture
def shop(without_stripe: Flask, client: FlaskClient) -> Someone:
    """The owner of a vendor in its trial, signed in, where transfers are taken; billing details are told."""
    with tenancy.unscoped("a test"):
        offer()
        owner = people.sign_up(client)
        with unit_of_work():
            vendor = db.session.get_one(Vendor, owner.vendor_id)
            vendor.legal_name = "Kilim House Ltd"
            vendor.address = {"street": "Hauptstr. 1", "postcode": "10115", "city": "Berlin", "country": "DE"}
    return owner


def price_id(tier: str = "professional") -> int:
    found = catalog.offer(tier, Cycle.MONTHLY)
    assert found is not None
    return found.id


def chooses(client: FlaskClient, owner: Someone, method: str = "transfer") -> Any:
    return people.post(client, f"/vendor/{owner.code}/pay", {"price": str(price_id()), "method": method})


def ordered(client: FlaskClient, owner: Someone) -> str:
    """Choose the transfer; gives the address of its page."""
    answer = chooses(client, owner)
    assert answer.status_code == 303, text_of(answer)
    return str(answer.headers["Location"])


def found(page: str) -> SimpleNamespace:
    """The transfer of that page as committed now."""
    with tenancy.unscoped("a test"):
        db.session.rollback()
        row = db.session.get_one(BankTransfer, int(page.rsplit("/", 1)[-1]), populate_existing=True)
        return SimpleNamespace(**{column.key: getattr(row, column.key) for column in row.__table__.columns})


def sends(client: FlaskClient, page: str, data: bytes, name: str = "receipt.pdf") -> Any:
    return sends_file(client, f"{page}/proof", "proof", data, name)


def sends_file(client: FlaskClient, where: str, field: str, data: bytes, name: str) -> Any:
    """A form with a file, as a browser encodes it."""
    body, media_type = encode_multipart_formdata({"csrf_token": people.csrf_token(client), field: (name, data)})
    return client.post(where, data=body, content_type=media_type)


def test_every_button_to_pay_leads_to_the_choice_of_a_way(shop: Someone, client: FlaskClient) -> None:
    answer = people.post(client, f"/vendor/{shop.code}/billing/checkout", {"price": str(price_id())})
    assert answer.headers["Location"] == f"/vendor/{shop.code}/pay?price={price_id()}"
    page = text_of(client.get(answer.headers["Location"]))
    assert "Bank transfer" in page
    assert "PayPal coming soon" in page
    assert "Stripe" not in page  # no key: the card is not shown


@pytest.mark.parametrize("method", ["paypal", "stripe", "cash"])
def test_what_is_not_live_takes_nothing(shop: Someone, client: FlaskClient, method: str) -> None:
    answer = chooses(client, shop, method)
    assert answer.status_code == 422
    assert "cannot take payments yet" in text_of(answer)
    with tenancy.unscoped("a test"):
        assert db.session.query(BankTransfer).count() == 0


def test_missing_billing_details_are_asked_for_on_the_way(shop: Someone, client: FlaskClient) -> None:
    with tenancy.unscoped("a test"), unit_of_work():
        db.session.get_one(Vendor, shop.vendor_id).legal_name = None
    answer = chooses(client, shop)
    there = str(answer.headers["Location"])
    assert there.startswith(f"/vendor/{shop.code}/billing-details?next=")
    back = parse_qs(urlsplit(there).query)["next"][0]
    radio = re.findall(r"<input[^>]*type=.radio[^>]*>", client.get(back).get_data(as_text=True))
    assert [tag for tag in radio if "checked" in tag and 'value="transfer"' in tag], "what was chosen is still chosen"


def test_whoever_chooses_nothing_is_told_to_choose(shop: Someone, client: FlaskClient) -> None:
    with tenancy.unscoped("a test"):
        change(pay_by_paypal="coming_soon")
    answer = chooses(client, shop, "")
    assert answer.status_code == 422
    assert "Choose how you want to pay." in text_of(answer) and "cannot take payments" not in text_of(answer)


def test_the_pages_of_a_payment_belong_to_billing(shop: Someone, client: FlaskClient) -> None:
    for path in (f"/vendor/{shop.code}/pay?price={price_id()}", ordered(client, shop)):
        page = client.get(path).get_data(as_text=True)
        assert re.search(r'href="/vendor/[^"]+/billing" aria-current="page"', page), path


def test_the_page_tells_where_to_pay_and_carries_the_code(shop: Someone, client: FlaskClient) -> None:
    page = ordered(client, shop)
    words = text_of(client.get(page))
    for part in ("€99.00", "DE02 1203 0000 0000 2020 51", "BYLADEM1001", "Kilim Portal Ltd", "29 January 2027"):
        assert part in words, part
    assert re.search(r"RF\d\d 0000 \d{4}", words)
    assert "<svg" in client.get(page).get_data(as_text=True).split("Or scan it")[1][:900]


def test_a_members_view_has_no_buttons_and_a_stranger_sees_nothing(shop: Someone, client: FlaskClient) -> None:
    page = ordered(client, shop)
    stranger = client.application.test_client()
    other = people.sign_up(stranger, email="bob@other.example", business="Other House", name="Bob Other")
    assert stranger.get(page).status_code == 404
    foreign = page.replace(shop.code, other.code)
    assert stranger.get(foreign).status_code == 404
    assert sends(stranger, foreign, pdf()).status_code == 404
    assert found(page).proof is None


def png(size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "white").save(out, "PNG")
    return out.getvalue()


def jpeg_with_secret() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(out, "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00SECRET")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "kept"),
    [
        (pdf(), "receipt.pdf", "application/pdf"),
        (png(), "../../etc/passwd.png", "image/png"),
        (jpeg_with_secret(), "photo.jpeg", "image/jpeg"),
        (png() + b"<script>alert(1)</script>", "picture.html", "image/png"),
    ],
)
def test_a_proof_is_kept_privately(shop: Someone, client: FlaskClient, data: bytes, name: str, kept: str) -> None:
    page = ordered(client, shop)
    assert sends(client, page, data, name).status_code == 303
    transfer = found(page)
    assert transfer.state == "proof_sent"
    assert transfer.proof is not None and transfer.proof["type"] == kept
    assert "/" not in transfer.proof["name"] and not transfer.proof["name"].endswith("html")
    stored = storage.get(transfer.proof["key"])
    assert b"SECRET" not in stored and b"script" not in stored  # images are painted anew
    staff = client.application.test_client()
    people.sign_in(staff, people.staff().email)
    answer = staff.get(f"/admin/transfers/{transfer.id}/proof")
    assert (answer.status_code, answer.data) == (200, stored)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty.pdf"),
        (b"MZ\x90\x00 a program", "receipt.pdf"),
        (b"<html><script>alert(1)</script></html>", "receipt.png"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "receipt.svg"),
        (b"%PDF-1.4 and then nothing", "receipt.pdf"),
        (pdf("program"), "receipt.pdf"),
        (pdf("attachment"), "receipt.pdf"),
        (pdf("locked"), "receipt.pdf"),
        (pdf()[:300], "cut.pdf"),
        (png()[:45], "cut.png"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 64, "header.png"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "receipt.gif"),
    ],
)
def test_what_is_no_document_is_refused_at_the_field(
    shop: Someone, client: FlaskClient, data: bytes, name: str
) -> None:
    page = ordered(client, shop)
    answer = sends(client, page, data, name)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.get_data(as_text=True)
    assert (found(page).state, found(page).proof) == ("awaiting", None)


def test_ten_megabytes_and_no_more(shop: Someone, client: FlaskClient) -> None:
    page = ordered(client, shop)
    assert sends(client, page, pdf(weight=10 * 1024 * 1024)).status_code == 413
    assert found(page).proof is None
    fits = pdf(weight=2 * 1024 * 1024)
    assert sends(client, page, fits).status_code == 303  # more than other forms may weigh


def test_a_new_proof_replaces_the_old_one(shop: Someone, client: FlaskClient) -> None:
    from portal.kit import jobs
    from portal.kit.errors import NotFound

    page = ordered(client, shop)
    sends(client, page, pdf())
    first = found(page).proof
    sends(client, page, png(), "later.png")
    with tenancy.unscoped("a test"):
        jobs.run_all()
    assert first is not None
    with pytest.raises(NotFound):
        storage.get(first["key"])
    assert storage.get(found(page).proof["key"])


def test_cancelling_voids_the_proforma(shop: Someone, client: FlaskClient) -> None:
    page = ordered(client, shop)
    assert people.post(client, f"{page}/cancel", {}).status_code == 303
    assert "not asked of you any more" in text_of(client.get(page))
    assert people.post(client, f"{page}/cancel", {}).status_code == 303  # a second click changes nothing
    assert sends(client, page, pdf()).status_code == 409


@pytest.fixture
def desk(shop: Someone, client: FlaskClient) -> FlaskClient:
    """Somebody from finance."""
    browser = client.application.test_client()
    people.sign_in(browser, people.staff("fin@portal.example", StaffKind.FINANCE, "Fiona Finance").email)
    return browser


def test_approving_in_the_queue_opens_what_was_paid(shop: Someone, client: FlaskClient, desk: FlaskClient) -> None:
    page = ordered(client, shop)
    transfer = found(page)
    assert "Kilim House" in text_of(desk.get("/admin/transfers"))
    form = text_of(desk.get(f"/admin/transfers/{transfer.id}/approve"))
    assert "€99.00" in form
    sent = {"amount": "99.00", "booked_on": "2027-01-15", "base_version": str(transfer.version)}
    done = people.post(desk, f"/admin/transfers/{transfer.id}/approve", sent)
    assert done.status_code == 303, text_of(done)
    assert "has arrived. Thank you." in text_of(client.get(page))
    again = people.post(desk, f"/admin/transfers/{transfer.id}/approve", sent)
    assert again.status_code == 409
    assert "Nobody owes a transfer" in text_of(desk.get("/admin/transfers"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"amount": "ninety"}, "This is not an amount."),
        ({"amount": "-5"}, "more than zero"),
        ({"amount": "0"}, "more than zero"),
        ({"amount": "99999999999999"}, "This is not an amount."),
        ({"booked_on": "yesterday"}, "valid date"),
        ({"start": "2031-01-01"}, "coming year"),
        ({"base_version": "999"}, "changed meanwhile"),
    ],
)
def test_a_wrong_form_counts_nothing(
    shop: Someone, client: FlaskClient, desk: FlaskClient, wrong: dict[str, str], words: str
) -> None:
    transfer = found(ordered(client, shop))
    sent = {"amount": "99.00", "booked_on": "2027-01-15", "base_version": str(transfer.version), **wrong}
    answer = people.post(desk, f"/admin/transfers/{transfer.id}/approve", sent)
    assert answer.status_code in (409, 422)
    assert words in text_of(answer).replace("a valid date", "valid date")
    page = f"/vendor/{shop.code}/transfer/{transfer.id}"
    assert found(page).received_minor == 0


def test_rejecting_needs_a_reason_that_the_vendor_reads(shop: Someone, client: FlaskClient, desk: FlaskClient) -> None:
    page = ordered(client, shop)
    where = f"/admin/transfers/{found(page).id}/reject"
    assert people.post(desk, where, {"reason": " ", "base_version": "1"}).status_code == 422
    assert people.post(desk, where, {"reason": "No money came.", "base_version": "1"}).status_code == 303
    assert "No money came." in text_of(client.get(page))


def test_a_rejected_transfer_calls_to_one_thing(
    shop: Someone, client: FlaskClient, desk: FlaskClient, travel: Travel
) -> None:
    """The trial is over meanwhile: banner, bar and page all called to choose a plan."""
    page = ordered(client, shop)
    with tenancy.unscoped("a test"):
        lives_on(travel, days=15, hours=12)
    where = f"/admin/transfers/{found(page).id}/reject"
    version = str(found(page).version)
    assert people.post(desk, where, {"reason": "No money came.", "base_version": version}).status_code == 303
    said = text_of(client.get(page))
    assert said.count("Choose a plan") == 1 and "Choose a plan again" in said
    assert "No plan is active." not in said and "Your trial has ended" not in said


def test_support_staff_look_elsewhere(shop: Someone, client: FlaskClient) -> None:
    browser = client.application.test_client()
    people.sign_in(browser, people.staff("help@portal.example", StaffKind.SUPPORT).email)
    assert browser.get("/admin/transfers").status_code == 403


def test_a_trial_whose_transfer_is_on_its_way_is_not_asked_for_another_way_to_pay(
    shop: Someone, client: FlaskClient, travel: Travel
) -> None:
    """Neither in the banner nor in the reminder: who was told to add a card paid twice, or gave up."""
    ordered(client, shop)
    with tenancy.unscoped("a test"):
        lives_on(travel, days=7, hours=12)
        told = db.session.query(SentMail).filter_by(kind="trial_ending").one()
        assert told.params["awaited"] is True
    page = text_of(client.get("/dashboard"))
    assert "Your plan goes on when your bank transfer has arrived." in page and "How to pay" in page
    assert "Add a payment method now" not in page


def test_who_chooses_again_is_told_of_the_transfer_that_is_under_way(shop: Someone, client: FlaskClient) -> None:
    form = f"/vendor/{shop.code}/pay?price={price_id()}"
    assert "under way already" not in text_of(client.get(form))
    page = ordered(client, shop)
    again = client.get(form)
    assert "A bank transfer of €99.00 is under way already" in text_of(again)
    assert "Paying in another way gives the transfer up: the proforma becomes void" in text_of(again)
    assert f'href="{page}"' in again.get_data(as_text=True)


def test_billing_says_how_far_the_transfer_is(shop: Someone, client: FlaskClient) -> None:
    page, billing = ordered(client, shop), f"/vendor/{shop.code}/billing"
    said = text_of(client.get(billing))
    assert "€99.00 is waiting for your bank transfer" in said
    assert "Bank transfer €99.00 has not arrived yet." in said and "None yet. Invoices" not in said
    assert sends(client, page, pdf()).status_code == 303
    said = text_of(client.get(billing))
    assert "Your proof of payment is being looked at We compare your proof with our account" in said
    assert "is waiting for your bank transfer" not in said


def test_lists_of_invoices_ask_for_nothing_while_a_proof_is_looked_at(shop: Someone, client: FlaskClient) -> None:
    page, root = ordered(client, shop), f"/vendor/{shop.code}"
    paper = f"{root}/invoices/{found(page).invoice_id}"
    lists = (f"{root}/billing/invoices-card", f"{root}/invoices", paper)
    for where in lists:
        assert "How to pay" in text_of(client.get(where, headers=PARTIAL)), where
    sends(client, page, pdf())
    for where in lists:
        answer = client.get(where, headers=PARTIAL)
        said = text_of(answer)
        assert "How to pay" not in said and "See the transfer" in said, where
        assert "Proof sent, being checked" in said or "Your proof of payment is being looked at" in said, where
        leads = f'href="{page}"' in (html := answer.get_data(as_text=True)) or f"/transfer?invoice={paper[-1]}" in html
        assert leads, where


def test_pages_take_few_statements_however_many_there_are(
    shop: Someone, client: FlaskClient, desk: FlaskClient
) -> None:
    """P9: of each page's statements one finds who asks; the queue adds three, the transfer's page one."""
    page = ordered(client, shop)
    desk.get("/admin/transfers")
    counts = []
    for number in range(2):
        with tenancy.unscoped("a test"), unit_of_work():
            for other in range(number * 6):
                _another(other)
        with counted(db.engine) as queue:
            assert desk.get("/admin/transfers").status_code == 200
        with counted(db.engine) as one:
            assert client.get(page).status_code == 200
        counts.append((len(queue), len(one)))
    assert counts[0] == counts[1]
    assert counts[0][0] <= 1 + 3 and counts[0][1] <= 1 + 2, counts


def _another(number: int) -> None:
    """A booking that nobody has dealt with."""
    if number == 0:
        db.session.add(BankStatement(name="a.csv", kind="csv", sha256="0" * 64, actor_label="Sam",
                                     imported_at=clock.business()))  # fmt: skip
        db.session.flush()
    statement = db.session.query(BankStatement.id).scalar()
    db.session.add(BankStatementLine(
        statement_id=statement, fingerprint=f"{number:064d}", booked_on=clock.business().date(), currency="EUR",
        amount_minor=9900, payer="Somebody", purpose="RF99", state="new",
    ))  # fmt: skip


def test_the_proforma_as_a_paper_says_where_to_pay(shop: Someone, client: FlaskClient) -> None:
    page = ordered(client, shop)
    answer = client.get(f"/vendor/{shop.code}/invoices/{found(page).invoice_id}/pdf")
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    words = PdfReader(io.BytesIO(answer.data)).pages[0].extract_text()
    assert "PF-2027-00001" in words and "Kilim House Ltd" in words
    plain = re.sub(r"\s", "", words)
    assert "DE02120300000000202051" in plain and found(page).reference in plain


def test_billing_promises_no_card_where_none_is_taken(client: FlaskClient, shop: Someone) -> None:
    """The plan card alone says the same as on its page."""
    where = f"/vendor/{shop.code}/billing"
    page = text_of(client.get(where))
    card = text_of(client.get(f"{where}/plan-card", headers={"HX-Request": "true", "HX-Request-Type": "partial"}))
    assert "None yet. Invoices are paid by bank transfer." in page and "entered at Stripe" not in page
    for shown in (page, card):
        assert "closes unless a payment method was added or a bank transfer has arrived" in shown


def test_who_comes_back_by_transfer_is_not_told_of_the_old_cancellation(client: FlaskClient, shop: Someone) -> None:
    """What was cancelled has ended; now a payment is waited for, and nothing is on its way at Stripe."""
    with tenancy.scoped(shop.vendor_id):
        version = subscriptions.held(shop.vendor_id).version
        db.session.rollback()
    assert people.post(client, f"/vendor/{shop.code}/cancel", {"base_version": version}).status_code == 303
    ordered(client, shop)
    page = text_of(client.get(f"/vendor/{shop.code}/billing"))
    assert "Waiting for payment" in page and "cancellation is on its way" not in page
