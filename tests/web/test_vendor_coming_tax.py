"""The next charge is named as it will be asked for: with its tax, or saying that tax comes on top."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select

from portal.billing import tax_table
from portal.billing.coming_tax import ByTable, LikeLast
from portal.billing.models import BankTransfer, Invoice, InvoiceTax
from portal.billing.rules import Rate
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.kit import actor, clock
from portal.kit.db import db
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import change_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.rules import When
from tests.support import people
from tests.support.people import Someone, text_of
from tests.support.servers import Sandbox
from tests.support.stories import PASSWORD, lives_on, settle
from tests.support.travel import Travel
from tests.transfer import steps
from tests.transfer.conftest import bank, without_stripe
from tests.web.test_vendor_balance import in_stripes_dashboard
from tests.web.test_vendor_billing_details import sends
from tests.web.test_vendor_checkout import owner, pays_through
from tests.web.test_vendor_queries import counted

__all__ = ["bank", "without_stripe"]
pytestmark = pytest.mark.usefixtures("unscoped")


def billing(client: FlaskClient, code: str) -> str:
    return text_of(client.get(f"/vendor/{code}/billing"))


@pytest.fixture
def taxed(catalog: Flask, client: FlaskClient, sandbox: Sandbox) -> Iterator[Someone]:
    """A vendor in Germany that paid by card within its trial; Stripe works out taxes (19 % there)."""
    steps.change(stripe_tax="yes")
    who = owner(client)
    sends(client, who)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    yield who


def test_before_the_first_charge_the_rate_is_known_from_the_empty_invoice_or_tax_comes_on_top(
    client: FlaskClient, taxed: Someone
) -> None:
    """€99.00 and 19 % of it, €18.81, are €117.81."""
    page = billing(client, taxed.code)
    assert "Next charge: €117.81 on 29 January 2027" in page and "€99.00 and €18.81 tax." in page
    with unit_of_work() as session:
        session.execute(delete(InvoiceTax))
    assert "Next charge: €99.00 plus tax on 29 January 2027" in billing(client, taxed.code)
    assert "29 January 2027, €99.00 plus tax" in text_of(client.get(f"/vendor/{taxed.code}/plans"))
    assert "next charge €99.00 plus tax on 29 January 2027" in text_of(client.get("/dashboard"))
    steps.change(stripe_tax="no")
    assert "Next charge: €99.00 on 29 January 2027" in billing(client, taxed.code), "Stripe was never asked for taxes"


def test_what_is_named_is_what_is_charged(
    client: FlaskClient, sandbox: Sandbox, travel: Travel, taxed: Someone
) -> None:
    """€117.81 (as above) less €100.00 from the balance, which pays for tax, too: €17.81. With €5.00 owed: €122.81.
    Essential: €49.00 and 19 % of it, €9.31, are €58.31.
    """
    lives_on(sandbox, client, travel, days=15)
    assert "Next charge: €117.81 on 28 February 2027" in billing(client, taxed.code)
    in_stripes_dashboard(sandbox, taxed, -100_00)
    settle(sandbox, client)
    page = billing(client, taxed.code)
    assert (
        "Next charge: €17.81 on 28 February 2027" in page
        and "€99.00 and €18.81 tax, less €100.00 from your balance." in page
    )
    assert "28 February 2027, €17.81" in text_of(client.get(f"/vendor/{taxed.code}/plans"))
    assert "next charge €17.81 on 28 February 2027" in text_of(client.get("/dashboard"))
    lives_on(sandbox, client, travel, days=30)
    newest = db.session.scalars(select(Invoice).order_by(Invoice.id.desc()).limit(1)).one()
    assert (newest.total_minor, newest.paid_minor) == (117_81, 17_81)
    in_stripes_dashboard(sandbox, taxed, 5_00)
    settle(sandbox, client)
    page = billing(client, taxed.code)
    assert "Next charge: €122.81" in page and "€99.00, €18.81 tax, and €5.00 still owed from before." in page
    in_stripes_dashboard(sandbox, taxed, 0)
    settle(sandbox, client)
    goes_down(taxed)
    assert "Next charge: €58.31 on 29 March 2027" in billing(client, taxed.code)


def test_the_page_after_paying_names_it_with_tax(client: FlaskClient, catalog: Flask, sandbox: Sandbox) -> None:
    """€99.00 and 19 %, €18.81."""
    steps.change(stripe_tax="yes")
    who = owner(client)
    sends(client, who)
    page = text_of(client.get(pays_through(client, who), follow_redirects=True))
    assert "The first charge is €117.81 on 29 January 2027." in page


def goes_down(who: Someone) -> None:
    """To Essential at €49.00, planned for the end of the period."""
    price, version = catalog.offer("essential", Cycle.MONTHLY), subscriptions.held(who.vendor_id).version
    assert price is not None
    end_reading()
    by = actor.user(who.user_id, who.name)
    change_flows.change_tier(who.vendor_id, price.id, When.NEXT, actor=by, base_version=version)


def test_by_transfer_it_is_what_the_proforma_will_ask_for(client: FlaskClient, bank: Flask, travel: Travel) -> None:
    """€99.00: at 19 % €117.81, at 21 % (€20.79) €119.79."""
    steps.change(legal_country="DE")
    rate("DE", 1900, clock.business().date())
    who = steps.payer()
    people.sign_in(client, who.email, PASSWORD)
    steps.approves(steps.orders(who))
    travel.on(days=15)
    steps.tick()
    assert "Next transfer: €117.81, due on 28 February 2027" in billing(client, who.code)
    with counted(db.engine) as seen:
        billing(client, who.code)
    assert len(seen) <= 6, "as many as for any other vendor (P9)"
    rate("DE", 2100, date(2027, 2, 28))
    page = billing(client, who.code)
    assert "Next transfer: €119.79, due on 28 February 2027" in page and "€99.00 and €20.79 tax." in page
    steps.lives_on(travel, days=17, step=24 * 17)
    asked = db.session.scalars(select(BankTransfer.asked_minor).order_by(BankTransfer.id.desc()).limit(1)).one()
    assert asked == 119_79


def rate(country: str, rate_bp: int, start: date) -> None:
    with unit_of_work():
        tax_table.add(country, "VAT", rate_bp, start, actor=actor.SYSTEM, now=clock.business())


DAY = date(2027, 2, 28)
GERMAN = Rate("DE", "", 1900, date(2027, 1, 1))


@pytest.mark.parametrize(
    ("last", "net", "wanted"),
    [
        (LikeLast(99_00, 18_81, (1900,)), 49_00, 9_31),  # 49.00 * 0.19
        (LikeLast(99_00, 18_80, (1900,)), 99_00, 18_80),  # the same again as Stripe rounded it
        (LikeLast(99_00, 9_78, (900, 88)), 49_00, 4_84),  # 49.00 * 0.09 = 4.41, 49.00 * 0.0088 = 0.43
        (LikeLast(99_00, 0, ()), 49_00, 0),  # nothing was charged, or it lies in the price
        (LikeLast(99_00, 9_50, None), 49_00, None),  # some of it bore no tax: which, is not known
        (LikeLast(99_00, 9_50, None), 99_00, 9_50),
        (LikeLast(0, 0, (1900,)), 99_00, 18_81),  # a trial's empty invoice
    ],
)
def test_as_on_the_last_invoice(last: LikeLast, net: int, wanted: int | None) -> None:
    assert last.on(net, DAY) == wanted


@pytest.mark.parametrize(
    ("country", "vat_id", "table", "wanted"),
    [
        ("DE", "", (GERMAN,), 18_81),
        ("", "", (GERMAN,), 18_81),  # an unknown country counts as the operator's
        ("FR", "FR40303265045", (GERMAN,), 0),  # reverse charge
        ("FR", "", (GERMAN,), 18_81),
        ("US", "", (GERMAN,), 0),
        ("DE", "", (), 0),
        ("DE", "", (Rate("DE", "", 1900, DAY + timedelta(days=1)),), 0),
    ],
)
def test_as_the_operators_table_says(country: str, vat_id: str, table: tuple[Rate, ...], wanted: int) -> None:
    """19 % of 99.00 are 18.81."""
    assert ByTable("DE", country, vat_id, table).on(99_00, DAY) == wanted
