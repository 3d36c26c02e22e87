"""What each role may do (ACC-8): the table in docs/roles.md is what the routes declare, and what they do."""

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.identity.rules import Role, at_least
from portal.web.kit import audience, roles
from portal.web.kit.audience import Side
from tests.support import people, teams
from tests.test_routes import Route, of_side, routes

__all__ = ["routes"]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "roles.md"


def test_the_document_says_what_the_routes_declare(built_app: Flask) -> None:
    told = DOCUMENT.read_text()
    assert told == roles.page(built_app), "write it anew: flask --app wsgi roles > docs/roles.md"


def test_every_route_of_a_vendor_stands_in_it_with_words(built_app: Flask) -> None:
    found = roles.rights(built_app)
    declared = {
        rule.rule
        for rule in built_app.url_map.iter_rules()
        if (held := audience.of(built_app.view_functions[rule.endpoint])) and held.side == Side.VENDOR
    }
    assert {right.path for right in found} == declared
    assert [right.path for right in found if len(right.does) < 8] == []


#: What must not slip: the least role of what the owner alone may do, and of what everybody may.
FIXED = {
    "vendor_team.invite": Role.OWNER,
    "vendor_team.send_again": Role.OWNER,
    "vendor_team.withdraw": Role.OWNER,
    "vendor_team.change_role": Role.OWNER,
    "vendor_team.remove": Role.OWNER,
    "vendor_team.hand_over": Role.OWNER,
    "vendor_ending.form": Role.OWNER,
    "vendor_ending.cancel": Role.OWNER,
    "vendor_ending.resume": Role.MANAGER,
    "vendor_plans.apply": Role.MANAGER,
    "vendor_methods.add": Role.MANAGER,
    "vendor_transfer.proof": Role.MANAGER,
    "vendor_team.index": Role.MEMBER,
    "vendor_team.leave": Role.MEMBER,
    "vendor_support.ask": Role.MEMBER,
    "vendor_billing.index": Role.MEMBER,
}


@pytest.mark.parametrize("endpoint", FIXED)
def test_what_a_role_is_for(built_app: Flask, endpoint: str) -> None:
    declared = audience.of(built_app.view_functions[endpoint])
    assert declared is not None and declared.role == FIXED[endpoint]


def test_keys_and_webhooks_are_the_owners(built_app: Flask) -> None:
    doors = [e for e in built_app.view_functions if e.startswith("vendor_api_keys.")]
    assert doors
    for endpoint in doors:
        declared = audience.of(built_app.view_functions[endpoint])
        assert declared is not None and declared.role == Role.OWNER, endpoint


@pytest.mark.parametrize("role", [Role.MANAGER, Role.MEMBER])
def test_every_route_answers_each_role_as_the_table_says(routes: list[Route], client: FlaskClient, role: Role) -> None:
    """Every route × role, asked for through the door: refused exactly where the table says no. Where the plan refuses
    the owner too, it refuses everybody.

    Tried once with the check of the role taken out of the guard: every route that is not everybody's was found.
    """
    owner = people.sign_up(client, tier="business")
    teams.joins(owner, role=role)
    other = client.application.test_client()
    people.sign_in(other, "carol@kilim.example")
    # Leaving comes last: after it nothing of this vendor is there any more.
    for route in sorted(of_side(routes, Side.VENDOR), key=lambda route: route.endpoint == "vendor_team.leave"):
        status = route.ask(other, code=owner.code, vendor_id=owner.vendor_id).status_code
        owners = route.ask(client, code=owner.code, vendor_id=owner.vendor_id).status_code
        allowed = at_least(role, route.declared.role)
        assert status < 500 and (status == 403) == (not allowed or owners == 403), (route, status, owners)


def test_the_navigation_leaves_out_what_a_role_may_not_open(client: FlaskClient) -> None:
    owner = people.sign_up(client, tier="business")
    teams.joins(owner)
    other = client.application.test_client()
    people.sign_in(other, "carol@kilim.example")
    there = f"/vendor/{owner.code}/billing"
    link = f'href="/vendor/{owner.code}/api-keys"'
    assert link in client.get(there).get_data(as_text=True)
    page = other.get(there).get_data(as_text=True)
    assert link not in page and f'href="/vendor/{owner.code}/team"' in page
    assert "Cancel subscription" not in page and "End the trial" not in page
