"""Papers as PDF: set by typst from words and figures that come ready, with the e-invoice inside where there is one."""

import json
from pathlib import Path
from typing import Any

from portal.billing import einvoice
from portal.billing.paper import Kind, Paper

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "templates/paper/paper.typ"
FONTS = ROOT / "static/lib/paper"
#: Pictures that typst reads; a logo elsewhere on the web is not fetched.
PICTURES = frozenset({".svg", ".png", ".jpg", ".jpeg", ".webp"})


def pdf(paper: Paper, words: dict[str, Any]) -> bytes:
    """The paper as PDF/A-3 with its fonts; an invoice or credit note carries its EN 16931 data (Factur-X) where the
    legal data of both sides suffices. Takes about a fifth of a second; the libraries are loaded by the first.
    """
    import typst

    made: bytes = typst.compile(
        str(TEMPLATE),
        root=str(ROOT),
        font_paths=[str(FONTS)],
        ignore_system_fonts=True,
        format="pdf",
        sys_inputs={"paper": json.dumps({**words, "logo": logo(paper.seller.get("logo", ""))})},
        pdf_standards=["a-3b"],
        timestamp=int(_noon(paper)),
    )
    if paper.kind == Kind.PROFORMA or einvoice.missing(paper):
        return made
    return einvoice.embed(made, paper, title=f"{words['title']} {paper.number}", language=words["language"])


def _noon(paper: Paper) -> float:
    from datetime import UTC, datetime, time

    return datetime.combine(paper.issued_on, time(12), UTC).timestamp()


def logo(address: str) -> str | None:
    """The operator's logo as typst finds it: a picture in our own static folder, else None."""
    if not address.startswith("/static/"):
        return None
    file = (ROOT / address.partition("?")[0].lstrip("/")).resolve()
    inside = file.is_relative_to(ROOT / "static") and file.suffix.lower() in PICTURES and file.is_file()
    return f"/{file.relative_to(ROOT)}" if inside else None
