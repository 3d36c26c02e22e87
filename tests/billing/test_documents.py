"""Papers as they are printed: many lines, long names, the operator's logo, any language."""

import io
import re
from datetime import date
from typing import Any

import pypdf
import pytest
from flask import Flask

from portal.billing import documents
from portal.billing.paper import Kind, Paper, TaxLine
from portal.web.kit import paper_words
from tests.billing.samples import line, paper

HOME = {"country": "DE", "vat_id": ""}


def vat(base: int) -> TaxLine:
    """19 %, rounded."""
    return TaxLine("VAT", "DE", "S", 1900, base, (base * 19 + 50) // 100)


def printed(app: Flask, wanted: Paper) -> Any:
    """The pages."""
    with app.test_request_context():
        return pypdf.PdfReader(io.BytesIO(paper_words.pdf(wanted)))


def words_of(reader: Any) -> str:
    """What a person reads, without line ends and hard blanks."""
    return " ".join(" ".join(page.extract_text().split()) for page in reader.pages).replace("\xa0", " ")


def test_forty_lines_take_pages_that_say_which_they_are(app: Flask) -> None:
    lines = [line(100 + n, text=f"Package {n}") for n in range(40)]
    # 40 x 1.00 + 0.01 x (0 + 1 + … + 39 = 780) = 47.80.
    reader = printed(app, paper(Kind.PROFORMA, lines, [vat(4780)], buyer=HOME))
    count = len(reader.pages)
    assert count > 1
    for at, page in enumerate(reader.pages, 1):
        assert f"Page {at} of {count}" in page.extract_text()
    words = words_of(reader)
    assert all(f"Package {n} " in words for n in range(40))
    assert words.count("Description") >= count - 1, "the head of the table stands on every page with lines"


def test_long_names_are_whole(app: Flask) -> None:
    name = "The Extraordinarily Long-Named Trading Company of Northern Anatolia for Carpets and Kilims Limited"
    street = "An address line that is much longer than usual, Building 7, Entrance C, 14th floor"
    about = {**HOME, "name": name, "street": street}
    reader = printed(app, paper(Kind.INVOICE, [line(100, text=name * 3)], [vat(100)], buyer=about))
    words = words_of(reader).replace(" ", "")
    assert name.replace(" ", "") in words
    assert street.replace(" ", "") in words
    assert (name * 3).replace(" ", "") in words
    assert len(reader.pages) == 1


@pytest.mark.parametrize("name", ["Şişli Çarşı Ticaret", "Žižkov Hračky", "Ελληνικά Χαλιά", "Łódź Żółć", "Дім килимів"])
def test_europes_letters_are_in_the_font(app: Flask, name: str) -> None:
    reader = printed(app, paper(Kind.INVOICE, [line(100)], [vat(100)], buyer={**HOME, "name": name}))
    assert name in words_of(reader)


def test_german_papers_write_figures_and_days_as_germans_do(app: Flask) -> None:
    wanted = paper(Kind.PROFORMA, [line(123_456)], [vat(123_456)], buyer={**HOME, "locale": "de"})
    words = words_of(printed(app, wanted))
    # 19 % of 1,234.56 = 234.5664 -> 234.57; 1,469.13.
    assert "1.469,13 €" in words and "19 %" in words and "29. Januar 2027" in words


def test_what_code_a_typst_program_would_run_is_only_text(app: Flask) -> None:
    spoilt = '#panic("x") *bold* $ $ ] } " \\ #include "/etc/passwd"'
    words = words_of(printed(app, paper(Kind.INVOICE, [line(100, text=spoilt)], [vat(100)], buyer=HOME)))
    assert re.sub(r"\s", "", spoilt) in re.sub(r"\s", "", words)


def test_the_logo_is_a_picture_of_our_own(app: Flask) -> None:
    with_it = paper(Kind.INVOICE, [line(100)], [vat(100)], buyer=HOME, seller={"logo": "/static/img/mark.svg"})
    assert (
        words_of(printed(app, with_it)).count("Bazaar ")
        == words_of(printed(app, paper(Kind.INVOICE, [line(100)], [vat(100)], buyer=HOME))).count("Bazaar ") - 1
    ), "the picture stands where the name did"


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/static/img/mark.svg", "/static/img/mark.svg"),
        ("/static/img/mark.svg?v=1", "/static/img/mark.svg"),
        ("https://cdn.example/logo.svg", None),
        ("/static/../config.py", None),
        ("/static/../node_modules/x.svg", None),
        ("/static/css/base.css", None),
        ("/static/img/none.svg", None),
        ("", None),
    ],
)
def test_only_pictures_of_the_static_folder_are_logos(address: str, file: str | None) -> None:
    assert documents.logo(address) == file


def test_a_paper_is_the_same_whenever_it_is_asked_for(app: Flask) -> None:
    wanted = paper(Kind.PROFORMA, [line(100)], [vat(100)], buyer=HOME)
    with app.test_request_context():
        assert paper_words.pdf(wanted) == paper_words.pdf(wanted)


def test_a_paper_without_legal_data_is_printed_all_the_same(app: Flask) -> None:
    bare = {"address": "", "country": "", "vat_id": "", "email": "", "bank": {}, "name": "Vendor Portal"}
    none = {"street": "", "postcode": "", "city": "", "country": "", "vat_id": ""}
    wanted = paper(Kind.PROFORMA, [line(100)], [], seller=bare, buyer=none, due_on=date(2027, 1, 29))
    words = words_of(printed(app, wanted))
    assert "Kilim House" in words and "€1.00" in words and "VAT" not in words and "IBAN" not in words
