"""The link of an invitation (ACC-8): whoever opens it is led by one step into the team, or told kindly why not."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from portal.accounts import invitations
from portal.identity.models import Invitation, Membership, User, Vendor
from portal.kit import clock, jobs, tenancy
from portal.kit.actor import user as as_actor
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.rules import Status
from tests.support import people, teams
from tests.support.people import PASSWORD, Someone, post, text_of, try_sign_in
from tests.support.travel import Travel
from tests.web.test_public_links import mailed
from tests.web.test_vendor_billing import stands


@pytest.fixture
def alice(client: FlaskClient) -> Iterator[Someone]:
    """An owner of three seats; nobody is signed in."""
    with tenancy.unscoped("a test"):
        yield people.register()


def link(invitation: Invitation) -> str:
    return f"/join/{teams.token(invitation)}"


def team_of(owner: Someone) -> set[str]:
    db.session.rollback()
    rows = db.session.execute(select(User.email).join(Membership).where(Membership.vendor_id == owner.vendor_id))
    return {row.email for row in rows}


def fills(client: FlaskClient, where: str, name: str = "Carol Colleague", password: str = PASSWORD) -> TestResponse:
    return post(client, where, {"name": name, "password": password}, page=where)


def test_somebody_new_makes_a_login_and_is_in(client: FlaskClient, alice: Someone) -> None:
    teams.invite(alice, role="manager")
    where = mailed("invitation")
    words = text_of(client.get(where))
    assert "Join Kilim House Alice Owner invites you to the team." in words
    assert "carol@kilim.example" in words and "Manager" in words and "22 January 2027" in words
    assert team_of(alice) == {"alice@example.com"}, "opening changes nothing"
    done = fills(client, where)
    assert (done.status_code, done.location) == (303, "/dashboard")
    words = text_of(client.get("/dashboard"))
    assert "Welcome to the team of Kilim House." in words and "Carol Colleague" in words
    carol = db.session.scalars(select(User).where(User.email == "carol@kilim.example")).one()
    assert carol.email_verified_at is not None, "no second mail to confirm the address"
    jobs.run_all()
    assert try_sign_in(client.application.test_client(), "carol@kilim.example", PASSWORD).status_code == 303


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("", PASSWORD, "Enter your name."),
        ("Carol", "", "Choose a password."),
        ("Carol", "short", "at least 10"),
        ("Carol", "carol@kilim.example", "easy to guess"),
        ("Carol\x00", PASSWORD, "characters that cannot be used"),
        ("x" * 121, PASSWORD, "at most 120"),
    ],
)
def test_what_is_wrong_is_said_at_the_field(
    client: FlaskClient, alice: Someone, name: str, password: str, says: str
) -> None:
    where = link(teams.invite(alice))
    answer = fills(client, where, name, password)
    assert answer.status_code == 422 and says.lower() in text_of(answer).lower()
    assert team_of(alice) == {"alice@example.com"}


def test_a_known_person_signs_in_and_comes_back(client: FlaskClient, alice: Someone) -> None:
    people.login("carol@kilim.example")
    where = link(teams.invite(alice))
    page = client.get(where)
    assert "There is a login for this address." in text_of(page)
    assert f'href="/sign-in?next={where}"' in page.get_data(as_text=True)
    assert fills(client, where).location == f"/sign-in?next={where}", "no second login for the same address"
    assert people.sign_in(client, "carol@kilim.example", next=where).location == where
    assert "Join as Carol Colleague" in text_of(client.get(where))
    assert post(client, where, {}).location == "/dashboard"
    assert team_of(alice) == {"alice@example.com", "carol@kilim.example"}


def test_the_link_survives_the_second_step_of_signing_in(client: FlaskClient, alice: Someone) -> None:
    """The challenge keeps where one wanted to go; what the code does is tried in test_public_second_factor."""
    from portal.identity.models import SecondFactor

    carol = people.login("carol@kilim.example")
    with unit_of_work() as session:
        now = clock.business()
        session.add(SecondFactor(user_id=carol.id, secret="sealed", created_at=now, confirmed_at=now))
    where = link(teams.invite(alice))
    asked = try_sign_in(client, carol.email, PASSWORD, next=where)
    assert asked.status_code == 303 and str(asked.location).startswith("/sign-in/code")
    assert "/join/" in str(asked.location) or "/join/" in client.get(str(asked.location)).get_data(as_text=True)


def test_signed_in_as_somebody_else_is_told_and_may_switch(client: FlaskClient, alice: Someone) -> None:
    people.sign_up(client, email="bob@other.example", business="Other House", name="Bob Other")
    where = link(teams.invite(alice))
    words = text_of(client.get(where))
    assert "You are signed in as bob@other.example" in words and "sent to carol@kilim.example" in words
    assert post(client, where, {}).status_code == 403
    assert "bob@other.example" not in team_of(alice)
    assert post(client, f"{where}/switch", {}).location == where
    assert "Make my login and join" in text_of(client.get(where))
    assert client.get("/profile").status_code == 303, "signed out"


def test_used_twice(client: FlaskClient, alice: Someone) -> None:
    where = link(teams.invite(alice))
    fills(client, where)
    assert client.get(where).location == "/dashboard", "who accepted it is simply led in"
    assert post(client, where, {}).location == "/dashboard"
    stranger = client.application.test_client()
    answer = stranger.get(where)
    assert answer.status_code == 409 and "accepted already" in text_of(answer)
    again = post(stranger, where, {"name": "Eve", "password": PASSWORD})
    assert again.status_code == 409 and len(team_of(alice)) == 2


def test_expired(client: FlaskClient, alice: Someone, travel: Travel) -> None:
    where = link(teams.invite(alice))
    travel.on(days=7, seconds=1)
    for answer in (client.get(where), post(client, where, {"name": "Carol", "password": PASSWORD})):
        assert answer.status_code == 409 and "more than seven days old. Ask Alice Owner" in text_of(answer)
    assert len(team_of(alice)) == 1


def test_withdrawn(client: FlaskClient, alice: Someone) -> None:
    invitation = teams.invite(alice)
    with unit_of_work():
        actor = as_actor(alice.user_id, alice.name)
        invitations.withdraw(alice.vendor_id, invitation.id, actor=actor, now=clock.business())
    answer = client.get(link(invitation))
    assert answer.status_code == 409 and "was withdrawn. Ask Alice Owner for a new one" in text_of(answer)


@pytest.mark.parametrize("token", ["x", "WzEsMV0.forged", "a" * 900])
def test_forged(client: FlaskClient, alice: Someone, token: str) -> None:
    teams.invite(alice)
    for answer in (client.get(f"/join/{token}"), post(client, f"/join/{token}", {})):
        assert answer.status_code == 404 and "no longer works" in text_of(answer)


def test_a_member_who_is_invited_under_a_second_address(client: FlaskClient, alice: Someone) -> None:
    carol = teams.joins(alice)
    where = link(teams.invite(alice, "second@kilim.example"))
    with unit_of_work():
        row = db.session.get_one(User, carol.id)
        row.email = row.email_key = "second@kilim.example"
    people.sign_in(client, "second@kilim.example")
    assert post(client, where, {}).location == "/dashboard"
    assert "You are in the team of Kilim House already." in text_of(client.get("/dashboard"))
    assert len(team_of(alice)) == 2


@pytest.mark.parametrize(
    ("standing", "status", "says"),
    [(Status.SUSPENDED, 402, "no active plan now"), (Status.CANCELLED, 402, "no active plan now")],
)
def test_a_closed_vendor(client: FlaskClient, alice: Someone, standing: Status, status: int, says: str) -> None:
    where = link(teams.invite(alice))
    stands(alice, standing)
    for answer in (client.get(where), post(client, where, {"name": "Carol", "password": PASSWORD})):
        assert answer.status_code == status and says in text_of(answer)
    assert db.session.scalar(select(func.count()).select_from(User)) == 1
    stands(alice, Status.ACTIVE)
    assert fills(client, where).status_code == 303, "the invitation has kept"


@pytest.mark.parametrize("what", ["owner", "vendor"])
def test_a_blocked_vendor_or_owner(client: FlaskClient, alice: Someone, what: str) -> None:
    where = link(teams.invite(alice))
    with unit_of_work():
        row = (
            db.session.get_one(Vendor, alice.vendor_id) if what == "vendor" else db.session.get_one(User, alice.user_id)
        )
        row.blocked_at = clock.business()
    answer = client.get(where)
    assert answer.status_code == 403 and "Kilim House is closed at the moment. Ask Alice Owner" in text_of(answer)


def test_no_seat_when_the_plan_has_become_smaller(client: FlaskClient, alice: Someone) -> None:
    from tests.accounts.test_invitations import downgraded

    where = link(teams.invite(alice))
    downgraded(alice)
    for answer in (client.get(where), post(client, where, {"name": "Carol", "password": PASSWORD})):
        assert answer.status_code == 403 and "has no seat left. Ask Alice Owner for one" in text_of(answer)
    assert len(team_of(alice)) == 1


def test_somebody_with_two_businesses_switches_between_roles(client: FlaskClient, alice: Someone) -> None:
    bob = people.sign_up(client, email="bob@other.example", business="Other House", name="Bob Other")
    post(client, link(teams.invite(alice, bob.email)), {})
    words = text_of(client.get(f"/vendor/{alice.code}/billing"))
    assert "Kilim House Member" in words and "Other House Owner" in words
