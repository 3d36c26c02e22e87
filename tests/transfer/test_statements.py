"""Bank statements: read whatever a bank writes, propose what pays what, and never count a booking twice (ADM-9)."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from portal.billing import balance, references, statement_files, statements
from portal.billing.models import BankStatementLine, Payment
from portal.billing.references import Known, is_valid, make, one_slip
from portal.billing.statement_files import Booking, Column, amount, camt, decimal_mark, guess, table
from portal.billing.transfer_rules import Basis, same_payer
from portal.checkout import transfer
from portal.checkout.transfer import Approval
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.unit_of_work import unit_of_work
from tests.support import people
from tests.support.people import text_of
from tests.transfer.steps import ADMIN, COLLEAGUE, change, orders, payer, row, rows
from tests.transfer.test_pages import desk, found, ordered, price_id, sends_file, shop  # noqa: F401 - fixtures

# --- references -------------------------------------------------------------------------------------------------------

KNOWN = Known([make(n) for n in (1, 42, 1234, 1243, 99_999_999)])


def test_references_are_iso_11649() -> None:
    from stdnum import iso11649

    for serial in (1, 42, 99_999_999, 123_456_789):
        assert iso11649.is_valid(make(serial))
        assert is_valid(references.shown(make(serial)).lower())


def test_one_wrong_character_never_has_right_check_digits() -> None:
    whole = make(1234)
    for at in range(2, len(whole)):
        for digit in "0123456789":
            changed = whole[:at] + digit + whole[at + 1 :]
            assert is_valid(changed) == (changed == whole)


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        (make(1234), True),
        (references.shown(make(1234)), True),
        (f"invoice, {references.shown(make(1234)).lower()} thank you", True),
        ("RF54-0000-1234", True),
        ("RF540000\n1234", True),
        ("R F 5 4 0 0 0 0 1 2 3 4", True),
        ("RF5400001235", False),  # a wrong digit
        ("RF540000123", False),  # one missing
        ("RF54000012344", True),  # the reference, and a stray digit behind it
        ("RF54000O1234", False),  # the letter O
        ("RF5400002134", False),  # two exchanged
        ("5400001234", False),  # RF left out
    ],
)
def test_a_reference_is_found_in_whatever_people_type(text: str, exact: bool) -> None:
    hit = KNOWN.find(text)
    assert hit is not None and (hit.reference, hit.exact) == (make(1234), exact)


@pytest.mark.parametrize("text", ["", "RF", "thanks", "RF99 0000 9999", make(77), "RF5400005678", "0000 1234"])
def test_what_is_not_waited_for_is_nobodys(text: str) -> None:
    assert KNOWN.find(text) is None


def test_a_slip_with_two_readings_is_none() -> None:
    one, other = "RF0000000001", "RF0000000002"
    assert Known([one, other]).find("RF0000000003") is None
    assert one_slip("RF0000000003", one) and not one_slip(one, one)


# --- files ------------------------------------------------------------------------------------------------------------

GERMAN = (
    "Umsätze Girokonto;DE02 1203 0000;;;\n\n"
    '"Buchungstag";"Begünstigter/Zahlungspflichtiger";"Verwendungszweck";"Betrag";"Währung"\n'
    '15.01.2027;"Müller & Söhne";"RF54 0000 1234";1.234,56;EUR\n'
    '16.01.2027;"Stadtwerke";"Strom";-12,00;EUR\n'
)
ENGLISH = 'Date,Name,Details,Amount\n2027-01-15,"Müller & Söhne","RF54 0000 1234","1,234.56"\n'


def read(data: bytes) -> tuple[Booking, ...]:
    parsed = table(data)
    result = statement_files.bookings(parsed, guess(parsed.heading), "EUR")
    assert result.wrong == ()
    return result.bookings


@pytest.mark.parametrize(
    "data",
    [
        GERMAN.encode(),
        GERMAN.encode("utf-8-sig"),
        GERMAN.encode("cp1252"),
        GERMAN.encode("utf-16"),
        GERMAN.replace(";", "\t").encode(),
        GERMAN.replace("\n", "\r\n").encode("cp1252"),
        ENGLISH.encode(),
        ENGLISH.replace(",", "|").replace('1|234', "1,234").encode(),
    ],
    ids=["utf-8", "bom", "windows", "utf-16", "tabs", "crlf", "english", "bars"],
)  # fmt: skip
def test_the_same_booking_however_the_bank_writes_it(data: bytes) -> None:
    first = read(data)[0]
    assert (first.booked_on, first.amount_minor, first.currency) == (date(2027, 1, 15), 123456, "EUR")
    assert (first.payer, first.purpose) == ("Müller & Söhne", "RF54 0000 1234")


@pytest.mark.parametrize(
    ("text", "minor"),
    [("1.234,56", 123456), ("1,234.56", 123456), ("12", 1200), ("-12,50", -1250), ("12.50-", -1250), ("(7.00)", -700),
     ("€ 9,90", 990), ("1 234,5", 123450), ("+3.00 EUR", 300)],
)  # fmt: skip
def test_amounts(text: str, minor: int) -> None:
    assert amount(text, "EUR", decimal_mark([text])) == minor


def test_amounts_without_cents() -> None:
    assert amount("9900", "JPY", ".") == 9900
    with pytest.raises(ValueError, match="not an amount"):
        amount("99.50", "JPY", ".")


@pytest.mark.parametrize("text", ["", "abc", "1.2.3,4,5", "12.345,678,9", "9" * 20, "=1+1", "1e9"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        amount(text, "EUR", ".")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"   \n", "empty"),
        (b"\x00\x01\x02\x03" * 9, "table"),
        (b"PK\x03\x04" + bytes(range(256)), "table"),
        (bytes(range(128, 256)) * 9, "UTF-8"),
        (GERMAN.encode("utf-16")[:-3], "UTF-8"),
        (b"just words\nmore words\n", "no bookings"),
        (b"Date;Amount\n", "no bookings"),
        (b"a" * (5 * 1024 * 1024 + 1), "too large"),
    ],
)
def test_what_cannot_be_read_is_told(data: bytes, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        table(data)
    assert words in refused.value.fields["file"]


def test_a_formula_stays_text_without_power() -> None:
    data = 'Date;Name;Purpose;Amount\n2027-01-15;"=cmd|\'/c calc\'!A1";"+@-=SUM(A1)";1,00\n'
    first = read(data.encode())[0]
    assert (first.payer, first.purpose) == ("cmd|'/c calc'!A1", "SUM(A1)")


def test_a_row_that_cannot_be_read_is_named() -> None:
    parsed = table(b"Date;Amount\n2027-01-15;1,00\nyesterday;2,00\n2027-01-16;much\n")
    result = statement_files.bookings(parsed, {Column.DATE: 0, Column.AMOUNT: 1}, "EUR")
    assert [(n, why) for n, why in result.wrong] == [(3, "This is not a day."), (4, "This is not an amount.")]


def entry(more: str = "", detail: str = "", amount: str = "99.00", sign: str = "CRDT", status: str = "BOOK") -> str:
    details = detail or (
        "<TxDtls><RltdPties><Dbtr><Pty><Nm>Kilim House Ltd</Nm></Pty></Dbtr></RltdPties>"
        "<RmtInf><Ustrd>RF54 0000</Ustrd><Ustrd>1234</Ustrd></RmtInf></TxDtls>"
    )
    return (
        f'<Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{sign}</CdtDbtInd>{more}<Sts><Cd>{status}</Cd></Sts>'
        f"<BookgDt><Dt>2027-01-15</Dt></BookgDt><NtryDtls>{details}</NtryDtls></Ntry>"
    )


def statement(*entries: str, head: str = "") -> bytes:
    space = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<Document xmlns="{space}"><BkToCstmrStmt><Stmt>'
        f"{''.join(entries)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def test_camt_is_read() -> None:
    result = camt(statement(entry(), entry(amount="5.00", sign="DBIT"), entry(status="PDNG")))
    assert [(b.amount_minor, b.payer, b.purpose) for b in result.bookings] == [
        (9900, "Kilim House Ltd", "RF54 0000 1234"), (-500, "", "RF54 0000 1234"),
    ]  # fmt: skip


def test_a_batch_is_taken_apart_when_its_parts_sum_up() -> None:
    part = '<TxDtls><Amt Ccy="EUR">{}</Amt><RmtInf><Ustrd>{}</Ustrd></RmtInf></TxDtls>'
    both = part.format("40.00", "one") + part.format("59.00", "two")
    assert [(b.amount_minor, b.purpose) for b in camt(statement(entry(detail=both))).bookings] == [
        (4000, "one"), (5900, "two"),
    ]  # fmt: skip
    wrong = part.format("40.00", "one") + part.format("1.00", "two")
    assert [b.amount_minor for b in camt(statement(entry(detail=wrong))).bookings] == [9900]


@pytest.mark.parametrize(
    "data",
    [
        b"<html></html>",
        b'<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"/>',
        statement(entry(), head='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
        statement(entry(), head='<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;">]>'),
        statement(entry())[:-30],
        statement(),
    ],
)
def test_other_xml_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        camt(data)
    assert "file" in refused.value.fields


def test_the_same_booking_has_one_fingerprint_in_every_file() -> None:
    from_csv, from_xml = read(GERMAN.encode())[0], camt(statement(entry(amount="1234.56"))).bookings[0]
    assert statement_files.fingerprints([from_csv]) == statement_files.fingerprints([from_xml])
    twice = statement_files.fingerprints([from_csv, from_csv])
    assert twice[0] != twice[1]  # paid twice on one day is two bookings


@pytest.mark.parametrize(
    ("payer", "names", "fits"),
    [
        ("KILIM HOUSE", ("Kilim House Ltd",), True),
        ("House Kilim GmbH & Co. KG", ("Kilim House Ltd",), True),
        ("Müller Söhne", ("Mueller", "MULLER SOHNE"), True),
        ("GmbH", ("Kilim House GmbH",), False),
        ("Other House", ("Kilim House Ltd",), False),
        ("", ("Kilim House",), False),
    ],
)
def test_payers(payer: str, names: tuple[str, ...], fits: bool) -> None:
    assert same_payer(payer, names) == fits


# --- matching ---------------------------------------------------------------------------------------------------------


def keep(*found: Booking, name: str = "a.csv") -> Any:
    with unit_of_work():
        return statements.keep(name, "csv", name.rjust(64, "0"), found, actor=ADMIN, now=clock.business())


def booking(purpose: str = "", minor: int = 9900, payer: str = "Ada's Shop GmbH", day: int = 15) -> Booking:
    return Booking(date(2027, 1, day), minor, "EUR", payer, purpose)


@pytest.mark.usefixtures("bank")
def test_proposals_by_reference_by_slip_and_by_amount_and_payer() -> None:
    who = payer()
    reference = row(orders(who)).reference
    slip = reference[:-1] + str((int(reference[-1]) + 1) % 10)
    keep(
        booking(references.shown(reference), payer="Somebody"), booking(slip, payer="Somebody else"),
        booking("thanks"), booking("thanks", minor=9800), booking("thanks", payer="Nobody"), booking("out", minor=-5),
    )  # fmt: skip
    basis = {i.payer + i.purpose[:3] + str(i.amount.minor): i.basis for i in statements.incoming(statements.awaited())}
    assert len(basis) == 5  # what went out is left aside
    assert basis == {
        "SomebodyRF" + reference[2] + "9900": Basis.REFERENCE,
        "Somebody elseRF" + reference[2] + "9900": Basis.SIMILAR,
        "Ada's Shop GmbHtha9900": Basis.AMOUNT_AND_PAYER,
        "Ada's Shop GmbHtha9800": None,
        "Nobodytha9900": None,
    }


@pytest.mark.usefixtures("bank")
def test_nothing_is_counted_twice() -> None:
    who = payer()
    made = orders(who)
    first = keep(booking(row(made).reference), booking("other", minor=100))
    assert (first.new, first.known) == (2, 0)
    with pytest.raises(Conflict):
        keep(booking(row(made).reference))
    again = keep(booking(row(made).reference), booking("new", minor=300), name="b.csv")
    assert (again.new, again.known) == (1, 1)
    line = db.session.query(BankStatementLine).order_by(BankStatementLine.id).first()
    assert line is not None
    line_id, approval = line.id, Approval(9900, datetime(2027, 1, 15, 12, tzinfo=UTC), 1, line_id=line.id)
    with unit_of_work():
        transfer.approve(made, approval, actor=ADMIN, now=clock.business())
    assert [p.amount_minor for p in rows(Payment, who)] == [9900]
    other = orders(payer(email="bo@shop.example", name="Bo's Shop"))
    with pytest.raises(Conflict), unit_of_work():
        transfer.approve(other, approval, actor=ADMIN, now=clock.business())
    with pytest.raises(Conflict), unit_of_work():
        statements.lay_aside(line_id, actor=ADMIN)


@pytest.mark.usefixtures("bank")
def test_a_booking_that_the_first_of_two_approved_is_spent_with_the_second_approval() -> None:
    """Whether the second comes from the booking or from the list: left among the new ones it could pay once more."""
    change(second_approval_above_minor=5000)
    made = orders(payer())
    keep(booking(row(made).reference))
    line_id = db.session.query(BankStatementLine.id).scalar()
    booked = datetime(2027, 1, 15, 12, tzinfo=UTC)
    for who, version, line in ((ADMIN, 1, line_id), (COLLEAGUE, 2, None)):
        with unit_of_work():
            decided = transfer.approve(
                made, Approval(9900, booked, version, line_id=line), actor=who, now=clock.business()
            )
        assert decided.second == (who is ADMIN)
    assert statements.incoming(statements.awaited()) == []
    assert db.session.get_one(BankStatementLine, line_id).transfer_id == made


def test_a_csv_file_from_upload_to_match(
    shop: people.Someone, client: FlaskClient, desk: FlaskClient  # noqa: F811
) -> None:  # fmt: skip
    page = ordered(client, shop)
    reference = references.shown(found(page).reference)
    data = f"Datum;Name;Zweck;Betrag\n15.01.2027;Alice;{reference};99,00\n15.01.2027;Bob;Rent;500,00\n".encode("cp1252")
    data += b"16.01.2027;Landlord;Rent;-700,00\n"
    answer = sends_file(desk, "/admin/transfers/import", "file", data, "januar.csv")
    words = text_of(answer)
    assert answer.status_code == 200 and "Which column is what?" in words and "Import 3 lines" in words
    sha = statement_files.sha256(data)
    form = {"sha": sha, "name": "januar.csv", "date": "0", "amount": "3", "payer": "1", "currency": "", "usual": "EUR"}
    wrong = people.post(desk, "/admin/transfers/import/columns", {**form, "amount": "1", "purpose": "2"})
    assert wrong.status_code == 422 and "Line 2 cannot be read. This is not an amount." in text_of(wrong)
    done = people.post(desk, "/admin/transfers/import/columns", {**form, "purpose": "2"})
    assert done.status_code == 303, text_of(done)
    queue = text_of(desk.get("/admin/transfers"))
    assert (
        "2 new bookings. 1 that went out was left aside." in queue
        and "by reference" in queue
        and "No open transfer fits." in queue
    )
    twice = sends_file(desk, "/admin/transfers/import", "file", data, "januar again.csv")
    assert twice.status_code == 409 and "imported before" in text_of(twice)
    with tenancy.unscoped("a test"):
        lines = {line.payer: line.id for line in db.session.query(BankStatementLine)}
    match = {"transfer": str(found(page).id), "base_version": str(found(page).version)}
    where = f"/admin/transfers/lines/{lines['Alice']}/match"
    assert people.post(desk, where, match).status_code == 303
    assert people.post(desk, where, match).status_code == 409
    assert found(page).state == "approved"
    assert people.post(desk, f"/admin/transfers/lines/{lines['Bob']}/lay-aside", {}).status_code == 303
    assert "Rent" in text_of(desk.get("/admin/transfers?show=aside"))
    assert people.post(desk, f"/admin/transfers/lines/{lines['Bob']}/take-up", {}).status_code == 303
    assert "Rent" in text_of(desk.get("/admin/transfers"))


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"<?xml version='1.0'?><a/>"])
def test_a_file_that_is_no_statement_is_told_at_the_field(
    client: FlaskClient, shop: people.Someone, desk: FlaskClient, data: bytes  # noqa: F811
) -> None:  # fmt: skip
    answer = sends_file(desk, "/admin/transfers/import", "file", data, "statement.csv")
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.get_data(as_text=True)


def test_camt_is_imported_at_once(client: FlaskClient, shop: people.Someone, desk: FlaskClient) -> None:  # noqa: F811
    page = ordered(client, shop)
    data = statement(entry()).replace(b"RF54 0000</Ustrd><Ustrd>1234", found(page).reference.encode())
    assert sends_file(desk, "/admin/transfers/import", "file", data, "camt.xml").status_code == 303
    assert "by reference" in text_of(desk.get("/admin/transfers"))
    assert sends_file(desk, "/admin/transfers/import", "file", data, "camt.xml").status_code == 409


def test_money_for_what_was_cancelled_becomes_credit(
    shop: people.Someone, client: FlaskClient, desk: FlaskClient  # noqa: F811
) -> None:  # fmt: skip
    page = ordered(client, shop)
    people.post(client, f"{page}/cancel", {})
    with tenancy.unscoped("a test"):
        keep(booking(found(page).reference, payer="Somebody"))
        line = db.session.query(BankStatementLine.id).scalar()
    queue = text_of(desk.get("/admin/transfers"))
    assert "not asked for any more" in queue and "Keep as credit" in queue and "Nobody owes a transfer" in queue
    match = {"transfer": str(found(page).id), "base_version": str(found(page).version)}
    where = f"/admin/transfers/lines/{line}/match"
    assert people.post(desk, where, match).status_code == 303
    assert people.post(desk, where, match).status_code == 409
    assert (found(page).state, found(page).received_minor) == ("cancelled", 9900)
    with tenancy.unscoped("a test"):
        assert balance.balance(shop.vendor_id, "EUR").minor == 9900
    assert "€99.00 arrived all the same and is kept as your credit." in text_of(client.get(page))
    again = people.post(client, f"/vendor/{shop.code}/pay", {"price": str(price_id()), "method": "transfer"})
    assert again.headers["Location"].endswith("/billing")  # the credit pays for it at once
    words = text_of(client.get(f"/vendor/{shop.code}/billing"))
    assert "Active" in words and "nothing is to be transferred" in words
