"""What leaves the portal: mails, tables for spreadsheets, redirects. Nobody's words steer where they go."""

import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.kit import clock
from portal.notifications import flows
from portal.notifications.models import SentMail
from portal.notifications.rules import one_line
from portal.reporting.invoice_list import defused
from portal.web.kit import responder
from tests.notifications.test_texts import MAILS, render
from tests.safety.payloads import ALL, judge
from tests.support import people

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[2]
#: Line breaks that would begin a header of their own, and a hundred payloads behind them.
INJECTED = "Kilim\r\nBcc: eve@evil.example\r\n\r\n" + ALL
#: Parameters that have a form of their own: they choose a sentence or stand in an address of ours.
_CHOOSE = frozenset(("vendor_code", "role", "provider", "cause", "status", "why"))


def hostile(params: dict[str, Any], words: str) -> dict[str, Any]:
    """The same with these words wherever there are some; moments stay moments."""
    return {
        name: words if isinstance(value, str) and name not in _CHOOSE and not (name + "_").endswith("at_") else value
        for name, value in params.items()
    }


def written(kind: str, person: people.Someone, words: str) -> tuple[EmailMessage, str]:
    rendered = render(kind, person, **hostile(MAILS[kind][0], words))
    mail = SentMail(kind=kind, recipient=person.email, recipient_name=words, message_id="<1@localhost>", params={})
    mail.created_at = clock.business()
    return flows.compose(mail, rendered), rendered.html


def test_words_in_mails_stay_words_and_no_header_is_added(client: FlaskClient) -> None:
    """Every kind of mail, hostile in every parameter."""
    alice, allowed = people.register(), {"<style>", "<body style>", "<div style>", "<table style>", "<td style>"}
    for kind in MAILS:
        message, html = written(kind, alice, INJECTED)
        assert [each for each in judge(html) if not each.endswith(" style>") and each not in allowed] == [], kind
        head = message.as_bytes().split(b"\r\n\r\n")[0]
        names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
        assert set(names) <= {b"message-id", b"date", b"from", b"to", b"reply-to", b"subject", b"auto-submitted",
                              b"mime-version", b"content-type"}, kind  # fmt: skip
        assert len(names) == len(set(names)) and message["To"].addresses[0].addr_spec == alice.email


def test_a_header_is_one_line() -> None:
    assert one_line("a\r\nb\x00c\u2028d\x85e\tf") == "a b c d e f"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_cell_that_begins_like_a_formula_is_text(begin: str) -> None:
    assert defused(f"{begin}cmd|'/c calc'!A1") == f"'{begin}cmd|'/c calc'!A1"
    assert defused(f"a{begin}b") == f"a{begin}b"


def test_tables_are_written_in_two_places_alone() -> None:
    """Whoever wrote one elsewhere would have to think of formulas again."""
    sources = (ROOT / "portal").rglob("*.py")
    writing = {str(path.relative_to(ROOT)) for path in sources if "csv.writer" in path.read_text()}
    assert writing == {"portal/web/kit/csv_files.py", "portal/web/admin/invoices.py"}


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example", "http:/evil.example", "\\\\evil.example", "x.example",
     "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example",
     "///x.example", "/\r\nLocation: //evil.example", "/x\\..\\evil", "data:text/html,x", ""],
)  # fmt: skip
def test_a_way_on_stays_with_us(target: str) -> None:
    assert responder.safe_next(target) is None


@pytest.mark.parametrize("target", ["/", "/dashboard", "/vendor/a/billing?x=//evil.example", "/a#b", "/@evil.example"])
def test_a_way_on_to_our_pages_is_taken(target: str) -> None:
    assert responder.safe_next(target) == target


def test_no_page_believes_the_host_that_a_request_names(catalog: Flask) -> None:
    """Nor what a proxy would say, where none is configured."""
    told = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    client = catalog.test_client()
    for path in ("/", "/pricing", "/sign-in", "/sign-up?tier=professional", "/contact", "/dashboard", "/api/v1/docs"):
        answer = client.get(path, headers=told)
        assert "evil.example" not in answer.get_data(as_text=True) + answer.headers.get("Location", ""), path
        assert re.fullmatch(r"(/[^/].*)?", answer.headers.get("Location", "")), path
