"""Taxes that Stripe worked out: asked for at Checkout, kept with the invoice."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.billing import stripe_invoice
from portal.billing.models import Invoice, InvoiceTax
from portal.billing.rules import tax_on
from portal.catalog import queries as catalog_queries
from portal.catalog.rules import Cycle
from portal.gateways import stripe
from portal.identity.models import Vendor
from portal.kit import actor, clock, jobs
from portal.kit.db import db
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.settings import service as settings
from portal.subscriptions import change_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.rules import When
from tests.support import people
from tests.support.people import text_of
from tests.support.servers import Sandbox
from tests.support.stories import lives_on, settle
from tests.support.travel import Travel
from tests.web.test_vendor_billing_details import sends
from tests.web.test_vendor_checkout import owner, pays_through

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def taxed(catalog: Flask) -> Iterator[None]:
    """The operator lets Stripe work out taxes."""
    with unit_of_work():
        settings.change("stripe_tax", "yes", actor=actor.SYSTEM, now=clock.business())
    yield


def test_without_an_address_it_is_asked_for_first(client: FlaskClient, sandbox: Sandbox, taxed: None) -> None:
    who = owner(client)
    answer = people.post(client, f"/vendor/{who.code}/billing/checkout", {"tier": "professional", "cycle": "monthly"})
    assert answer.status_code == 409
    assert "Add your billing address first" in text_of(answer)
    assert f"/vendor/{who.code}/billing-details?next=" in answer.get_data(as_text=True)


def test_what_stripe_charged_is_kept_with_its_rate(client: FlaskClient, sandbox: Sandbox, taxed: None, travel) -> None:
    who = owner(client)
    sends(client, who)
    travel.on(days=15)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    invoice = db.session.scalars(select(Invoice).where(Invoice.status == "paid", Invoice.total_minor > 0)).one()
    # Professional, €99.00 a month; Germany 19 %: 18.81.
    assert (invoice.subtotal_minor, invoice.tax_minor, invoice.total_minor) == (9900, 1881, 11781)
    rows = db.session.scalars(select(InvoiceTax).where(InvoiceTax.invoice_id == invoice.id)).all()
    assert [(r.label, r.country, r.category, r.rate_bp, r.base_minor, r.amount_minor) for r in rows] == [
        ("VAT", "DE", "S", 1900, 9900, 1881)
    ]
    ids = [row.id for row in rows]
    vendor = db.session.get_one(Vendor, who.vendor_id)
    end_reading()
    document = stripe.current().invoice(str(invoice.stripe_invoice_id))
    from portal.billing import service

    with unit_of_work():
        service.mirror(vendor.id, stripe_invoice.read(document))
    jobs.run_all()
    again = db.session.scalars(select(InvoiceTax.id).where(InvoiceTax.invoice_id == invoice.id)).all()
    assert list(again) == ids, "the same again writes nothing"


@pytest.mark.parametrize(
    ("reason", "amount", "category"),
    [("reverse_charge", 0, "AE"), ("zero_rated", 0, "Z"), ("not_collecting", 0, "O"), ("standard_rated", 190, "S")],
)
def test_a_tax_without_its_rate_is_read_from_the_amounts(reason: str, amount: int, category: str) -> None:
    # 190 of 1000 = 19.00 %.
    read = stripe_invoice.read_tax(
        {"amount": amount, "taxable_amount": 1000, "taxability_reason": reason, "tax_rate_details": {"tax_rate": "txr"}}
    )
    assert (read.category, read.rate_bp) == (category, 1900 if amount else 0)


@pytest.mark.thorough
def test_a_change_that_is_planned_keeps_the_tax(
    client: FlaskClient, sandbox: Sandbox, taxed: None, travel: Travel
) -> None:
    """What a schedule's phase does not name is unset, so both phases say again how the subscription is taxed."""
    who = owner(client)
    sends(client, who)
    travel.on(days=15)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    price = catalog_queries.offer("essential", Cycle.MONTHLY)
    assert price is not None
    version = subscriptions.held(who.vendor_id).version
    end_reading()
    owns = actor.user(who.user_id, who.name)
    change_flows.change_tier(who.vendor_id, price.id, When.NEXT, actor=owns, base_version=version)
    lives_on(sandbox, client, travel, days=32, step=48)
    renewal = db.session.scalars(select(Invoice).where(Invoice.reason == "subscription_cycle")).one()
    # Essential, 49.00 a month; Germany 19 %: 9.31.
    assert (renewal.subtotal_minor, renewal.tax_minor, renewal.total_minor) == (4900, 931, 5831)


def test_a_change_is_previewed_and_charged_with_its_tax(
    client: FlaskClient, sandbox: Sandbox, taxed: None, travel: Travel
) -> None:
    who = owner(client)
    sends(client, who)
    travel.on(days=15)
    client.get(pays_through(client, who))
    settle(sandbox, client)
    price = catalog_queries.offer("business", Cycle.MONTHLY)
    assert price is not None
    end_reading()
    shown = change_flows.preview_change(who.vendor_id, price.id, When.NOW)
    net = sum(amount.minor for _, amount in shown.lines)
    # 19 % of each line, rounded by itself.
    assert shown.tax.minor == sum(tax_on(amount.minor, 1900) for _, amount in shown.lines)
    assert shown.due.minor == net + shown.tax.minor
    version = subscriptions.held(who.vendor_id).version
    end_reading()
    change_flows.change_tier(
        who.vendor_id, price.id, When.NOW, actor=actor.SYSTEM, base_version=version, proration_at=shown.proration_at
    )
    settle(sandbox, client)
    charged = db.session.scalars(select(Invoice).where(Invoice.reason == "subscription_update")).one()
    assert (charged.total_minor, charged.tax_minor, charged.status) == (shown.due.minor, shown.tax.minor, "paid")
