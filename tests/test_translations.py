"""German says all that English says, with the same blanks, and readers get to see it (GEN-7)."""

import gettext
import re
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_keywords, parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import get_domain
from sqlalchemy import select

from portal.cli.setup_environment import compile_translations
from portal.identity import service as identity
from portal.kit import jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from tests.support import people
from tests.support.people import text_of

ROOT = Path(__file__).resolve().parents[1]
GERMAN = ROOT / "portal" / "translations" / "de" / "LC_MESSAGES" / "messages.po"
#: As in docs/translate.md.
KEYWORDS = {**DEFAULT_KEYWORDS, **parse_keywords(["N_", "_l", "lazy_gettext", "ngettext:1,2"])}
BLANK = re.compile(r"%\(\w+\)[sd]|%%")
TAG = re.compile(r"</?\w+")
#: What a German text may not hold: typewriter quotes, English ones, and the familiar address.
UNWANTED = re.compile(r"""["“][^„]*”|"|\b(?:du|dich|dir|dein\w*|euch|euer|eure\w*)\b""", re.IGNORECASE)


@pytest.fixture(scope="module")
def written() -> set[tuple[str, ...]]:
    """Every message of code and templates: one form, or singular and plural."""
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    kept = {ROOT / "portal", ROOT / "templates"}
    found = extract_from_dir(
        ROOT, methods, options, KEYWORDS,
        directory_filter=lambda folder: any(Path(folder).is_relative_to(each) for each in kept),
    )  # fmt: skip
    return {forms(message) for _file, _line, message, *_rest in found}


@pytest.fixture(scope="module")
def german() -> Catalog:
    """The German catalog as it was written."""
    with GERMAN.open("rb") as file:
        return read_po(file, locale="de")


@pytest.fixture(scope="module")
def entries(german: Catalog) -> list[Message]:
    """Its messages, without the head."""
    return [message for message in german if message.id]


@pytest.fixture(scope="module")
def speaks_german(built_app: Flask) -> None:
    """What readers load is compiled from what was written; an app that looked for it earlier looks again."""
    compile_translations(Path(sys.prefix))
    with built_app.app_context():
        get_domain().cache.clear()


def forms(text: str | list[str] | tuple[str, ...] | None) -> tuple[str, ...]:
    """Singular and plural, or the one form there is; what was never filled in is empty."""
    return tuple(text) if isinstance(text, (list, tuple)) else (text or "",)


def pairs(entries: list[Message]) -> list[tuple[str, str]]:
    """Each English form beside the German one."""
    return [pair for entry in entries for pair in zip(forms(entry.id), forms(entry.string), strict=True)]


def differ(entries: list[Message], pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """The forms in which the pattern's finds are not the same on both sides, in any order."""
    return [(en, de) for en, de in pairs(entries) if Counter(pattern.findall(en)) != Counter(pattern.findall(de))]


@pytest.mark.once
def test_nothing_that_is_written_lacks_german(written: set[tuple[str, ...]], entries: list[Message]) -> None:
    assert ("Sign in",) in written and ("%(num)d day free.", "%(num)d days free.") in written
    assert sorted(written - {forms(entry.id) for entry in entries}) == []


@pytest.mark.once
def test_nothing_is_translated_that_nobody_says_any_more(
    written: set[tuple[str, ...]], entries: list[Message], german: Catalog
) -> None:
    assert sorted({forms(entry.id) for entry in entries} - written) == []
    assert list(german.obsolete) == []


@pytest.mark.once
def test_no_translation_is_empty_or_only_guessed(entries: list[Message]) -> None:
    assert [entry.id for entry in entries if entry.fuzzy] == []
    assert [english for english, text in pairs(entries) if not text.strip()] == []


@pytest.mark.once
def test_blanks_and_tags_are_those_of_the_english_text(entries: list[Message]) -> None:
    assert differ(entries, BLANK) == []
    assert differ(entries, TAG) == []


@pytest.mark.once
def test_the_voice_is_formal_and_quotes_are_german(entries: list[Message]) -> None:
    assert [text for _english, text in pairs(entries) if UNWANTED.search(text)] == []


@pytest.mark.once
def test_compiled_it_counts_as_german_does(german: Catalog) -> None:
    compiled = BytesIO()
    write_mo(compiled, german)
    compiled.seek(0)
    words = gettext.GNUTranslations(compiled)
    # One is singular; none and several are plural.
    counted = [
        words.ngettext("Your trial ends in %(num)d day", "Your trial ends in %(num)d days", n) % {"num": n}
        for n in (0, 1, 2)
    ]
    assert counted == [
        "Ihre Probezeit endet in 0 Tagen",
        "Ihre Probezeit endet in 1 Tag",
        "Ihre Probezeit endet in 2 Tagen",
    ]


@pytest.mark.usefixtures("speaks_german")
def test_the_prices_are_read_in_german(client: FlaskClient) -> None:
    page = client.get("/pricing", headers={"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"})
    words = text_of(page)
    assert '<html lang="de"' in page.get_data(as_text=True)
    assert "Welcher Tarif ist Ihrer?" in words and "Probieren Sie jeden davon 14 Tage kostenlos aus." in words
    # Professional is 99 a month and allows 2,000 credits: German puts the sign behind and a dot between thousands.
    assert "99 €" in words and "2.000 Credits im Monat" in words
    assert "€99" not in words and "2,000" not in words


@pytest.mark.usefixtures("speaks_german")
def test_other_readers_stay_with_english(client: FlaskClient) -> None:
    page = client.get("/pricing", headers={"Accept-Language": "fr"})
    assert '<html lang="en"' in page.get_data(as_text=True)
    assert "Which plan is yours?" in text_of(page) and "€99" in text_of(page)


@pytest.mark.usefixtures("speaks_german", "unscoped")
def test_a_vendor_reads_amounts_and_days_in_german(client: FlaskClient) -> None:
    who = people.sign_up(client)
    with unit_of_work():
        identity.prefer(who.user_id, locale="de")
    words = text_of(client.get(f"/vendor/{who.code}/billing"))
    # The trial of 14 days began on 15 January 2027.
    assert "Am 29. Januar 2027 wird das Produkt geschlossen, wenn Sie keine Zahlungsart hinterlegen." in words
    assert "Professional 99 € pro Monat" in words
    assert "Noch 14 Tage in Ihrer Probezeit" in words


@pytest.mark.usefixtures("speaks_german", "unscoped")
def test_who_signs_up_in_german_gets_german_mails(client: FlaskClient) -> None:
    entered = {
        "business_name": "Kelimhaus", "name": "Alice Eigner", "email": "alice@example.com",
        "password": people.PASSWORD, "tier": "professional", "cycle": "monthly",
    }  # fmt: skip
    people.post(client, "/sign-up", entered, page="/sign-up?tier=professional", headers={"Accept-Language": "de"})
    jobs.run_all()
    mails = {mail.subject: mail.body_text or "" for mail in db.session.scalars(select(SentMail))}
    # A trial of 14 days from 15 January 2027.
    welcome = mails["Ihre Probezeit mit Professional hat begonnen"]
    assert "Guten Tag Alice Eigner," in welcome and "29. Januar 2027" in welcome
    assert "Bestätigen Sie Ihre E-Mail-Adresse" in mails
