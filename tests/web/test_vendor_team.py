"""The team page (ACC-8): what each role sees, inviting with words at the field, and what a click changes at once."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal.accounts import invitations, team_queries
from portal.audit.models import AuditEntry
from portal.identity.models import ApiKey, Membership, SecondFactor, User
from portal.identity.rules import Role
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.rules import Status
from tests.support import people, teams
from tests.support.people import PASSWORD, Someone, post, text_of
from tests.support.travel import Travel
from tests.web.test_vendor_billing import stands
from tests.web.test_vendor_checkout import PARTIAL
from tests.web.test_vendor_queries import statements

__all__ = ["statements"]


@pytest.fixture
def alice(client: FlaskClient) -> Iterator[Someone]:
    """The owner of three seats, signed in."""
    who = people.sign_up(client)
    with tenancy.unscoped("a test"):
        yield who


def page(client: FlaskClient, who: Someone) -> str:
    answer = client.get(f"/vendor/{who.code}/team")
    assert answer.status_code == 200
    return text_of(answer)


def send(client: FlaskClient, who: Someone, path: str, **form: str) -> TestResponse:
    return post(client, f"/vendor/{who.code}/team/{path}", form)


def member_id(who: Someone, user: User) -> int:
    db.session.rollback()
    statement = select(Membership.id).where(Membership.vendor_id == who.vendor_id, Membership.user_id == user.id)
    return db.session.scalars(statement).one()


def as_(client: FlaskClient, email: str) -> FlaskClient:
    """Another browser, signed in as somebody else."""
    other = client.application.test_client()
    people.sign_in(other, email)
    return other


def test_the_owner_sees_everybody_with_what_there_is_to_know(client: FlaskClient, alice: Someone) -> None:
    carol = teams.joins(alice, role="manager")
    teams.invite(alice, "dave@kilim.example")
    with unit_of_work() as session:
        now = clock.business()
        session.add(SecondFactor(user_id=carol.id, secret="x", created_at=now, confirmed_at=now))
    words = page(client, alice)
    # Alice, Carol, and the invitation: three of three.
    assert "3 of 3 seats used" in words and "Full" in words and "See plans with more seats" in words
    assert "Alice Owner (you) alice@example.com Owner" in words
    assert "Carol Colleague carol@kilim.example Manager" in words and "Not lately On" in words
    assert (
        "dave@kilim.example Invited by Alice Owner Member Invited" in words
        and "Invitation valid until 22 Jan 2027" in words
    )


def test_a_member_sees_the_team_and_may_leave_it_and_nothing_more(client: FlaskClient, alice: Someone) -> None:
    teams.joins(alice)
    carols = as_(client, "carol@kilim.example")
    words = page(carols, alice)
    assert "Alice Owner" in words and "Carol Colleague (you)" in words and "Leave this team" in words
    for hidden in ("Invite somebody", "Last sign-in", "Two-step sign-in", "Remove", "Make owner"):
        assert hidden not in words
    assert "Leave this team" not in page(client, alice), "the owner stays"


def test_alone_and_without_limit(client: FlaskClient, alice: Someone) -> None:
    assert "You are alone here so far" in page(client, alice) and "1 of 3 seats used" in page(client, alice)


def test_inviting_closes_the_modal_and_wakes_list_and_seats(client: FlaskClient, alice: Someone) -> None:
    token = people.csrf_token(client)
    answer = client.post(
        f"/vendor/{alice.code}/team/invite",
        data={"csrf_token": token, "email": "Carol@Kilim.example", "role": "manager"},
        headers=PARTIAL,
    )
    assert answer.status_code == 200
    assert "modal:close" in answer.headers["HX-Trigger"] and "team-changed" in answer.headers["HX-Trigger"]
    region = client.get(f"/vendor/{alice.code}/team", headers=PARTIAL)
    assert "Carol@kilim.example" in text_of(region) and "seats used" not in text_of(region)
    assert "2 of 3 seats used" in text_of(client.get(f"/vendor/{alice.code}/team/seats", headers=PARTIAL))


def test_without_javascript_one_comes_back_to_the_list(client: FlaskClient, alice: Someone) -> None:
    answer = send(client, alice, "invite", email="carol@kilim.example", role="member")
    assert (answer.status_code, answer.location) == (303, f"/vendor/{alice.code}/team")
    assert "The invitation to carol@kilim.example is on its way." in page(client, alice)


@pytest.mark.parametrize(
    ("email", "role", "says"),
    [
        ("", "member", "Enter an email address."),
        ("nobody", "member", "Enter an email address such as name@example.com."),
        ("alice@example.com", "member", "This person is in your team already."),
        ("dave@kilim.example", "member", "This address is invited already."),
        ("carol@kilim.example", "owner", "Choose one of the options."),
        ("x" * 300, "member", "Use at most 254 characters."),
    ],
)
def test_what_is_wrong_is_said_at_the_field(
    client: FlaskClient, alice: Someone, email: str, role: str, says: str
) -> None:
    teams.invite(alice, "dave@kilim.example")
    answer = send(client, alice, "invite", email=email, role=role)
    assert answer.status_code == 422 and says in text_of(answer)
    assert f'value="{email[:40]}' in answer.get_data(as_text=True) or not email, "what was typed stays"
    assert "2 of 3 seats used" in page(client, alice)


def test_the_answer_is_the_same_whether_there_is_an_account(client: FlaskClient, alice: Someone) -> None:
    people.login("known@elsewhere.example")
    told = []
    for name in ("known", "nobody"):
        answer = send(client, alice, "invite", email=f"{name}@elsewhere.example", role="member")
        assert answer.status_code == 303
        words = page(client, alice)
        row = words[words.index(f"{name}@elsewhere.example Invited by") :]
        told.append((f"The invitation to {name}@elsewhere.example is on its way." in words, row[len(name) :][:90]))
    assert told[0] == told[1] and told[0][0]


def test_a_full_team_is_told_what_brings_more_seats(client: FlaskClient, alice: Someone) -> None:
    teams.invite(alice, "one@kilim.example")
    teams.invite(alice, "two@kilim.example")
    before = text_of(client.get(f"/vendor/{alice.code}/team/invite"))
    refused = send(client, alice, "invite", email="three@kilim.example", role="member")
    # Professional has three; Business, the next tier, has ten.
    for words in (before, text_of(refused)):
        assert "No seat is free" in words and "3 of 3 are used. Business allows 10." in words
        assert "Compare the plans" in words
    assert refused.status_code == 403
    assert "3 of 3 seats used" in page(client, alice)


def test_a_debt_that_lasts_stops_inviting_and_not_removing(client: FlaskClient, alice: Someone, travel: Travel) -> None:
    """From the third day of an unpaid invoice nothing new is created (SUB-8); making room is never refused."""
    invitation = teams.invite(alice)
    stands(alice, Status.PAST_DUE, provider="stripe", past_due_since=travel.now - timedelta(days=3, minutes=1))
    refused = send(client, alice, "invite", email="dave@kilim.example", role="member")
    assert refused.status_code == 402
    assert "Nobody can be invited now An invoice is unpaid." in text_of(refused).replace(" Close", "")
    assert send(client, alice, f"invitations/{invitation.id}/withdraw").status_code == 303
    assert "1 of 3 seats used" in page(client, alice)


def test_the_invitations_of_a_day_are_limited(
    client: FlaskClient, alice: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MOST_A_DAY", 1)
    teams.invite(alice)
    answer = send(client, alice, "invite", email="dave@kilim.example", role="member")
    assert answer.status_code == 429 and answer.headers["Retry-After"] == "86400"
    assert "very many people today" in text_of(answer)


def test_sending_again_and_withdrawing(client: FlaskClient, alice: Someone, travel: Travel) -> None:
    invitation = teams.invite(alice)
    assert send(client, alice, f"invitations/{invitation.id}/send-again").status_code == 429
    travel.on(minutes=20)
    assert send(client, alice, f"invitations/{invitation.id}/send-again").status_code == 303
    assert "Sent again to carol@kilim.example." in page(client, alice)
    for _ in range(2):
        assert send(client, alice, f"invitations/{invitation.id}/withdraw").status_code == 303
    assert "1 of 3 seats used" in page(client, alice)
    assert send(client, alice, f"invitations/{invitation.id}/send-again").status_code == 409


def test_an_accepted_invitation_is_not_withdrawn(client: FlaskClient, alice: Someone) -> None:
    invitation = teams.invite(alice)
    teams.accept(invitation)
    answer = send(client, alice, f"invitations/{invitation.id}/withdraw")
    assert answer.status_code == 409 and "accepted meanwhile" in text_of(answer)


def test_a_new_role_counts_at_the_next_request(client: FlaskClient, alice: Someone) -> None:
    carol = teams.joins(alice)
    carols = as_(client, carol.email)
    there = f"/vendor/{alice.code}/billing-details"
    assert carols.get(there).status_code == 403
    member = member_id(alice, carol)
    assert "Carol Colleague" in text_of(client.get(f"/vendor/{alice.code}/team/{member}/role"))
    assert send(client, alice, f"{member}/role", role="manager").status_code == 303
    assert carols.get(there).status_code == 200
    assert send(client, alice, f"{member}/role", role="nonsense").status_code == 422
    assert send(client, alice, f"{member}/role", role="member").status_code == 303
    assert carols.get(there).status_code == 403


def test_who_is_removed_is_out_at_the_next_request_and_in_elsewhere(client: FlaskClient, alice: Someone) -> None:
    other = people.register("bob@other.example", business="Other House", name="Bob Other")
    carol = teams.joins(alice)
    teams.joins(other, carol.email)
    carols = as_(client, carol.email)
    assert carols.get(f"/vendor/{alice.code}/billing").status_code == 200
    assert send(client, alice, f"{member_id(alice, carol)}/remove").status_code == 303
    assert "Carol Colleague is no longer in your team." in page(client, alice)
    assert carols.get(f"/vendor/{alice.code}/billing").status_code == 404
    assert carols.get(f"/vendor/{other.code}/billing").status_code == 200
    assert carols.get("/dashboard").status_code == 200, "the other business opens by itself"


def test_whoever_has_no_business_left_is_told_so(client: FlaskClient, alice: Someone) -> None:
    carol = teams.joins(alice)
    carols = as_(client, carol.email)
    send(client, alice, f"{member_id(alice, carol)}/remove")
    answer = carols.get("/dashboard")
    assert (answer.status_code, answer.location) == (303, "/profile?why=no_vendor")
    assert "You belong to no business at the moment" in text_of(carols.get(answer.location))


def has_a_key(alice: Someone, who: User, number: int) -> None:
    with unit_of_work() as session:
        session.add(
            ApiKey(
                vendor_id=alice.vendor_id, scope="vendor", name="Shop", prefix=f"vp_{number}",
                key_hash=str(number) * 64, scopes=[], created_by_id=who.id, created_by=who.name,
                created_at=clock.business(),
            )
        )  # fmt: skip


@pytest.mark.parametrize("revoke", [True, False])
def test_the_keys_of_whoever_is_removed_end_unless_they_are_kept(
    client: FlaskClient, alice: Someone, revoke: bool
) -> None:
    """The box is checked beforehand; a form without it (unchecked) leaves the keys alone. The owner's stays anyway."""
    carol = teams.joins(alice)
    path = f"/vendor/{alice.code}/team/{member_id(alice, carol)}/remove"
    assert "API key that" not in text_of(client.get(path))
    has_a_key(alice, carol, 1)
    has_a_key(alice, db.session.get_one(User, alice.user_id), 2)
    asked = client.get(path)
    assert "1 API key that they made keeps working" in text_of(asked)
    assert 'name="revoke" value="yes" checked' in asked.get_data(as_text=True)
    done = post(client, path, {"revoke": "yes"} if revoke else {})
    assert ("1 API key is revoked." in text_of(client.get(done.location))) == revoke
    db.session.rollback()
    ended = {key.prefix for key in db.session.query(ApiKey).populate_existing() if key.revoked_at is not None}
    assert ended == ({"vp_1"} if revoke else set())
    assert db.session.query(AuditEntry).filter_by(action="api_key.revoked").count() == revoke


def test_handing_over_asks_for_the_password(client: FlaskClient, alice: Someone) -> None:
    member = member_id(alice, teams.joins(alice))
    path = f"{member}/owner"
    assert "You stay in the team as a manager" in text_of(client.get(f"/vendor/{alice.code}/team/{path}"))
    for wrong, says in (("", "Enter your password."), ("not-my-password", "This is not your password.")):
        answer = send(client, alice, path, password=wrong)
        assert answer.status_code == 422 and says in text_of(answer)
    assert "Alice Owner (you) alice@example.com Owner" in page(client, alice)
    assert send(client, alice, path, password=PASSWORD).status_code == 303
    words = page(client, alice)
    assert "Carol Colleague owns Kilim House now. You are a manager." in words
    assert "Carol Colleague carol@kilim.example Owner" in words and "Invite somebody" not in words
    assert send(client, alice, path, password=PASSWORD).status_code == 403, "nothing is left to hand over"


def test_guesses_of_the_password_are_counted(client: FlaskClient, alice: Someone) -> None:
    member = member_id(alice, teams.joins(alice))
    for _ in range(10):
        assert send(client, alice, f"{member}/owner", password="wrong").status_code == 422
    answer = send(client, alice, f"{member}/owner", password=PASSWORD)
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    assert "Alice Owner (you) alice@example.com Owner" in page(client, alice)


def test_nobody_inherits_without_a_confirmed_address(client: FlaskClient, alice: Someone) -> None:
    carol = teams.joins(alice)
    with unit_of_work():
        db.session.get_one(User, carol.id).email_verified_at = None
    member = member_id(alice, carol)
    assert "confirmed address first" in text_of(client.get(f"/vendor/{alice.code}/team/{member}/owner"))
    assert send(client, alice, f"{member}/owner", password=PASSWORD).status_code == 409


def test_the_owners_own_row_cannot_be_changed(client: FlaskClient, alice: Someone) -> None:
    own = member_id(alice, db.session.get_one(User, alice.user_id))
    for path, form in ((f"{own}/role", {"role": "member"}), (f"{own}/remove", {}), ("leave", {})):
        assert send(client, alice, path, **form).status_code == 409
    assert "Hand the ownership over first" in text_of(client.get(f"/vendor/{alice.code}/team/leave"))
    assert "Alice Owner (you) alice@example.com Owner" in page(client, alice)


def test_leaving(client: FlaskClient, alice: Someone) -> None:
    teams.joins(alice)
    carols = as_(client, "carol@kilim.example")
    assert "Leave the team of Kilim House?" in text_of(carols.get(f"/vendor/{alice.code}/team/leave"))
    answer = send(carols, alice, "leave")
    assert (answer.status_code, answer.location) == (303, "/profile")
    assert "You have left Kilim House." in text_of(carols.get("/profile"))
    assert carols.get(f"/vendor/{alice.code}/team").status_code == 404


@pytest.mark.parametrize("path", ["role", "remove", "owner"])
def test_another_vendors_member_is_not_there(client: FlaskClient, alice: Someone, path: str) -> None:
    bob = people.register("bob@other.example", business="Other House", name="Bob Other")
    foreign = member_id(bob, teams.joins(bob))
    for answer in (client.get(f"/vendor/{alice.code}/team/{foreign}/{path}"),
                   send(client, alice, f"{foreign}/{path}", role="member", password=PASSWORD)):  # fmt: skip
        assert answer.status_code == 404
    db.session.rollback()
    assert db.session.get_one(Membership, foreign).role == Role.MEMBER


def test_a_closed_vendor_is_led_to_its_plans(client: FlaskClient, alice: Someone) -> None:
    stands(alice, Status.SUSPENDED)
    assert client.get(f"/vendor/{alice.code}/team").location == f"/vendor/{alice.code}/plans?why=suspended"


@pytest.mark.parametrize("others", [0, 24, 99])
def test_the_page_takes_three_statements_and_its_regions_two(
    client: FlaskClient, alice: Someone, statements: Callable[..., int], others: int
) -> None:
    now = clock.business()
    with unit_of_work() as session:
        for n in range(others):
            user = User(email=f"{n}@k.example", email_key=f"{n}@k.example", name=f"N {n}", created_at=now)
            session.add(user)
            session.flush()
            session.add(Membership(vendor_id=alice.vendor_id, user_id=user.id, role=Role.MEMBER, created_at=now))
    # Who is at the door, the team, the seats.
    assert statements(f"/vendor/{alice.code}/team") == 3
    assert statements(f"/vendor/{alice.code}/team", **PARTIAL) == 2
    assert statements(f"/vendor/{alice.code}/team/seats", **PARTIAL) == 2


def test_a_long_list_has_pages_and_shows_everybody_once(client: FlaskClient, alice: Someone) -> None:
    now = clock.business()
    with unit_of_work() as session:
        for n in range(team_queries.SIZE + 10):
            user = User(email=f"p{n:03}@k.example", email_key=f"p{n:03}@k.example", name="Same Name", created_at=now)
            session.add(user)
            session.flush()
            session.add(Membership(vendor_id=alice.vendor_id, user_id=user.id, role=Role.MEMBER, created_at=now))
    first = team_queries.team(alice.vendor_id)
    second = team_queries.team(alice.vendor_id, first.next)
    # 60 members and the owner: 50 on the first page, eleven on the second.
    assert (len(first.rows), len(second.rows), second.next) == (50, 11, None)
    assert len({row.email for row in [*first.rows, *second.rows]}) == 61
    assert client.get(f"/vendor/{alice.code}/team?page={first.next}").status_code == 200
    for wrong in ("x", "W10", second.previous[:-4] if second.previous else ""):
        assert client.get(f"/vendor/{alice.code}/team?page={wrong}").status_code == 404
