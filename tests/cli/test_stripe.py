"""``flask stripe``: events were lost, and one command puts it right and says what differed."""

from typing import Any

import pytest
from flask import Flask

from portal.cli import stripe as commands
from portal.gateways import stripe
from tests.cli.conftest import Run
from tests.support import servers, stories
from tests.support.stories import Somebody


def paid_but_not_told() -> Somebody:
    """A vendor that paid on Stripe's page; no event of it arrived."""
    stories.push_catalog()
    ada = stories.signs_up()
    assert stories.pays(stories.opens_checkout(ada)).status_code == 303
    return ada


def test_reconcile_shows_each_field_and_changes_nothing_until_it_is_told_to(
    catalog: Flask, sandbox: servers.Sandbox, run: Run
) -> None:
    ada = paid_but_not_told()
    for _ in range(2):
        code, said = run(commands.group, "reconcile", "--vendor", ada.code)
        assert code == 2, said
        lines = said.splitlines()
        assert lines[0] == f"{ada.code}:"
        assert "  status: here trial, at Stripe active (differs)" in lines
        assert "  order 1: here open, at Stripe paid (differs)" in lines
        assert "  price: here Professional, 99.00 EUR monthly" not in said
        assert "  card: here nothing, at Stripe visa 4242 (differs)" in lines
        assert lines[-1] == "1 vendors looked at: 1 differ, 0 in step."
    code, said = run(commands.group, "reconcile", "--vendor", ada.code, "--repair")
    assert code == 0, said
    assert "  status: here trial, at Stripe active (repaired)" in said.splitlines()
    assert said.splitlines()[-1] == "1 vendors looked at: 1 put right, 0 differ, 0 in step."
    assert run(commands.group, "reconcile", "--vendor", ada.code) == (
        0,
        "1 vendors looked at: 0 differ, 1 in step.\n",
    )


def test_reconcile_goes_through_every_vendor_that_stripe_knows_and_goes_on_where_it_was_stopped(
    catalog: Flask, sandbox: servers.Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = paid_but_not_told()
    bob = stories.signs_up(email="bob@shop.example", name="Bob's Shop")
    look, monkey = commands._look, iter([None, KeyboardInterrupt])

    def stopped(*about: Any) -> Any:
        if next(monkey):
            raise KeyboardInterrupt
        return look(*about)

    monkeypatch.setattr(commands, "_look", stopped)
    code, said = run(commands.group, "reconcile", "--repair")
    assert code != 0
    assert f"Stopped after 1 of 2 vendors. Go on with: flask stripe reconcile --repair --after {ada.code}" in said
    monkeypatch.undo()
    code, said = run(commands.group, "reconcile", "--repair", "--after", ada.code)
    assert (code, said) == (0, "1 vendors looked at: 0 put right, 0 differ, 1 in step.\n")
    code, said = run(commands.group, "reconcile", "--repair")
    assert said.endswith("2 vendors looked at: 0 put right, 0 differ, 2 in step.\n")
    assert bob.code > ada.code


def test_a_vendor_that_cannot_be_asked_about_fails_the_command(
    catalog: Flask, sandbox: servers.Sandbox, run: Run
) -> None:
    ada = stories.signs_up()
    stripe.configure("sk_test_wrong", sandbox.url, 0)
    try:
        code, said = run(commands.group, "reconcile", "--vendor", ada.code)
    finally:
        stripe.configure(servers.KEY, sandbox.url, 0)
    assert code == 1
    assert f"{ada.code}: stripe_key" in said
    assert "sk_test_wrong" not in said


def test_an_unknown_vendor_is_refused(catalog: Flask, run: Run) -> None:
    code, said = run(commands.group, "reconcile", "--vendor", "nobody")
    assert code == 1
    assert "There is no vendor with the code nobody." in said


def test_push_shows_first_and_asks(catalog: Flask, sandbox: servers.Sandbox, run: Run) -> None:
    code, said = run(commands.group, "push", answer="n\n")
    assert code == 0
    assert "+ create price tier-essential-monthly-eur  49.00 EUR per month" in said
    assert stripe.current().products_list() == []
    assert run(commands.group, "push", "--yes")[1].endswith("19 changes made.\n")
