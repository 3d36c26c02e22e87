"""What an invoice's line says, in the reader's language."""

import pytest
from flask import Flask
from flask_babel import force_locale

from portal.web.kit.line_words import said

LINES = [
    ("Unused time on Professional", ["Professional"]),
    ("Remaining time on Business", ["Business"]),
    ("Unused time on 2 × Extra storage after 6 Dec 2026", ["2 × Zusätzlicher Speicher", "06.12.2026"]),
    ("1 × Professional (at €1,299.00 / year)", ["1 × Professional", "1.299,00\N{NO-BREAK SPACE}€"]),
    ("3 × Extra storage (at €5.00 / month)", ["3 × Zusätzlicher Speicher", "5,00\N{NO-BREAK SPACE}€"]),
    ("Free trial for 1 × Extra storage", ["1 × Zusätzlicher Speicher"]),
    ("Email package (5)", ["E-Mail-Paket (5)"]),
    ("Custom domain (www.myshop.de)", ["Eigene Domain (www.myshop.de)"]),
    ("Something of the operator's own, 20 % off", ["Something of the operator's own, 20 % off"]),
    ("", [""]),
]


@pytest.mark.parametrize(("kept", "german"), LINES, ids=lambda value: str(value)[:24])
def test_a_line_is_read_in_ones_own_language(app: Flask, kept: str, german: list[str]) -> None:
    """Names, dates and amounts too, which are inside the sentence that was kept."""
    with app.test_request_context():
        assert said(kept) == kept, "in English it stays as it was written"
        with force_locale("de"):
            assert all(part in said(kept) for part in german), said(kept)
