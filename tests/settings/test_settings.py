"""Settings have defaults, are checked at their field and are seen at once where they were changed."""

import time
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import event, select

from portal.audit.models import AuditEntry
from portal.cli import settings as settings_commands
from portal.kit.actor import staff
from portal.kit.db import db
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.settings import queries, service
from portal.settings.models import Setting
from portal.settings.rules import KEYS, SPECS, Offer, OperatorSettings, Verification, build
from tests.support.travel import Travel

ADA = staff(7, "Ada")


def change(key: str, value: object) -> None:
    with unit_of_work():
        service.change(key, value, actor=ADA, now=Travel.START)


def test_a_new_installation_has_the_defaults_of_the_contract(app: Flask) -> None:
    current = queries.current()
    assert current == OperatorSettings()
    assert (current.trial_days, current.grace_days, current.card_up_front) == (14, 7, False)
    assert current.email_verification == Verification.REQUIRED
    assert (current.pay_by_stripe, current.pay_by_transfer, current.pay_by_paypal) == (
        Offer.LIVE,
        Offer.HIDDEN,
        Offer.COMING_SOON,
    )


def test_what_was_changed_is_seen_at_once_and_kept(app: Flask) -> None:
    assert queries.current().name == "Vendor Portal"
    change("name", "  Bazaar & Söhne ")
    change("card_up_front", "on")
    change("pay_by_transfer", "live")
    expected = replace(OperatorSettings(), name="Bazaar & Söhne", card_up_front=True, pay_by_transfer=Offer.LIVE)
    assert queries.current() == expected
    row = db.session.scalars(select(Setting).where(Setting.key == "name")).one()
    assert (row.updated_by, row.updated_at) == ("Ada", Travel.START)


def test_what_was_rolled_back_is_not_seen(app: Flask) -> None:
    with pytest.raises(RuntimeError), unit_of_work():
        service.change("name", "Never", actor=ADA, now=Travel.START)
        assert queries.current().name == "Never"
        raise RuntimeError
    assert queries.current().name == "Vendor Portal"


def test_another_process_sees_a_change_after_five_seconds(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "FRESH_FOR", 5.0)  # the other tests keep an answer longer
    queries.current()
    with unit_of_work() as session:
        session.add(Setting(key="name", value="Elsewhere", updated_at=Travel.START, updated_by="x"))
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 4)
    assert queries.current().name == "Vendor Portal"
    monkeypatch.setattr(time, "monotonic", lambda: began + 5.1)
    assert queries.current().name == "Elsewhere"


def test_a_fresh_answer_costs_no_query(app: Flask) -> None:
    queries.current()
    seen: list[str] = []
    count = lambda *args: seen.append(args[2])  # noqa: E731
    event.listen(db.engine, "before_cursor_execute", count)
    for _ in range(50):
        queries.current()
    event.remove(db.engine, "before_cursor_execute", count)
    assert seen == []


@pytest.mark.parametrize(
    ("key", "given", "stored"),
    [
        ("accent", "#AABBCC", "#aabbcc"),
        ("support_email", " help@example.com ", "help@example.com"),
        ("support_email", "", ""),
        ("platform_domain", "Shops.Example.com.", "shops.example.com"),
        ("legal_address", "Hauptstr. 1\r\n 10115 Berlin ", "Hauptstr. 1\n10115 Berlin"),
        ("logo_url", "/static/img/logo.svg", "/static/img/logo.svg"),
        ("terms_url", "https://example.com/terms", "https://example.com/terms"),
        ("grace_days", "0", 0),
        ("grace_days", 60, 60),
        ("trial_reminders", False, False),
        ("trial_reminders", "no", False),
        ("email_verification", "off", Verification.OFF),
        ("pay_by_paypal", "hidden", Offer.HIDDEN),
    ],
)
def test_values_that_fit_are_taken(app: Flask, key: str, given: object, stored: object) -> None:
    change(key, given)
    assert getattr(queries.current(), key) == stored


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("name", "   "),
        ("name", "x" * 81),
        ("name", "two\nlines"),
        ("accent", "red"),
        ("accent", "#fff; background: url(x)"),
        ("support_email", "help"),
        ("support_email", "help@example.com\nBcc: all@example.com"),
        ("support_email", "<script>@example.com"),
        ("logo_url", "javascript:alert(1)"),
        ("logo_url", "//evil.example/logo.svg"),
        ("logo_url", "/\\evil.example"),
        ("terms_url", "http://example.com"),
        ("platform_domain", "localhost"),
        ("platform_domain", "-x.example"),
        ("legal_address", "x" * 501),
        ("grace_days", "61"),
        ("grace_days", "-1"),
        ("grace_days", "7.5"),
        ("grace_days", True),
        ("grace_days", "9" * 4000),
        ("trial_reminders", "maybe"),
        ("email_verification", "sometimes"),
        ("pay_by_stripe", "soon"),
        ("pay_by_paypal", "live"),
        ("favourite_food", "kebab"),
    ],
)
def test_values_that_do_not_fit_are_refused_at_the_field(app: Flask, key: str, given: object) -> None:
    with pytest.raises(Invalid) as refused:
        change(key, given)
    assert refused.value.fields.keys() == {key}
    assert queries.current() == OperatorSettings()


def test_every_setting_has_a_label_and_a_default_that_passes_its_own_check() -> None:
    assert set(SPECS) == set(KEYS)
    for key, spec in SPECS.items():
        assert spec.label
        default = getattr(OperatorSettings(), key)
        assert spec.parse(default) == default


def test_a_setting_of_another_version_is_passed_over() -> None:
    assert build({"retired_setting": 1, "name": "Bazaar"}) == replace(OperatorSettings(), name="Bazaar")


def test_the_command_sets_lists_and_refuses(app: Flask) -> None:
    runner = app.test_cli_runner()
    done = runner.invoke(settings_commands.group, ["set", "grace_days", "10"])
    assert (done.exit_code, done.output) == (0, "grace_days is now 10\n")
    listed = runner.invoke(settings_commands.group, ["list"]).output.splitlines()
    assert len(listed) == len(KEYS)
    assert ["grace_days", "10"] in [line.split() for line in listed]
    refused = runner.invoke(settings_commands.group, ["set", "grace_days", "soon"])
    assert refused.exit_code == 1
    assert "Please enter a whole number" in refused.output
    (entry,) = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "settings.changed"))
    assert entry.data == {"key": "grace_days", "before": 7, "after": 10}
