"""Purchases: what was ordered, and changes of the plan that were paid at once; newest first, page by page (BIL-6)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.checkout.models import Purchase
from portal.kit import actor, clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import change_flows, queries
from portal.subscriptions.rules import When
from tests.reporting import paid
from tests.support import people
from tests.support.people import text_of
from tests.support.servers import Sandbox
from tests.support.stories import PASSWORD, Somebody, settle
from tests.web.test_vendor_queries import statements

__all__ = ["statements"]
pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def ada(client, sandbox, travel, scene) -> Somebody:
    """Professional for 99.00, bought on 16 February; now half of the month is over, and its owner is signed in."""

    def signed_in() -> Somebody:
        who = paid.pays_for(sandbox, client, travel)
        people.sign_in(client, who.email, PASSWORD)
        return who

    return scene("half a paid period, signed in", signed_in)


def page(client: FlaskClient, who: Somebody, query: str = "") -> str:
    answer = client.get(f"/vendor/{who.code}/purchases{query}")
    assert answer.status_code == 200
    return text_of(answer)


def changes_to(who: Somebody, tier: str, when: When) -> None:
    price = catalog.offer(tier, Cycle.MONTHLY)
    assert price is not None
    version = queries.held(who.id).version
    db.session.rollback()
    change_flows.change_tier(who.id, price.id, when, actor=actor.staff(1, "Grace"), base_version=version)


def bought(who: Somebody) -> list[tuple[str, str, int]]:
    db.session.rollback()
    rows = db.session.query(Purchase).filter_by(vendor_id=who.id).order_by(Purchase.id)
    return [(p.kind, p.description, p.amount_minor) for p in rows]


def test_an_order_is_shown_with_price_day_and_way(client: FlaskClient, ada: Somebody) -> None:
    told = page(client, ada)
    price = catalog.offer("professional", Cycle.MONTHLY)
    assert price is not None and price.stripe_price_id is not None and price.stripe_price_id in told
    assert "Professional Plan 16 Feb" in told and "Card, by Stripe" in told and "€99.00" in told


def test_a_change_that_is_paid_at_once_is_a_purchase_once(client: FlaskClient, sandbox: Sandbox, ada: Somebody) -> None:
    changes_to(ada, "business", When.NOW)
    settle(sandbox, client)
    settle(sandbox, client)
    # Half of 28 days is left: 199.00 / 2 - 99.00 / 2 = 99.50 - 49.50 = 50.00
    assert bought(ada) == [("subscription", "Professional", 9900), ("tier_change", "Business", 5000)]
    told = page(client, ada)
    assert told.index("Business Change of plan") < told.index("Professional Plan") and "€50.00" in told


def test_a_change_at_the_next_cycle_is_none(client: FlaskClient, sandbox: Sandbox, ada: Somebody) -> None:
    changes_to(ada, "essential", When.NEXT)
    settle(sandbox, client)
    assert bought(ada) == [("subscription", "Professional", 9900)]


def test_many_are_shown_page_by_page_at_the_same_cost(
    client: FlaskClient, ada: Somebody, statements: Callable[..., int]
) -> None:
    before = statements(f"/vendor/{ada.code}/purchases")
    now = clock.business()
    with unit_of_work() as session:
        for number in range(60):
            session.add(
                Purchase(
                    vendor_id=ada.id, kind="subscription", description=f"Thing {number}", currency="EUR",
                    amount_minor=100 + number, provider="transfer", paid_at=now - timedelta(days=200 + number),
                )
            )  # fmt: skip
    assert statements(f"/vendor/{ada.code}/purchases") == before <= 3
    seen, where = [], f"/vendor/{ada.code}/purchases"
    while where:
        html = client.get(where).get_data(as_text=True)
        seen += [word for word in html.split("<") if "Thing " in word]
        following = html.split('rel="next"')[1:]
        where = following[0].split('href="')[1].split('"')[0].replace("&amp;", "&") if following else ""
    assert len(seen) == 60 and len(set(seen)) == 60
    assert "Bank transfer" in page(client, ada)


def test_nothing_bought_yet_and_a_broken_page_address(client: FlaskClient) -> None:
    who = people.sign_up(client)
    answer = client.get(f"/vendor/{who.code}/purchases")
    assert "Nothing was bought yet" in text_of(answer)
    assert client.get(f"/vendor/{who.code}/purchases?page=nonsense").status_code == 404
