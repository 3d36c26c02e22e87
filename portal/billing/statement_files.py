"""Bank statements as files: CSV with whatever separators, encoding and columns a bank chose, and CAMT.053; pure."""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from portal.billing import references
from portal.kit.errors import Invalid
from portal.kit.money import minor_digits
from portal.kit.text import N_

LARGEST = 5 * 1024 * 1024
MOST_LINES = 20_000
#: Every line is filled up to the longest one, so that one line of many columns would fill the memory.
MOST_COLUMNS = 200
MOST_MINOR = 10**13
NO_TABLE = N_("This file cannot be read as a table. Export it as CSV or CAMT.053.")
TOO_MANY = N_("This file has too many lines. Export a shorter time.")


class Column(StrEnum):
    """What a column of a statement can mean."""

    DATE = "date"
    AMOUNT = "amount"
    CURRENCY = "currency"
    PAYER = "payer"
    PURPOSE = "purpose"


#: How banks call the columns, in lower case without accents; the first that fits wins.
_NAMES = {
    Column.DATE: ("buchungstag", "buchungsdatum", "booking date", "date", "datum", "valuta", "value date"),
    Column.AMOUNT: ("betrag", "amount", "umsatz", "credit", "paid in"),
    Column.CURRENCY: ("wahrung", "currency", "waehrung", "ccy"),
    Column.PAYER: ("beguenstigter", "auftraggeber", "zahlungspflichtige", "name", "payer", "partner", "counterparty"),
    Column.PURPOSE: ("verwendungszweck", "purpose", "reference", "description", "buchungstext", "details", "betreff"),
}
NEEDED = (Column.DATE, Column.AMOUNT)
_DATES = ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%Y%m%d", "%d-%m-%Y", "%Y/%m/%d")


@dataclass(frozen=True, slots=True)
class Booking:
    """Money that came in (or went out, below zero), as the bank tells it."""

    booked_on: date
    amount_minor: int
    currency: str
    payer: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file taken apart: its heading, its rows, and how it was read."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    separator: str
    encoding: str


@dataclass(frozen=True, slots=True)
class Read:
    """What a file held, and the rows that could not be read: (line number, why)."""

    bookings: tuple[Booking, ...]
    wrong: tuple[tuple[int, str], ...] = ()


def sha256(data: bytes) -> str:
    """Tells the same file again."""
    return hashlib.sha256(data).hexdigest()


def is_xml(data: bytes) -> bool:
    """Does it begin as XML does?"""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<Document", b"<document"))


def table(data: bytes) -> Table:
    """A CSV file's cells. Invalid (field ``file``) for an empty, too large, binary or wrongly encoded one."""
    _check_size(data)
    text, encoding = _decoded(data)
    try:
        separator = _separator(text)
        rows = [tuple(c.strip() for c in row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator)]
    except csv.Error as error:
        raise Invalid(fields={"file": NO_TABLE}) from error
    rows = [row for row in rows if any(row)]
    width = max((len(row) for row in rows), default=0)
    start = _heading(rows[:20])
    if width < 2 or len(rows) < start + 2:
        raise Invalid(fields={"file": N_("There are no bookings in this file.")})
    if len(rows) > MOST_LINES:
        raise Invalid(fields={"file": TOO_MANY})
    if width > MOST_COLUMNS:
        raise Invalid(fields={"file": NO_TABLE})
    padded = [row[:width] + ("",) * (width - len(row)) for row in rows[start:]]
    return Table(padded[0], tuple(padded[1:]), separator, encoding)


def _heading(rows: Sequence[Sequence[str]]) -> int:
    """Banks put the account's name above: the heading is the row that reads most like one."""
    fitting = [len(guess(row)) for row in rows]
    return fitting.index(max(fitting)) if fitting else 0


def _check_size(data: bytes) -> None:
    if not data.strip():
        raise Invalid(fields={"file": N_("This file is empty.")})
    if len(data) > LARGEST:
        raise Invalid(fields={"file": N_("This file is too large. Export a shorter time.")})


def _decoded(data: bytes) -> tuple[str, str]:
    """UTF-8 and UTF-16 say so themselves; else Windows' western letters, unless that leaves what nobody writes."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            return _strictly(data, encoding), encoding
    if b"\x00" in data:
        raise Invalid(fields={"file": NO_TABLE})
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text = _strictly(data, "cp1252")
    strange = sum(1 for c in text if ord(c) > 127 and not (c.isalpha() or c in "€§°´`’‘“”„–—…²³½ ·ªº©®«»¿¡£¥¢"))
    if strange * 200 > len(text):
        raise Invalid(fields={"file": N_("The letters of this file cannot be read. Export it in UTF-8.")})
    return text, "cp1252"


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = N_("The letters of this file cannot be read. Export it in UTF-8.")
        raise Invalid(fields={"file": wrong}) from error


def _separator(text: str) -> str:
    """What splits the first lines most evenly into the most columns, outside quotes."""
    lines = [line for line in text.splitlines()[:30] if line.strip()]

    def evenness(mark: str) -> tuple[int, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=mark)]
        usual = max(set(counts), key=counts.count, default=0)
        return (counts.count(usual) if usual > 1 else 0, usual)

    return max((";", "\t", ",", "|"), key=evenness)


def guess(heading: Sequence[str]) -> dict[Column, int]:
    """Which column is probably what, by what banks call them."""
    plain = [_plain(cell) for cell in heading]
    found: dict[Column, int] = {}
    for column, names in _NAMES.items():
        at = next(
            (i for name in names for i, cell in enumerate(plain) if name in cell and i not in found.values()), None
        )
        if at is not None:
            found[column] = at
    return found


def _plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c)).strip()


def bookings(found: Table, columns: Mapping[Column, int], currency: str) -> Read:
    """The rows as bookings; ``currency`` holds where no column says. Rows that cannot be read are told by number."""
    if missing := [c for c in NEEDED if c not in columns]:
        raise Invalid(fields={str(missing[0]): N_("Choose the column for this.")})
    if any(not 0 <= at < len(found.heading) for at in columns.values()):
        raise Invalid(fields={"date": N_("This column is not in the file.")})
    comma = decimal_mark([row[columns[Column.AMOUNT]] for row in found.rows])
    good, wrong = [], []
    for number, row in enumerate(found.rows, 2):
        try:
            good.append(_booking(row, columns, currency, comma))
        except ValueError as error:
            wrong.append((number, str(error)))
    return Read(tuple(good), tuple(wrong))


def _booking(row: Sequence[str], columns: Mapping[Column, int], currency: str, comma: str) -> Booking:
    cell = {column: row[at] for column, at in columns.items()}
    code = (cell.get(Column.CURRENCY) or currency).upper()
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise ValueError(N_("This is not a currency."))
    return Booking(
        _date(cell[Column.DATE]), amount(cell[Column.AMOUNT], code, comma), code,
        harmless(cell.get(Column.PAYER, ""))[:140], harmless(cell.get(Column.PURPOSE, ""))[:2000],
    )  # fmt: skip


def harmless(text: str) -> str:
    """One line of plain text; what a spreadsheet would run as a formula keeps no sign to begin with."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()).lstrip("=+@-\t\r ")


def _date(text: str) -> date:
    for pattern in _DATES:
        try:
            found = datetime.strptime(text.strip()[:10], pattern).date()  # noqa: DTZ007 - a bank's day has no zone
        except ValueError:
            continue
        if 2000 <= found.year <= 2100:
            return found
    raise ValueError(N_("This is not a day."))


def decimal_mark(cells: Sequence[str]) -> str:
    """The mark before the last one or two digits, by most cells; a point where none has one."""
    marks = [m.group(1) for cell in cells if (m := re.search(r"([.,])\d{1,2}\D*$", cell.strip()))]
    return "," if marks.count(",") > marks.count(".") else "."


def amount(text: str, currency: str, comma: str) -> int:
    """Minor units of an amount such as 1.234,56 or -1,234.56 or (12.00) or 12.00-; ValueError for anything else."""
    words = re.sub(r"^[A-Za-z]{3}\b|\b[A-Za-z]{3}$", "", text.strip())
    plain = re.sub(r"[\s'’€$£]", "", words).replace("−", "-")
    negative = plain.startswith(("-", "(")) or plain.endswith("-")
    digits = plain.strip("-+()").replace("." if comma == "," else ",", "").replace(comma, ".")
    if not re.fullmatch(r"\d{1,15}(\.\d{1,3})?", digits):
        raise ValueError(N_("This is not an amount."))
    try:
        minor = Decimal(digits).scaleb(minor_digits(currency))
    except InvalidOperation as error:
        raise ValueError(N_("This is not an amount.")) from error
    if minor != minor.to_integral_value() or minor > MOST_MINOR:
        raise ValueError(N_("This is not an amount."))
    return -int(minor) if negative else int(minor)


def camt(data: bytes) -> Read:
    """The booked entries of a CAMT.053 document, each detail of a batch on its own. Invalid for anything else.

    No entities are followed and nothing is fetched, so a document cannot read files or grow without end.
    """
    from lxml import etree

    _check_size(data)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Invalid(fields={"file": N_("This is not a CAMT.053 document that can be read.")}) from error
    if root.getroottree().docinfo.doctype or "camt.053" not in (root.nsmap.get(None) or root.tag):
        raise Invalid(fields={"file": N_("This is not a CAMT.053 document that can be read.")})
    good, wrong = [], []
    for number, entry in enumerate(root.iterfind(".//{*}Ntry"), 1):
        try:
            good.extend(_entry(entry))
        except (ValueError, InvalidOperation) as error:
            wrong.append((number, str(error)))
    if not good and not wrong:
        raise Invalid(fields={"file": N_("There are no bookings in this file.")})
    if len(good) > MOST_LINES:
        raise Invalid(fields={"file": TOO_MANY})
    return Read(tuple(good), tuple(wrong))


def _entry(entry: "etree._Element") -> list[Booking]:  # type: ignore[name-defined]  # noqa: F821
    status = _text(entry, "./{*}Sts/{*}Cd") or _text(entry, "./{*}Sts") or "BOOK"
    if status != "BOOK":
        return []
    day = _text(entry, "./{*}BookgDt/{*}Dt") or _text(entry, "./{*}BookgDt/{*}DtTm") or _text(entry, "./{*}ValDt/{*}Dt")
    sign = -1 if _text(entry, "./{*}CdtDbtInd") == "DBIT" else 1
    if _text(entry, "./{*}RvslInd") == "true":
        sign = -sign
    details = entry.findall("./{*}NtryDtls/{*}TxDtls")
    whole = _money(entry.find("./{*}Amt"))
    parts = [_money(found) for d in details if (found := _amount_of(d)) is not None]
    if len(details) > 1 and len(parts) == len(details) and sum(p[0] for p in parts) == whole[0]:
        return [_detail(d, _date(day), sign * p[0], p[1]) for d, p in zip(details, parts, strict=True)]
    return [_detail(details[0] if details else entry, _date(day), sign * whole[0], whole[1])]


def _amount_of(detail: "etree._Element") -> "etree._Element | None":  # type: ignore[name-defined]  # noqa: F821
    found = detail.find("./{*}Amt")
    return found if found is not None else detail.find("./{*}AmtDtls/{*}TxAmt/{*}Amt")


def _money(element: "etree._Element | None") -> tuple[int, str]:  # type: ignore[name-defined]  # noqa: F821
    if element is None or not element.get("Ccy"):
        raise ValueError(N_("This is not an amount."))
    code = str(element.get("Ccy")).upper()
    return amount(element.text or "", code, "."), code


def _detail(detail: "etree._Element", day: date, minor: int, currency: str) -> Booking:  # type: ignore[name-defined]  # noqa: F821
    payer = _text(detail, ".//{*}Dbtr//{*}Nm") if minor > 0 else _text(detail, ".//{*}Cdtr//{*}Nm")
    words = [_text(detail, ".//{*}CdtrRefInf/{*}Ref"), *(e.text or "" for e in detail.iterfind(".//{*}Ustrd"))]
    purpose = " ".join(word for word in words if word) or _text(detail, ".//{*}AddtlNtryInf")
    return Booking(day, minor, currency, harmless(payer)[:140], harmless(purpose)[:2000])


def _text(element: "etree._Element", path: str) -> str:  # type: ignore[name-defined]  # noqa: F821
    found = element.find(path)
    return (found.text or "").strip() if found is not None else ""


def fingerprints(found: Sequence[Booking]) -> list[str]:
    """One per booking, the same in every file: the bank's facts, and which of several equal ones on a day it is.

    Banks shorten and break texts differently: a reference of ours stands for the whole text, and without one only
    letters and digits count.
    """
    seen: dict[str, int] = {}
    out = []
    for b in found:
        words = references.first(b.purpose) or re.sub(r"[^a-z0-9]", "", _plain(b.payer + b.purpose))
        facts = f"{b.booked_on.isoformat()}|{b.amount_minor}|{b.currency}|{words}"
        seen[facts] = seen.get(facts, 0) + 1
        out.append(hashlib.sha256(f"{facts}|{seen[facts]}".encode()).hexdigest())
    return out
