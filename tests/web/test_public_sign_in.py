"""Signing in and out: nothing told to strangers, no redirect that leaves, ten guesses (ACC-5, ACC-10)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.identity import guesses, passwords
from portal.identity.models import User, UserSession
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import TooMany
from portal.kit.unit_of_work import unit_of_work
from tests.support import people
from tests.support.people import PASSWORD, post, text_of, try_sign_in
from tests.support.travel import Travel


@pytest.fixture
def alice(client: FlaskClient) -> people.Someone:
    """An owner who is not signed in."""
    return people.register()


def test_the_right_password_leads_to_the_dashboard(client: FlaskClient, alice: people.Someone) -> None:
    assert people.sign_in(client, "Alice@Example.COM").location == "/dashboard"
    assert client.get("/sign-in").location == "/dashboard"
    assert client.get("/").location == "/dashboard"


def test_a_cookie_in_use_is_renewed_once_a_day(client: FlaskClient, alice: people.Someone) -> None:
    people.sign_in(client, "alice@example.com")
    client.get("/profile")
    assert "Set-Cookie" not in client.get("/profile").headers
    for day in (1, 2):  # signed anew after 25 hours, and again 25 hours after that
        with time_machine.travel(clock.wall() + timedelta(hours=25 * day), tick=False):
            assert "portal=" in client.get("/profile").headers["Set-Cookie"]
            assert "Set-Cookie" not in client.get("/profile").headers


def test_a_cookie_is_not_renewed_because_the_network_changed(client: FlaskClient, alice: people.Someone) -> None:
    people.sign_in(client, "alice@example.com")
    client.get("/profile")
    moved = {"headers": {"User-Agent": "Elsewhere/2.0"}, "environ_base": {"REMOTE_ADDR": "203.0.113.9"}}
    answer = client.get("/profile", **moved)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_staff_are_led_to_the_vendors(client: FlaskClient) -> None:
    people.staff()
    assert people.sign_in(client, "sam@example.com").location == "/admin/vendors"


def test_a_wrong_password_and_an_unknown_address_answer_alike(client: FlaskClient, alice: people.Someone) -> None:
    wrong = try_sign_in(client, alice.email, "not-the-password")
    unknown = try_sign_in(client, "nobody@example.com", "not-the-password")
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert "Email address or password is wrong." in text_of(wrong)
    assert text_of(wrong) == text_of(unknown)
    assert 'value="alice@example.com"' in wrong.get_data(as_text=True)
    assert "not-the-password" not in wrong.get_data(as_text=True)
    assert client.get("/profile").location == "/sign-in?next=/profile"


def test_both_run_the_same_hash(client: FlaskClient, alice: people.Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    real = passwords._hasher

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            verified.append(stored.rsplit("$", 2)[0])
            return real.verify(stored, password)

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    monkeypatch.setattr(passwords, "_hasher", Counting())
    for email in (alice.email, "nobody@example.com"):
        try_sign_in(client, email, "not-the-password")
    assert len(verified) == 2
    # Algorithm, version and memory of both hashes are the same, so they take the same time.
    assert verified[0] == verified[1]


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_ten_guesses_are_evaluated_and_no_more(client: FlaskClient, alice: people.Someone, email: str) -> None:
    answers = [try_sign_in(client, email, f"wrong-guess-{i}").status_code for i in range(12)]
    assert answers == [401] * 10 + [429] * 2
    locked = try_sign_in(client, email, PASSWORD)
    assert locked.status_code == 429
    # The window is a quarter of an hour, so the wait is at most 900 seconds (and one for rounding up).
    assert 0 < int(locked.headers["Retry-After"]) <= 901
    assert "Too many wrong passwords" in text_of(locked)


def test_other_accounts_are_not_locked_by_it(client: FlaskClient, alice: people.Someone) -> None:
    people.register("bob@example.com", business="Bob")
    for i in range(11):
        try_sign_in(client, alice.email, f"wrong-guess-{i}")
    assert try_sign_in(client, "bob@example.com", PASSWORD).status_code == 303


@pytest.mark.parametrize(
    ("target", "led_to"),
    [
        ("/vendor/kilim-house/billing?a=b", "/vendor/kilim-house/billing?a=b"),
        ("//evil.example", "/dashboard"),
        ("/\\evil.example", "/dashboard"),
        ("https://evil.example/", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
        ("/ok\r\nSet-Cookie: a=b", "/dashboard"),
        ("/\t/evil.example", "/dashboard"),
        ("evil", "/dashboard"),
        ("", "/dashboard"),
    ],
)
def test_a_link_survives_and_never_leaves_the_origin(
    client: FlaskClient, alice: people.Someone, target: str, led_to: str
) -> None:
    assert people.sign_in(client, alice.email, next=target).location == led_to
    assert client.get("/sign-in", query_string={"next": target}).location == led_to


def test_the_link_is_kept_while_the_password_is_wrong(client: FlaskClient, alice: people.Someone) -> None:
    answer = try_sign_in(client, alice.email, "not-the-password", next="/profile")
    assert 'action="/sign-in?next=/profile"' in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"email": "", "password": PASSWORD}, "Enter your email address."),
        ({"email": "a@example.com", "password": ""}, "Enter your password."),
        ({"email": "a" * 10_000, "password": PASSWORD}, "Use at most 254 characters."),
        ({"email": "a@example.com", "password": "x" * 10_000}, "Use at most 200 characters."),
        ({"email": "a\x00@example.com", "password": PASSWORD}, "characters that cannot be used"),
    ],
)
def test_what_cannot_be_a_login_is_refused_at_the_field(
    client: FlaskClient, data: dict[str, str], message: str
) -> None:
    answer = post(client, "/sign-in", data)
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert db.session.scalars(select(UserSession)).all() == []


def test_without_the_csrf_token_nothing_happens(client: FlaskClient, alice: people.Someone) -> None:
    answer = client.post("/sign-in", data={"email": alice.email, "password": PASSWORD})
    assert answer.status_code == 400
    assert db.session.scalars(select(UserSession)).all() == []


def test_signing_out_ends_the_session_also_for_a_copied_cookie(client: FlaskClient, alice: people.Someone) -> None:
    people.sign_in(client, alice.email)
    stolen = client.get_cookie("portal")
    assert stolen is not None
    assert post(client, "/sign-out", {}).location == "/"
    client.set_cookie("portal", stolen.value)
    assert client.get("/profile").location == "/sign-in?next=/profile"


def test_the_cookie_changes_at_sign_in_and_only_a_hash_is_stored(client: FlaskClient, alice: people.Someone) -> None:
    client.get("/sign-in")
    before = client.get_cookie("portal")
    people.sign_in(client, alice.email)
    after = client.get_cookie("portal")
    assert before is not None and after is not None and before.value != after.value
    with client.session_transaction() as browser:
        token = browser["_user_id"]
    stored = db.session.scalars(select(UserSession.token_hash)).one()
    assert token not in stored and len(stored) == 64
    assert after.http_only and after.same_site == "Lax"


def test_a_blocked_person_is_told_after_the_right_password_only(client: FlaskClient, alice: people.Someone) -> None:
    with unit_of_work() as session:
        session.get_one(User, alice.user_id).blocked_at = Travel.START
    assert try_sign_in(client, alice.email, "not-the-password").status_code == 401
    answer = try_sign_in(client, alice.email, PASSWORD)
    assert answer.status_code == 403
    assert "blocked" in text_of(answer)
    assert client.get("/profile").status_code == 303


def test_who_is_blocked_while_signed_in_is_out_at_the_next_request(client: FlaskClient, alice: people.Someone) -> None:
    people.sign_in(client, alice.email)
    billing = f"/vendor/{alice.code}/billing"
    assert client.get(billing).status_code == 200
    with unit_of_work() as session:
        session.get_one(User, alice.user_id).blocked_at = Travel.START
    assert client.get(billing).location == f"/sign-in?next={billing}"
    assert client.get("/dashboard").location == "/sign-in?next=/dashboard"


def test_a_session_ends_after_thirty_days(client: FlaskClient, alice: people.Someone) -> None:
    people.sign_in(client, alice.email)
    day = clock.wall()
    with time_machine.travel(day + timedelta(days=29, hours=23), tick=False):
        assert client.get("/profile").status_code == 200
    with time_machine.travel(day + timedelta(days=30, minutes=1), tick=False):
        assert client.get("/profile").location == "/sign-in?next=/profile"


def test_a_hash_made_with_old_parameters_is_renewed(client: FlaskClient, alice: people.Someone) -> None:
    old = PasswordHasher(time_cost=1, parallelism=1, memory_cost=8).hash(PASSWORD)
    with unit_of_work() as session:
        session.get_one(User, alice.user_id).password_hash = old
    people.sign_in(client, alice.email)
    db.session.expire_all()
    renewed = db.session.get_one(User, alice.user_id).password_hash
    assert renewed != old and passwords.matches(renewed, PASSWORD)


def test_eleven_guesses_at_once_are_at_most_ten(catalog: Flask) -> None:
    """Take away the count after the commit and all twenty are evaluated."""

    def guess(_: int) -> bool:
        with catalog.app_context():
            try:
                guesses.admit("alice@example.com")
            except TooMany:
                return False
            finally:
                db.session.remove()
            return True

    with ThreadPoolExecutor(8) as pool:
        admitted = sum(pool.map(guess, range(24)))
    assert 1 <= admitted <= 10
