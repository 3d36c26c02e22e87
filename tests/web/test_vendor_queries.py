"""How many statements the vendor's pages take (P9): the same number with one invoice and with a hundred."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from portal.billing.models import Invoice
from portal.identity.models import Membership
from portal.identity.rules import Role
from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import queries as subscriptions
from tests.support import people
from tests.support.people import Someone
from tests.web.test_vendor_checkout import PARTIAL

pytestmark = pytest.mark.usefixtures("unscoped")
QUIET = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Every statement that is sent while this block runs; transaction control left out."""
    seen: list[str] = []

    def note(_c: Any, _cur: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(QUIET):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def statements(catalog: Flask, client: FlaskClient) -> Callable[..., int]:
    """How many statements a page takes, the settings being known already."""

    def count(path: str, **headers: str) -> int:
        client.get(path, headers=headers)
        with counted(db.engine) as seen:
            assert client.get(path, headers=headers).status_code == 200
        return len(seen)

    return count


def invoiced(who: Someone, number: int) -> None:
    now = clock.business()
    with unit_of_work() as session:
        for i in range(number):
            session.add(
                Invoice(
                    vendor_id=who.vendor_id, provider="stripe", number=f"T-{i}", status="paid",
                    reason="subscription_cycle",
                    currency="EUR", subtotal_minor=9900, tax_minor=0, total_minor=9900, due_minor=9900, paid_minor=9900,
                    issued_at=now - timedelta(days=30 * i), stripe_invoice_id=f"in_{i}",
                )
            )  # fmt: skip


@pytest.mark.parametrize("invoices", [1, 25, 100])
def test_the_billing_page_takes_six_statements(
    client: FlaskClient, statements: Callable[..., int], invoices: int
) -> None:
    who = people.sign_up(client)
    invoiced(who, invoices)
    # Who is at the door; the plan with pending change and balance; meters; invoices; the add-ons that
    # it has, and those that it can add.
    assert statements(f"/vendor/{who.code}/billing") == 6


def test_the_switch_between_vendors_costs_no_statement(client: FlaskClient, statements: Callable[..., int]) -> None:
    who = people.sign_up(client)
    other = people.register("bob@example.com", business="Bobs Books")
    with unit_of_work() as session:
        row = Membership(vendor_id=other.vendor_id, user_id=who.user_id, role=Role.MEMBER, created_at=clock.business())
        session.add(row)
    page = client.get(f"/vendor/{who.code}/billing").get_data(as_text=True)
    assert "Bobs Books" in page and f'href="/vendor/{other.code}/billing"' in page
    assert statements(f"/vendor/{who.code}/billing") == 6
    assert statements("/dashboard") == 4
    assert statements(f"/vendor/{who.code}/billing/credits", **PARTIAL) == 2


@pytest.mark.parametrize("name", ["plan-card", "meters", "invoices-card", "credits", "credits-card"])
def test_a_fragment_takes_two(client: FlaskClient, statements: Callable[..., int], name: str) -> None:
    who = people.sign_up(client)
    invoiced(who, 25)
    held = subscriptions.held(who.vendor_id)
    period = f"?period={held.period_start:%Y-%m-%dT%H:%M:%S.%f}%2B00:00/{held.period_end:%Y-%m-%dT%H:%M:%S.%f}%2B00:00"
    path = f"/vendor/{who.code}/billing/{name}{period if name == 'meters' else ''}"
    assert statements(path, **PARTIAL) == 2


def test_the_meters_region_carries_its_period_along(client: FlaskClient) -> None:
    who = people.sign_up(client)
    page = client.get(f"/vendor/{who.code}/billing").get_data(as_text=True)
    start = subscriptions.held(who.vendor_id).period_start
    assert f"/vendor/{who.code}/billing/meters?period={start:%Y-%m-%dT%H:%M:%S.%f}%2B00:00/" in page


def test_the_dashboard_and_the_plans(client: FlaskClient, statements: Callable[..., int]) -> None:
    who = people.sign_up(client)
    # Who is at the door, plan, meters, history.
    assert statements("/dashboard") == 4
    # Who is at the door, plan, meters, three for all tiers, the price agreed with this vendor.
    assert statements(f"/vendor/{who.code}/plans") == 7
