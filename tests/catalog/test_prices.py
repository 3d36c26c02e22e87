"""Prices are versioned (CAT-2): a changed price is a new row, and what was bought stays readable."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal.audit.models import AuditEntry
from portal.catalog import queries, service
from portal.catalog.models import TierPrice
from portal.catalog.rules import Cycle, Price
from portal.kit.actor import staff
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.unit_of_work import unit_of_work
from tests.support.tenants import make_vendor
from tests.support.travel import Travel

ADA = staff(7, "Ada")
LATER = Travel.START + timedelta(days=30)


def tier_id(code: str = "professional") -> int:
    tier = queries.tier_by_code(code)
    assert tier is not None
    return tier.id


def change(amount: int, *, cycle: Cycle = Cycle.MONTHLY, currency: str = "EUR", vendor_id: int | None = None) -> Price:
    with unit_of_work():
        return service.change_price(tier_id(), cycle, currency, amount, vendor_id=vendor_id, actor=ADA, now=LATER)


def offered(vendor_id: int | None = None, *, code: str = "professional", currency: str | None = None) -> int | None:
    price = queries.offer(code, Cycle.MONTHLY, currency, vendor_id)
    return price.amount.minor if price else None


def rows(cycle: Cycle = Cycle.MONTHLY) -> list[TierPrice]:
    statement = select(TierPrice).where(TierPrice.tier_id == tier_id(), TierPrice.cycle == cycle)
    return list(db.session.scalars(statement.order_by(TierPrice.id)))


def test_a_changed_price_closes_the_old_row_and_opens_a_new_one(catalog: Flask) -> None:
    old = queries.offer("professional", Cycle.MONTHLY)
    assert old is not None
    new = change(10900)
    assert offered() == 10900
    assert [(row.amount_minor, row.valid_until) for row in rows()] == [(9900, LATER), (10900, None)]
    assert rows()[1].valid_from == LATER
    kept = queries.price(old.id)
    assert kept is not None
    assert (kept.amount.minor, new.amount.minor) == (9900, 10900)


def test_the_same_price_again_changes_nothing(catalog: Flask) -> None:
    before = queries.offer("professional", Cycle.MONTHLY)
    assert change(9900) == before
    assert len(rows()) == 1
    assert db.session.scalars(select(AuditEntry).where(AuditEntry.action == "catalog.price_changed")).all() == []


def test_the_other_cycle_keeps_its_price(catalog: Flask) -> None:
    change(10900)
    assert [(row.amount_minor, row.valid_until) for row in rows(Cycle.YEARLY)] == [(99000, None)]


def test_another_currency_is_sold_beside_the_first(catalog: Flask) -> None:
    change(10500, currency="USD")
    assert (offered(currency="EUR"), offered(currency="USD"), offered(currency="GBP")) == (9900, 10500, None)
    assert offered() == 9900, "without a currency the one that was priced first"
    assert queries.currencies() == ["EUR", "USD"]


def test_an_agreed_price_is_seen_by_its_vendor_alone(catalog: Flask) -> None:
    mine, other = make_vendor("kilim-house"), make_vendor("tea-house")
    change(7500, vendor_id=mine)
    assert (offered(mine), offered(other), offered()) == (7500, 9900, 9900)
    tier = queries.tier_by_code("professional")
    assert tier is not None
    assert [price.amount.minor for price in tier.prices] == [9900, 99000]


def test_agreeing_another_price_closes_the_first_agreement(catalog: Flask) -> None:
    mine = make_vendor()
    change(7500, vendor_id=mine)
    change(70000, cycle=Cycle.YEARLY, vendor_id=mine)
    agreed = db.session.scalars(select(TierPrice).where(TierPrice.vendor_id == mine).order_by(TierPrice.id))
    assert [(row.amount_minor, row.valid_until is None) for row in agreed] == [(7500, False), (70000, True)]
    assert offered(mine) == 9900


def test_contact_sales_tiers_are_bought_by_agreement_only(catalog: Flask) -> None:
    mine = make_vendor()
    with unit_of_work():
        service.change_price(tier_id("enterprise"), Cycle.MONTHLY, "EUR", 50000, vendor_id=mine, actor=ADA, now=LATER)
    assert offered(mine, code="enterprise") == 50000
    assert offered(code="enterprise") is None


def test_a_retired_tier_is_not_offered_but_found(catalog: Flask) -> None:
    with unit_of_work():
        assert service.retire_tier(tier_id(), actor=ADA, now=LATER) is True
        assert service.retire_tier(tier_id(), actor=ADA, now=LATER) is False
    assert offered() is None
    tier = queries.tier_by_code("professional")
    assert tier is not None
    assert (tier.is_active, queries.tier_by_id(tier.id)) == (False, tier)
    with pytest.raises(Conflict):
        change(5000)


def test_who_changed_the_price_is_on_record(catalog: Flask) -> None:
    change(10900)
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "catalog.price_changed")).one()
    assert (entry.actor_label, entry.data["tier"], entry.data["amount_minor"]) == ("Ada", "professional", 10900)


@pytest.mark.parametrize(
    ("amount", "currency", "field"), [(-1, "EUR", "amount"), (100_000_000, "EUR", "amount"), (100, "euro", "currency")]
)
def test_what_cannot_be_a_price_is_refused_at_its_field(catalog: Flask, amount: int, currency: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        change(amount, currency=currency)
    assert refused.value.fields.keys() == {field}
    assert offered() == 9900


def test_unknown_tier_and_price_are_not_found(catalog: Flask) -> None:
    with pytest.raises(NotFound), unit_of_work():
        service.change_price(999, Cycle.MONTHLY, "EUR", 100, actor=ADA, now=LATER)
    assert queries.price(999) is None
    assert queries.price_by_stripe_id("price_nobody") is None
    assert queries.tier_by_code("gold") is None


def test_the_database_itself_refuses_two_live_prices(catalog: Flask) -> None:
    with pytest.raises(IntegrityError), unit_of_work() as session:
        session.add(
            TierPrice(tier_id=tier_id(), cycle="monthly", currency="EUR", amount_minor=1, valid_from=Travel.START)
        )
