"""GET /api/v1/auth/plans: the pricing page for programs (ACC-1)."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.catalog.models import SubscriptionTier
from portal.kit.unit_of_work import unit_of_work


@pytest.mark.parametrize("path", ["/api/v1/auth/plans", "/api/v1/auth/plans/"])
def test_plans_are_listed_with_everything(client: FlaskClient, path: str) -> None:
    plans = client.get(path).get_json()["plans"]
    assert [plan["code"] for plan in plans] == ["essential", "professional", "business", "enterprise"]
    professional = plans[1]
    assert professional["limits"] == {"orders": 500, "products": None, "team_members": 3, "sites": 3, "storage_gb": 5}
    assert (professional["included_credits"], professional["trial_days"]) == (2000, 14)
    # 99.00 a month; a year is ten months, 990.00.
    prices = [(p["cycle"], p["amount_minor"], p["currency"]) for p in professional["prices"]]
    assert prices == [("monthly", 9900, "EUR"), ("yearly", 99000, "EUR")]
    assert [a["code"] for a in professional["included_addons"]] == ["custom-domain"]
    assert (plans[3]["self_service"], plans[3]["prices"]) == (False, [])


def test_hidden_tiers_are_not_listed(client: FlaskClient) -> None:
    with unit_of_work() as session:
        session.scalars(select(SubscriptionTier).where(SubscriptionTier.code == "business")).one().is_public = False
    assert "business" not in [plan["code"] for plan in client.get("/api/v1/auth/plans").get_json()["plans"]]


def test_an_empty_catalog_is_an_empty_list(app: Flask) -> None:
    assert app.test_client().get("/api/v1/auth/plans").get_json() == {"plans": []}


def test_an_unknown_path_is_a_problem_in_json(client: FlaskClient) -> None:
    answer = client.get("/api/v1/auth/nothing")
    assert (answer.status_code, answer.mimetype, answer.get_json()["code"]) == (
        404,
        "application/problem+json",
        "not_found",
    )
