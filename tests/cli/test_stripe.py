"""``flask stripe``: events were lost, and one command puts it right and says what differed."""

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


def test_reconcile_shows_each_field_and_the_second_time_nothing(
    catalog: Flask, sandbox: servers.Sandbox, run: Run
) -> None:
    ada = paid_but_not_told()
    code, said = run(commands.group, "reconcile", "--vendor", ada.code)
    assert code == 0, said
    lines = said.splitlines()
    assert lines[0] == f"{ada.code}:"
    assert "  subscription status: trial → active" in lines
    assert "  orders waiting: 1 → 0" in lines
    assert any(line.startswith("  subscription payment_method: nothing → ") and "4242" in line for line in lines)
    assert lines[-1] == "1 vendors looked at: 1 put right, 0 in step."
    assert run(commands.group, "reconcile", "--vendor", ada.code) == (
        0,
        "1 vendors looked at: 0 put right, 1 in step.\n",
    )


def test_reconcile_all_goes_through_every_vendor_that_stripe_knows(
    catalog: Flask, sandbox: servers.Sandbox, run: Run
) -> None:
    ada = paid_but_not_told()
    stories.signs_up(email="bob@shop.example", name="Bob's Shop")
    code, said = run(commands.group, "reconcile", "--all")
    assert code == 0, said
    assert f"{ada.code}:" in said
    assert "bob-s-shop" not in said
    assert said.endswith("2 vendors looked at: 1 put right, 1 in step.\n")


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
    assert run(commands.group, "reconcile")[0] == 2


def test_push_shows_first_and_asks(catalog: Flask, sandbox: servers.Sandbox, run: Run) -> None:
    code, said = run(commands.group, "push", answer="n\n")
    assert code == 0
    assert "+ create price tier-essential-monthly-eur  49.00 EUR per month" in said
    assert stripe.current().products_list() == []
    assert run(commands.group, "push", "--yes")[1].endswith("19 changes made.\n")
