"""The doctor looks at the operator's own invoices."""

from pathlib import Path

import pytest
from flask import Flask

from portal.billing import documents
from portal.cli import doctor_papers
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service as settings
from tests.billing.test_papers import charges


def sets(**values: str) -> None:
    with unit_of_work():
        for key, value in values.items():
            settings.change(key, value, actor=SYSTEM, now=clock.business())


def found() -> list[tuple[str, str]]:
    return [(str(each.level), each.says) for each in doctor_papers.papers()]


def test_without_bank_transfer_nothing_is_needed(app: Flask) -> None:
    assert found() == [("OK", "all by Stripe; none of our own while bank transfer is not offered")]


def test_what_papers_do_not_say_is_named(app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sets(pay_by_transfer="live", legal_name="Bazaar GmbH")
    (level, says), *_ = found()
    assert level == "FAIL" and "there is no account to pay to" in says
    sets(bank_holder="Bazaar GmbH", bank_iban="DE02120300000000202051")
    assert found()[0] == ("WARN", "they do not say legal_address, legal_country")
    charges("DE", 1900)
    sets(legal_address="Lindenstraße 12", legal_country="DE")
    assert found()[0] == ("WARN", "they do not say vat_id")
    sets(vat_id="DE136695976")
    assert found() == [("OK", "from Bazaar GmbH, rates of tax: 1")]
    monkeypatch.setattr(documents, "FONTS", tmp_path)
    assert found()[1] == ("FAIL", "their font is missing")
