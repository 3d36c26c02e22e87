"""A route that declares a feature opens only where the plan has it, for people and for programs (LIM-8)."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from portal.api import usage as usage_api
from portal.web.kit import audience
from portal.web.vendor import dashboard
from tests.support import people
from tests.support.people import text_of
from tests.support.programs import bearer, key

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture(params=[("api_access", None), ("analytics", "advanced")])
def gated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The dashboard, as if it were a page of this feature."""
    feature, level = request.param
    declared = audience.of(dashboard.index)
    assert declared is not None
    monkeypatch.setattr(dashboard.index, audience.ATTRIBUTE, replace(declared, feature=feature, level=level))
    yield "/dashboard"


def test_who_has_the_feature_sees_the_page(client: FlaskClient, gated: str) -> None:
    alice = people.register(tier="business")
    people.sign_in(client, alice.email)
    assert client.get(gated).status_code == 200


def test_who_lacks_it_is_told_which_plan_has_it(client: FlaskClient, gated: str) -> None:
    """Tried once without the check in signed_in: 200."""
    alice = people.register(tier="essential")
    people.sign_in(client, alice.email)
    answer = client.get(gated)
    assert answer.status_code == 403
    words = text_of(answer)
    assert "is not in your plan" in words and "It comes with" in words
    partial = client.get(gated, headers={"HX-Request": "true", "HX-Request-Type": "partial"})
    assert partial.status_code == 403 and "It comes with" in text_of(partial)


def test_a_program_is_told_the_same(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = people.register(tier="business")
    view = usage_api.now
    declared = audience.of(view)
    assert declared is not None
    proof = {"Authorization": bearer(key(alice.vendor_id))["Authorization"]}
    assert client.get("/api/v1/usage", headers=proof).status_code == 200
    monkeypatch.setattr(view, audience.ATTRIBUTE, replace(declared, feature="support", level="dedicated"))
    answer = client.get("/api/v1/usage", headers=proof)
    assert answer.status_code == 403
    told = answer.get_json()
    assert (told["code"], told["feature"], told["level"], told["needed"]) == (
        "feature_missing",
        "support",
        "priority",
        "dedicated",
    )
    assert told["upgrade"] is None, "Enterprise has it, which cannot be bought at once"
