"""One's own login: name, language, address, password, devices; and preferences of anybody (ACC-3)."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.identity import passwords
from portal.identity.models import User
from portal.kit import jobs
from portal.kit.db import db
from portal.notifications.models import SentMail
from tests.support import people
from tests.support.people import PASSWORD, post, text_of

NEW = "copper-lantern-meadow-47"


@pytest.fixture
def alice(client: FlaskClient) -> people.Someone:
    """Signed in."""
    return people.sign_up(client)


def user(person: people.Someone) -> User:
    """The row as it is now."""
    db.session.expire_all()
    return db.session.get_one(User, person.user_id)


def test_name_language_and_theme_are_kept(client: FlaskClient, alice: people.Someone) -> None:
    sent = {"details-name": " Alice B. ", "details-locale": "de", "details-theme": "dark"}
    assert post(client, "/profile/details", sent, page="/profile").location == "/profile"
    kept = user(alice)
    assert (kept.name, kept.locale, kept.theme) == ("Alice B.", "de", "dark")
    page = client.get("/profile").get_data(as_text=True)
    assert '<html lang="de" data-theme="dark"' in page and 'value="Alice B."' in page


@pytest.mark.parametrize(
    "sent",
    [
        {"details-name": "", "details-locale": "de", "details-theme": "dark"},
        {"details-name": "x" * 10_000, "details-locale": "de", "details-theme": "dark"},
        {"details-name": "Alice", "details-locale": "xx", "details-theme": "dark"},
        {"details-name": "Alice", "details-locale": "de", "details-theme": "pink"},
        {"details-name": "Alice"},
    ],
)
def test_what_does_not_fit_changes_nothing(client: FlaskClient, alice: people.Someone, sent: dict[str, str]) -> None:
    assert post(client, "/profile/details", sent, page="/profile").status_code == 422
    kept = user(alice)
    assert (kept.name, kept.locale, kept.theme) == ("Alice Owner", "en", "auto")


def test_a_new_password_ends_other_sessions(client: FlaskClient, alice: people.Someone) -> None:
    elsewhere = client.application.test_client()
    people.sign_in(elsewhere, alice.email)
    assert "signed in on 2 devices" in text_of(client.get("/profile"))
    sent = {"password-current": PASSWORD, "password-password": NEW}
    assert post(client, "/profile/password", sent, page="/profile").location == "/profile"
    assert passwords.matches(user(alice).password_hash, NEW)
    assert client.get("/profile").status_code == 200
    assert elsewhere.get("/profile").status_code == 303
    jobs.run_all()
    assert "password_changed" in db.session.scalars(select(SentMail.kind)).all()


@pytest.mark.parametrize(
    ("current", "new", "message"),
    [
        ("not-the-password", NEW, "This is not your password."),
        ("", NEW, "Enter your password."),
        (PASSWORD, "short", "Use at least 10 characters."),
        (PASSWORD, "alice@example.com", "easy to guess"),
        (PASSWORD, "x" * 10_000, "Use at most 200 characters."),
    ],
)
def test_a_password_that_does_not_fit_is_refused(
    client: FlaskClient, alice: people.Someone, current: str, new: str, message: str
) -> None:
    sent = {"password-current": current, "password-password": new}
    answer = post(client, "/profile/password", sent, page="/profile")
    assert answer.status_code == 422 and message in text_of(answer)
    assert NEW not in answer.get_data(as_text=True)
    assert passwords.matches(user(alice).password_hash, PASSWORD)


def test_the_current_password_is_not_guessed_here_either(client: FlaskClient, alice: people.Someone) -> None:
    sent = {"password-current": "not-the-password", "password-password": NEW}
    answers = [post(client, "/profile/password", sent, page="/profile").status_code for _ in range(11)]
    assert answers == [422] * 10 + [429]


@pytest.mark.parametrize(
    ("email", "current", "message"),
    [
        ("nobody", PASSWORD, "Enter an email address"),
        ("ALICE@example.com", PASSWORD, "This is your address already."),
        ("new@example.com", "not-the-password", "This is not your password."),
        ("x" * 10_000, PASSWORD, "Use at most 254 characters."),
    ],
)
def test_an_address_that_does_not_fit_is_refused(
    client: FlaskClient, alice: people.Someone, email: str, current: str, message: str
) -> None:
    sent = {"email-email": email, "email-current": current}
    answer = post(client, "/profile/email", sent, page="/profile")
    assert answer.status_code == 422 and message in text_of(answer)
    assert "email_change" not in db.session.scalars(select(SentMail.kind)).all()


def test_a_taken_address_is_not_told_of(client: FlaskClient, alice: people.Someone) -> None:
    people.register("bob@example.com", business="Bob")
    answers = [
        post(client, "/profile/email", {"email-email": e, "email-current": PASSWORD}, page="/profile").status_code
        for e in ("bob@example.com", "free@example.com")
    ]
    assert answers == [303, 303]


def test_other_devices_are_signed_out(client: FlaskClient, alice: people.Someone) -> None:
    elsewhere = client.application.test_client()
    people.sign_in(elsewhere, alice.email)
    post(client, "/profile/sessions", {}, page="/profile")
    assert "One other session was ended." in text_of(client.get("/profile"))
    assert elsewhere.get("/profile").status_code == 303


def test_staff_see_their_profile_in_the_back_office(client: FlaskClient) -> None:
    people.staff()
    people.sign_in(client, "sam@example.com")
    assert 'data-side="admin"' in client.get("/profile").get_data(as_text=True)


def test_strangers_are_led_to_sign_in(client: FlaskClient) -> None:
    assert client.get("/profile").location == "/sign-in?next=/profile"


def test_a_visitor_keeps_language_and_theme_in_the_browser(client: FlaskClient) -> None:
    assert post(client, "/preferences", {"locale": "de", "next": "/pricing?cycle=yearly"}).location == (
        "/pricing?cycle=yearly"
    )
    post(client, "/preferences", {"theme": "dark"})
    assert '<html lang="de" data-theme="dark"' in client.get("/pricing").get_data(as_text=True)


def test_preferences_of_somebody_signed_in_follow_to_every_device(client: FlaskClient, alice: people.Someone) -> None:
    post(client, "/preferences", {"theme": "dark", "locale": "de"})
    assert (user(alice).theme, user(alice).locale) == ("dark", "de")
    elsewhere = client.application.test_client()
    people.sign_in(elsewhere, alice.email)
    assert '<html lang="de" data-theme="dark"' in elsewhere.get("/profile").get_data(as_text=True)


@pytest.mark.parametrize("sent", [{"locale": "xx"}, {"theme": "pink"}, {"theme": "dark", "locale": "../x"}])
def test_preferences_that_are_not_offered_are_refused(
    client: FlaskClient, alice: people.Someone, sent: dict[str, str]
) -> None:
    assert post(client, "/preferences", sent).status_code == 422
    assert (user(alice).theme, user(alice).locale) == ("auto", "en")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "x"])
def test_preferences_never_lead_off_the_origin(client: FlaskClient, target: str) -> None:
    assert post(client, "/preferences", {"theme": "dark", "next": target}).location == "/"


def test_one_chooses_among_ones_own_vendors_only(client: FlaskClient, alice: people.Someone) -> None:
    bob = people.register("bob@example.com", business="Bobs Shop")
    assert post(client, f"/vendors/{alice.code}/choose", {}).location == "/dashboard"
    assert post(client, f"/vendors/{bob.code}/choose", {}).status_code == 404
    assert post(client, "/vendors/nobody/choose", {}).status_code == 404
    with client.session_transaction() as browser:
        assert browser["vendor"] == alice.vendor_id
