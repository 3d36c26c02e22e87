"""``flask catalog`` as an operator types it."""

from flask import Flask

from portal.catalog import queries
from portal.cli import catalog as catalog_commands
from portal.gateways import stripe
from tests.support.servers import Sandbox


def run(app: Flask, *args: str, answer: str = "") -> tuple[int, str]:
    result = app.test_cli_runner().invoke(catalog_commands.group, list(args), input=answer)
    return result.exit_code, result.output


def test_load_says_what_it_did_and_then_that_nothing_is_left_to_do(app: Flask) -> None:
    code, said = run(app, "load", "agency")
    assert code == 0
    assert "tier agency-starter: added" in said
    assert run(app, "load", "agency") == (0, "agency: in step, nothing changed\n")
    assert len(queries.tiers()) == 3


def test_load_refuses_what_is_no_preset(app: Flask) -> None:
    code, said = run(app, "load", "bakery")
    assert code == 2
    assert "marketplace" in said


def test_show_prints_prices_limits_and_what_comes_along(catalog: Flask) -> None:
    code, said = run(catalog, "show")
    assert code == 0
    assert "professional: Professional\n    99.00 EUR monthly  not at Stripe yet" in said
    assert "limits: orders 500, products unlimited, team_members 3, sites 3" in said
    assert "brings along: 1 × custom-domain, 1 × email-package 5" in said
    assert "enterprise: Enterprise (contact sales)" in said


def test_show_of_an_empty_catalog_says_what_to_do(app: Flask) -> None:
    assert run(app, "show") == (0, "The catalog is empty. Load a preset: flask catalog load marketplace\n")


def test_push_shows_the_changes_and_asks(catalog: Flask, sandbox: Sandbox) -> None:
    code, said = run(catalog, "push", answer="n\n")
    assert code == 0
    assert "+ create price tier-essential-monthly-eur  49.00 EUR per month" in said
    assert "Make these 19 changes at Stripe?" in said
    assert stripe.current().products_list() == []


def test_push_with_yes_does_it_and_the_next_one_has_nothing_to_do(catalog: Flask, sandbox: Sandbox) -> None:
    code, said = run(catalog, "push", "--yes")
    assert (code, said.splitlines()[-1]) == (0, "19 changes made.")
    assert run(catalog, "push", "--yes") == (0, "Stripe is in step with the catalog.\n")


def test_push_without_stripe_says_so(catalog: Flask) -> None:
    kept = stripe._gateway
    stripe.configure("", "", 0)
    try:
        code, said = run(catalog, "push", "--yes")
    finally:
        stripe._gateway = kept
    assert code == 1
    assert "stripe_not_configured" in said
