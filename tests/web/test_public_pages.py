"""The front page, the prices, the local mailbox and the operator's colour (ACC-1, NOT-2, GEN-1)."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from portal.catalog.models import SubscriptionTier
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.settings import service as settings
from tests.support import people
from tests.support.people import text_of


def cards(client: FlaskClient, path: str = "/pricing") -> dict[str, str]:
    """The words of each plan's card by its code."""
    page = client.get(path).get_data(as_text=True)
    found = re.findall(r'<article class="[^"]*" id="plan-([\w-]+)">(.*?)</article>', page, re.S)
    return {code: " ".join(re.sub(r"<[^>]+>", " ", body).split()) for code, body in found}


def test_the_front_page_leads_to_the_prices(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert 'href="/pricing"' in answer.get_data(as_text=True)
    # Essential is the cheapest, at 49 a month.
    assert "14 days free. No card needed. Then from €49 a month." in text_of(answer)


def test_every_public_tier_is_shown_with_its_price(client: FlaskClient) -> None:
    shown = cards(client)
    assert list(shown) == ["essential", "professional", "business", "enterprise"]
    assert "€49 per month" in shown["essential"] and "Orders: 100 a month" in shown["essential"]
    assert "500 credits a month" in shown["essential"]
    assert "€99 per month" in shown["professional"] and "Products: unlimited" in shown["professional"]
    assert "€199 per month" in shown["business"]
    assert "Custom" in shown["enterprise"] and "€" not in shown["enterprise"]


def test_a_year_costs_ten_months(client: FlaskClient) -> None:
    shown = cards(client, "/pricing?cycle=yearly")
    # 49 × 10 = 490; 490 / 12 = 40.83 a month, cent for cent rounded down.
    assert "€490 per year" in shown["essential"] and "€40.83 a month" in shown["essential"]
    # 99 × 10 = 990; 990 / 12 = 82.50.
    assert "€990 per year" in shown["professional"] and "€82.50 a month" in shown["professional"]
    assert "2 months free" in text_of(client.get("/pricing"))
    assert "€49 per month" in cards(client, "/pricing?cycle=weekly")["essential"]


def test_each_card_says_what_it_adds_to_its_neighbour(client: FlaskClient) -> None:
    shown = cards(client)["professional"]
    assert "Everything in Essential, and" in shown
    assert "Custom domain" in shown and "Your own branding" in shown and "Support: Priority" in shown
    business = cards(client)["business"]
    # Both know no limit of products and have priority support, so Business does not claim them as gains.
    assert "Products" not in business and "Priority" not in business and "API access" in business


def test_the_comparison_has_a_word_for_every_tier(client: FlaskClient) -> None:
    words = text_of(client.get("/pricing"))
    assert "Orders 100 a month 500 a month 2,000 a month Unlimited" in words
    assert "Credits a month 500 2,000 10,000 25,000" in words


def test_a_card_leads_to_sign_up_with_its_tier(client: FlaskClient) -> None:
    page = client.get("/pricing?cycle=yearly").get_data(as_text=True)
    assert 'href="/sign-up?tier=business&amp;cycle=yearly"' in page
    assert "/sign-up?tier=enterprise" not in page


def test_enterprise_leads_to_a_question(client: FlaskClient) -> None:
    page = client.get("/pricing")
    assert "How do I ask for a plan of my own?" in text_of(page)
    assert 'href="/contact?tier=enterprise"' in page.get_data(as_text=True)


def test_the_support_address_stands_at_the_foot_where_there_is_one(client: FlaskClient) -> None:
    with unit_of_work():
        settings.change("support_email", "help@example.com", actor=SYSTEM, now=clock.business())
    assert 'href="mailto:help@example.com"' in client.get("/pricing").get_data(as_text=True)


def test_hidden_and_retired_tiers_are_not_shown(client: FlaskClient) -> None:
    with unit_of_work() as session:
        tiers = {tier.code: tier for tier in session.scalars(select(SubscriptionTier))}
        tiers["business"].is_public = False
        tiers["enterprise"].retired_at = clock.business()
    assert list(cards(client)) == ["essential", "professional"]


def test_an_empty_catalog_is_said(app: Flask) -> None:
    answer = app.test_client().get("/pricing")
    assert answer.status_code == 200
    assert "No plan is offered at the moment" in text_of(answer)
    assert app.test_client().get("/").status_code == 200


def test_the_prices_cost_few_queries(client: FlaskClient) -> None:
    client.get("/pricing")
    statements: list[str] = []
    engine = db.engine

    def watch(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(engine, "before_cursor_execute", watch)
    try:
        client.get("/pricing")
    finally:
        event.remove(engine, "before_cursor_execute", watch)
    reads = [s for s in statements if s.lstrip().upper().startswith(("SELECT", "WITH"))]
    assert len(reads) <= 3


def test_kept_mails_can_be_read(client: FlaskClient) -> None:
    people.register()
    jobs.run_all()
    assert "Confirm your email address alice@example.com" in text_of(client.get("/mailbox"))
    mail_id = db.session.scalars(select(SentMail.id).where(SentMail.kind == "verification")).one()
    page = client.get(f"/mailbox/{mail_id}")
    assert re.search(r'<a href="http://localhost/verify/[^"]+"', page.get_data(as_text=True))
    html = client.get(f"/mailbox/{mail_id}/html")
    assert html.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "Confirm my address" in html.get_data(as_text=True)


def test_the_mailbox_has_pages(client: FlaskClient) -> None:
    for i in range(14):
        people.register(f"p{i}@example.com", business=f"Shop {i}")
    jobs.run_all()
    first = client.get("/mailbox").get_data(as_text=True)
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    second = client.get(following[1].replace("&amp;", "&")).get_data(as_text=True)
    # Two mails for each of 14 people: 25 on the first page, 3 on the second.
    assert (first.count("/mailbox/"), second.count("/mailbox/")) == (25, 3)
    assert client.get("/mailbox?at=nonsense").status_code == 404


@pytest.mark.parametrize(("name", "value"), [("app_env", "production"), ("smtp_host", "mail.example.com")])
def test_with_a_mail_server_or_in_production_there_is_no_mailbox(
    client: FlaskClient, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.register()
    jobs.run_all()
    monkeypatch.setattr(client.application.extensions["portal_config"], name, value)
    for path in ("/mailbox", "/mailbox/1", "/mailbox/1/html"):
        assert client.get(path).status_code == 404


def test_a_mail_that_does_not_exist_is_not_found(client: FlaskClient) -> None:
    assert client.get("/mailbox/999").status_code == 404


def test_the_operators_colour_reaches_every_page(client: FlaskClient) -> None:
    with unit_of_work():
        settings.change("accent", "#0a7f5a", actor=SYSTEM, now=clock.business())
    assert 'href="/brand.css?v=0a7f5a"' in client.get("/pricing").get_data(as_text=True)
    assert client.get("/brand.css?v=0a7f5a").get_data(as_text=True) == ":root{--brand-accent:#0a7f5a}\n"
