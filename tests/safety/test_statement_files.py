"""Bank statements that were made to break who reads them: refused at the field, quickly, and nothing is fetched."""

import time
from collections.abc import Callable

import pytest

from portal.billing import statement_files
from portal.billing.statement_files import Column, bookings, camt, guess, table
from portal.kit.errors import Invalid

pytestmark = pytest.mark.once
HEAD = b"Date;Amount;Payer;Purpose\n"
ROW = b"2027-01-15;99,00;Ada;RF54 0000 1234\n"
_NS = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"


def document(inside: str = "", before: str = "", entry: str = "") -> bytes:
    """A CAMT.053 document with one booking of 99 euros."""
    booked = f'<Amt Ccy="EUR">99.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>2027-01-15</Dt></BookgDt>{entry}'
    return f'<?xml version="1.0"?>{before}<Document xmlns="{_NS}">{inside}<Ntry>{booked}</Ntry></Document>'.encode()


def lol(levels: int = 12) -> str:
    """Each entity ten of the one before."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, levels))
    return f'<!DOCTYPE d [<!ENTITY l0 "lol">{entities}]>'


TABLES: dict[str, bytes] = {
    "nothing but a mark": b"\xef\xbb\xbf",
    "nothing but a mark of UTF-16": b"\xff\xfe",
    "nothing but lines": b"\n" * 5000,
    "one line of 5 MB": HEAD + b"x" * (5 * 2**20 - 100),
    "one cell of 200,000 letters": HEAD + ROW + b'2027-01-15;1,00;"' + b"x" * 200_000 + b'";y\n',
    "a line of 300,000 columns": HEAD + ROW * 9000 + b"x;" * 300_000,
    "20,001 lines": HEAD + ROW * 20_001,
    "more than 5 MB": HEAD + b"x;y\n" * 2**21,
    "zeros": HEAD + b"\0" * 100,
    "a program": b"MZ\x90\x00\x03;\n" + bytes(range(256)) * 9,
    "UTF-16 cut in a letter": b"\xff\xfe" + "Date;Amount\n".encode("utf-16-le") + b"\x41",
    "UTF-16 of which half is missing": b"\xff\xfe\x00\xd8" + "Date;Amount\n2027-01-15;1\n".encode("utf-16-le"),
    "letters of another alphabet": HEAD + "Дата;Сумма;Иван;Спасибо большое\n".encode("cp866") * 20,
    "an archive": b"PK\x03\x04" + bytes(400),
    "a page": b"<html><script>alert(1)</script></html>",
    "XML in UTF-16": document().decode().encode("utf-16"),
}
DOCUMENTS: dict[str, Callable[[], bytes]] = {
    "entities by the thousand million": lambda: document("&l11;", lol()),
    "entities in an attribute": lambda: document('<x a="&l11;"/>', lol()),
    "an entity of a megabyte a thousand times": lambda: document(
        "&a;" * 1000, f'<!DOCTYPE d [<!ENTITY a "{"x" * 2**20}">]>'
    ),
    "a file of this machine": lambda: document("<x>&f;</x>", '<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/passwd">]>'),
    "an address": lambda: document("<x>&f;</x>", '<!DOCTYPE d [<!ENTITY f SYSTEM "http://127.0.0.1:9/x">]>'),
    "a definition from elsewhere": lambda: document("", '<!DOCTYPE d SYSTEM "http://127.0.0.1:9/x.dtd">'),
    "a parameter from elsewhere": lambda: document(
        "", '<!DOCTYPE d [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>'
    ),
    "a definition that says nothing": lambda: document("", "<!DOCTYPE Document>"),
    "tags 5,000 deep": lambda: document("<a>" * 5000 + "</a>" * 5000),
    "tags never closed": lambda: document("<a>" * 200),
    "an alphabet that is none": lambda: document().replace(b'"1.0"?', b'"1.0" encoding="x-none"?'),
    "bytes that are no UTF-8": lambda: document("\u00e9").replace("\u00e9".encode(), b"\xff\xfe"),
    "another document": lambda: document().replace(_NS.encode(), b"urn:x"),
    "one that only says that it is": lambda: b"<Document>camt.053</Document>",
    "20,001 bookings": lambda: document(document().decode().partition("<Document")[2].partition(">")[2][:-11] * 20_000),
    "more than 5 MB": lambda: document("<!--" + "x" * 5 * 2**20 + "-->"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_read_is_refused_at_its_field(name: str) -> None:
    """Tried once without the rules: a mark alone and a long cell broke the page, many columns filled the memory."""
    begun = time.thread_time()
    with pytest.raises(Invalid) as refused:
        table(TABLES[name])
    assert list(refused.value.fields) == ["file"]
    assert time.thread_time() - begun < 5


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_cannot_be_trusted_is_refused_at_its_field(name: str) -> None:
    begun = time.thread_time()
    with pytest.raises(Invalid) as refused:
        camt(DOCUMENTS[name]())
    assert list(refused.value.fields) == ["file"]
    assert time.thread_time() - begun < 5


def test_a_document_from_nowhere_else_is_read() -> None:
    """The one that the others were made of."""
    assert [booking.amount_minor for booking in camt(document()).bookings] == [9900]
    included = document('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>')
    assert len(camt(included).bookings) == 1


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r=", " =", "\u200b=", "=+-@"])
def test_what_a_spreadsheet_would_run_is_kept_as_words(begin: str) -> None:
    cell = f'{begin}HYPERLINK(""http://evil.example"")'
    found = table(HEAD + ROW + f'2027-01-15;1,00;"{cell}";"{cell}"\n'.encode())
    booking = bookings(found, guess(found.heading), "EUR").bookings[1]
    assert booking.payer.startswith("HYPERLINK(") and booking.purpose.startswith("HYPERLINK(")
    words = f"{begin}cmd".replace("\t", "&#9;").replace("\r", "&#13;")
    entry = f"<NtryDtls><TxDtls><RmtInf><Ustrd>{words}</Ustrd></RmtInf></TxDtls></NtryDtls>"
    assert camt(document(entry=entry)).bookings[0].purpose == "cmd"


def test_bookings_of_a_table_are_as_many_as_its_lines() -> None:
    found = table(HEAD + ROW * 20)
    assert found.separator == ";" and len(bookings(found, guess(found.heading), "EUR").bookings) == 20
    assert statement_files.guess(found.heading)[Column.AMOUNT] == 1
