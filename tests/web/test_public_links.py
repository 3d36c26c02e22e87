"""Links in mails: confirm an address, reset a password, change an address (ACC-3, ACC-10)."""

import re
from datetime import timedelta

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.identity import links, passwords
from portal.identity.links import Purpose
from portal.identity.models import User
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from tests.support import people
from tests.support.people import PASSWORD, post, text_of, try_sign_in

NEW = "copper-lantern-meadow-47"


def mailed(kind: str, to: str | None = None) -> str:
    """The path of the link in the newest kept mail of a kind; carries out the jobs first."""
    jobs.run_all()
    statement = select(SentMail).where(SentMail.kind == kind).order_by(SentMail.id.desc())
    if to:
        statement = statement.where(SentMail.recipient == to)
    mail = db.session.scalars(statement.limit(1)).one()
    found = re.search(r"http://localhost(/\S+)", mail.body_text or "")
    assert found is not None, mail.body_text
    return found[1]


def user(person: people.Someone) -> User:
    """The row as it is now."""
    db.session.expire_all()
    return db.session.get_one(User, person.user_id)


@pytest.fixture
def alice(client: FlaskClient) -> people.Someone:
    """Signed in, her address not confirmed."""
    return people.sign_up(client, verified=False)


def test_opening_the_link_changes_nothing_and_its_button_confirms(client: FlaskClient, alice: people.Someone) -> None:
    link = mailed("verification")
    page = client.get(link)
    assert page.status_code == 200 and "Is this your address? alice@example.com" in text_of(page)
    assert user(alice).email_verified_at is None
    assert post(client, link, {}).location == "/dashboard"
    assert user(alice).email_verified_at is not None


def test_a_link_opened_elsewhere_leads_to_sign_in(client: FlaskClient, alice: people.Someone) -> None:
    link = mailed("verification")
    other = client.application.test_client()
    assert post(other, link, {}).location == "/sign-in"
    assert user(alice).email_verified_at is not None


def test_a_link_confirms_once(client: FlaskClient, alice: people.Someone) -> None:
    link = mailed("verification")
    other = client.application.test_client()
    post(other, link, {})
    again = post(other, link, {})
    assert again.status_code == 404
    assert "no longer works" in text_of(again)
    assert client.get(link).location == "/dashboard"


def test_a_link_is_void_after_seven_days(client: FlaskClient, alice: people.Someone) -> None:
    link = mailed("verification")
    start = clock.wall()
    with time_machine.travel(start + timedelta(days=6, hours=23), tick=False):
        assert client.get(link).status_code == 200
    with time_machine.travel(start + timedelta(days=7, minutes=1), tick=False):
        assert client.get(link).status_code == 404


@pytest.mark.parametrize("damage", [lambda t: t[:-2] + "xx", lambda t: "x" + t, lambda t: "", lambda t: "a" * 5000])
def test_a_damaged_link_is_refused(client: FlaskClient, alice: people.Someone, damage: object) -> None:
    token = links.make(Purpose.VERIFY, user(alice))
    assert client.get(f"/verify/{damage(token) or '.'}").status_code == 404  # type: ignore[operator]


def test_a_link_for_another_purpose_is_refused(client: FlaskClient, alice: people.Someone) -> None:
    verify, reset = (links.make(purpose, user(alice)) for purpose in (Purpose.VERIFY, Purpose.RESET))
    assert client.get(f"/verify/{reset}").status_code == 404
    assert client.get(f"/password/reset/{verify}").status_code == 404
    assert client.get(f"/verify/email/{verify}").status_code == 404


def test_the_link_is_sent_again_and_strangers_learn_nothing(client: FlaskClient, alice: people.Someone) -> None:
    jobs.run_all()
    stranger = client.application.test_client()
    answers = [post(stranger, "/verify", {"email": e}) for e in ("alice@example.com", "nobody@example.com")]
    assert [a.status_code for a in answers] == [303, 303]
    assert answers[0].location == answers[1].location == "/verify"
    # One job for each address, known or not, so that both take as long.
    tasks = db.session.scalars(select(OutboxJob.task).where(OutboxJob.state == "pending")).all()
    assert tasks == ["identity.send_verification_link"] * 2
    jobs.run_all()
    assert (
        db.session.scalars(select(SentMail.recipient).where(SentMail.kind == "verification")).all()
        == ["alice@example.com"] * 2
    )


def test_the_link_is_not_sent_as_often_as_it_is_asked_for(client: FlaskClient, alice: people.Someone) -> None:
    with time_machine.travel(clock.wall(), tick=False):
        for _ in range(5):
            post(client, "/verify", {})
        jobs.run_all()
    # One of the registration, one of five requests within two minutes.
    assert len(db.session.scalars(select(SentMail.id).where(SentMail.kind == "verification")).all()) == 2


def test_a_forgotten_password_is_set_anew_by_the_link(client: FlaskClient, alice: people.Someone) -> None:
    other = client.application.test_client()
    asked = post(other, "/password/forgotten", {"email": " Alice@example.com "})
    assert "If there is an account for Alice@example.com, a link" in text_of(asked)
    link = mailed("reset")
    assert "alice@example.com" in text_of(other.get(link))
    assert post(other, link, {"password": NEW}).location == "/sign-in"
    assert client.get("/profile").status_code == 303, "the session that was open has ended"
    assert try_sign_in(other, alice.email, PASSWORD).status_code == 401
    assert try_sign_in(other, alice.email, NEW).status_code == 303
    assert user(alice).email_verified_at is not None
    assert mailed("password_changed") == "/profile"


def test_a_reset_link_works_once_and_for_an_hour(client: FlaskClient, alice: people.Someone) -> None:
    token = links.make(Purpose.RESET, user(alice))
    with time_machine.travel(clock.wall() + timedelta(minutes=61), tick=False):
        assert client.get(f"/password/reset/{token}").status_code == 404
    assert post(client, f"/password/reset/{token}", {"password": NEW}).status_code == 303
    again = post(client, f"/password/reset/{token}", {"password": "another-lantern-meadow-48"})
    assert again.status_code == 404
    assert passwords.matches(user(alice).password_hash, NEW)


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "Choose a password."),
        ("short", "Use at least 10 characters."),
        ("alice@example.com", "easy to guess"),
        ("x" * 10_000, "Use at most 200 characters."),
    ],
)
def test_a_weak_new_password_is_refused(
    client: FlaskClient, alice: people.Someone, password: str, message: str
) -> None:
    token = links.make(Purpose.RESET, user(alice))
    answer = post(client, f"/password/reset/{token}", {"password": password})
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert passwords.matches(user(alice).password_hash, PASSWORD)


def test_an_unknown_address_gets_the_same_answer_and_no_mail(client: FlaskClient, alice: people.Someone) -> None:
    known = post(client, "/password/forgotten", {"email": "alice@example.com"})
    unknown = post(client, "/password/forgotten", {"email": "nobody@example.com"})
    assert known.status_code == unknown.status_code == 200
    assert text_of(known) == text_of(unknown).replace("nobody@", "alice@")
    jobs.run_all()
    assert db.session.scalars(select(SentMail.recipient).where(SentMail.kind == "reset")).all() == [alice.email]


def test_no_link_stands_in_a_row_or_a_job(client: FlaskClient, alice: people.Someone) -> None:
    post(client, "/password/forgotten", {"email": alice.email})
    jobs.run_all()
    params = db.session.scalars(select(SentMail.params).where(SentMail.kind.in_(("reset", "verification")))).all()
    assert params == [{"user_id": alice.user_id}] * 2
    for args in db.session.scalars(select(OutboxJob.args)):
        assert set(args) <= {"email_key", "mail_id", "for_vendor", "vendor"}


def test_a_new_address_takes_effect_when_its_link_is_opened(client: FlaskClient, alice: people.Someone) -> None:
    elsewhere = client.application.test_client()
    people.sign_in(elsewhere, alice.email)
    sent = post(
        client, "/profile/email", {"email-email": "new@example.com", "email-current": PASSWORD}, page="/profile"
    )
    assert sent.location == "/profile"
    assert user(alice).email == "alice@example.com"
    link = mailed("email_change", "new@example.com")
    assert "new@example.com" in text_of(client.get(link))
    assert user(alice).email == "alice@example.com"
    assert post(client, link, {}).location == "/dashboard"
    assert (user(alice).email, user(alice).email_key) == ("new@example.com", "new@example.com")
    assert client.get("/profile").status_code == 200
    assert elsewhere.get("/profile").status_code == 303, "other sessions have ended"
    assert mailed("email_changed", "alice@example.com") == "/profile"
    assert post(client, link, {}).status_code == 404


def test_an_address_that_was_taken_meanwhile_is_not_given_twice(client: FlaskClient, alice: people.Someone) -> None:
    token = links.make(Purpose.CHANGE_EMAIL, user(alice), "bob@example.com")
    people.register("bob@example.com", business="Bob")
    assert post(client, f"/verify/email/{token}", {}).location == "/profile"
    assert "There is an account with this address already." in text_of(client.get("/profile"))
    assert user(alice).email == "alice@example.com"


def test_a_blocked_person_gets_no_link(client: FlaskClient, alice: people.Someone) -> None:
    token = links.make(Purpose.RESET, user(alice))
    with unit_of_work() as session:
        session.get_one(User, alice.user_id).blocked_at = clock.business()
    post(client, "/password/forgotten", {"email": alice.email})
    jobs.run_all()
    assert db.session.scalars(select(SentMail.id).where(SentMail.kind == "reset")).all() == []
    assert client.get(f"/password/reset/{token}").status_code == 404
