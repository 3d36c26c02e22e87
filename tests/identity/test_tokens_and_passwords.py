"""Addresses, passwords, codes, links and tokens: the rules by which people are told apart."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal.identity import links, passwords, service, tokens
from portal.identity.links import LinkRefused, Purpose
from portal.identity.models import RefreshToken, SignIn, User, UserSession
from portal.identity.rules import code_candidate, email_key, slug
from portal.identity.tokens import Claims, Scope
from portal.kit import clock, jobs, outbox
from portal.kit.db import db
from portal.kit.errors import Invalid, Unauthenticated
from portal.kit.unit_of_work import unit_of_work
from tests.support.travel import Travel


def make(email: str = "alice@example.com", password_hash: str | None = "hash") -> User:
    """A user without a vendor."""
    with unit_of_work():
        return service.create_user(email, "Alice", password_hash=password_hash, locale="en", now=Travel.START)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice@Example.com", " alice@example.COM "),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@bücher.example"),
        ("e\u0301@example.com", "\u00e9@example.com"),
    ],
)
def test_one_address_has_one_key(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize("one", ["alice+x@example.com", "al.ice@example.com", "alice@example.org"])
def test_another_address_has_another_key(one: str) -> None:
    assert email_key(one) != email_key("alice@example.com")


@pytest.mark.parametrize(
    ("wanted", "attempt", "code"),
    [("kilim", 1, "kilim"), ("kilim", 2, "kilim-2"), ("admin", 1, "admin-2"), ("admin", 2, "admin-3")],
)
def test_codes_count_on_and_leave_reserved_words_alone(wanted: str, attempt: int, code: str) -> None:
    assert code_candidate(wanted, attempt) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [("Kilim & Söhne GmbH", "kilim-sohne-gmbh"), ("  ", "vendor"), ("../../etc", "etc"), ("x" * 80, "x" * 40)],
)
def test_a_code_is_made_of_plain_letters(name: str, code: str) -> None:
    assert slug(name) == code


@pytest.mark.parametrize(
    ("password", "about", "refused"),
    [
        ("velvet-orchard-quartz-91", (), False),
        ("correct horse battery staple", (), False),
        ("9 chars !", (), True),
        ("aaaaaaaaaaaaaaaa", (), True),
        ("Password123!", (), True),
        ("heliotrope-wren-cobbler", (), False),
        ("heliotrope-wren-cobbler", ("heliotrope-wren-cobbler@example.com",), True),
        ("x" * 201, (), True),
        ("velvet\x00orchard-quartz", (), True),
    ],
)
def test_weak_passwords_are_refused(password: str, about: tuple[str, ...], refused: bool) -> None:
    assert bool(passwords.fault(password, about)) is refused


def test_a_password_is_kept_as_argon2id(app: Flask) -> None:
    stored = passwords.hashed("velvet-orchard-quartz-91")
    assert stored.startswith("$argon2id$") and "velvet" not in stored
    assert passwords.matches(stored, "velvet-orchard-quartz-91")
    assert not passwords.matches(stored, "velvet-orchard-quartz-92")
    assert not passwords.matches(None, "nobody has this password")


def test_the_database_refuses_a_second_user_of_one_address(app: Flask) -> None:
    make("alice@example.com")
    with pytest.raises(Invalid):
        make("ALICE@example.com")


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_link_serves_its_purpose_only_while_nothing_changed(app: Flask, purpose: Purpose) -> None:
    user = make()
    token = links.make(purpose, user, "new@example.com")
    opened = links.read(token, purpose)
    assert links.fits(opened, user) and opened.email == "new@example.com"
    for other in set(Purpose) - {purpose}:
        with pytest.raises(LinkRefused):
            links.read(token, other)
    changed = User(id=user.id, email_key="x@example.com", password_hash="other", email_verified_at=Travel.START)
    assert not links.fits(opened, changed)
    assert not links.fits(opened, None)


@pytest.mark.parametrize(("purpose", "lifetime"), list(links.LIFETIMES.items()))
def test_a_link_ends_with_its_lifetime(app: Flask, purpose: Purpose, lifetime: timedelta) -> None:
    token = links.make(purpose, make())
    now = clock.wall()
    with time_machine.travel(now + lifetime - timedelta(seconds=5), tick=False):
        assert links.read(token, purpose)
    with time_machine.travel(now + lifetime + timedelta(seconds=5), tick=False), pytest.raises(LinkRefused):
        links.read(token, purpose)


def test_moving_business_time_ends_no_link(app: Flask, travel: Travel) -> None:
    token = links.make(Purpose.RESET, make())
    travel.on(days=30)
    assert links.read(token, Purpose.RESET)


def test_tokens_carry_user_account_scope_and_times(app: Flask) -> None:
    user = make()
    now = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
    with time_machine.travel(now, tick=False):
        with unit_of_work():
            issued = tokens.issue(user.id, None, Scope.BILLING)
        assert tokens.verify_access(issued.access) == Claims(user.id, None, Scope.BILLING)
    # Fifteen minutes and thirty days after 1 March, 9:00.
    assert issued.access_expires_at.isoformat() == "2027-03-01T09:15:00+00:00"
    assert issued.refresh_expires_at.isoformat() == "2027-03-31T09:00:00+00:00"
    row = db.session.scalars(select(RefreshToken)).one()
    assert issued.refresh not in row.token_hash and len(row.token_hash) == 64 and len(row.family) == 32


def test_an_access_token_ends_after_fifteen_minutes(app: Flask) -> None:
    user = make()
    now = clock.wall()
    with unit_of_work():
        issued = tokens.issue(user.id, None, Scope.BILLING)
    with time_machine.travel(now + timedelta(minutes=16), tick=False), pytest.raises(Unauthenticated):
        tokens.verify_access(issued.access)


def test_forged_tokens_are_refused(app: Flask) -> None:
    user = make()
    with unit_of_work():
        good = tokens.issue(user.id, None, Scope.BILLING).access
    claims = jwt.decode(good, options={"verify_signature": False})
    forged = [
        good[:-3] + "abc",
        jwt.encode({**claims, "scope": "full"}, "another-key-of-thirty-two-characters", algorithm="HS256"),
        jwt.encode(claims, app.config["SECRET_KEY"], algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode({**claims, "aud": "somebody-else"}, tokens._key, algorithm="HS256"),
        jwt.encode({k: v for k, v in claims.items() if k != "exp"}, tokens._key, algorithm="HS256"),
        jwt.encode({**claims, "scope": "everything"}, tokens._key, algorithm="HS256"),
        "",
        "a.b.c",
    ]
    for token in forged:
        with pytest.raises(Unauthenticated):
            tokens.verify_access(token)


def test_what_is_no_longer_needed_is_forgotten(app: Flask) -> None:
    user = make()
    now = clock.wall()
    with unit_of_work() as session:
        for days in (0, 2):
            session.add(SignIn(email_key="a@example.com", succeeded=False, at=now - timedelta(days=days)))
        for days, digest in ((1, "a" * 64), (31, "b" * 64)):
            ended = now - timedelta(days=days)
            session.add(UserSession(token_hash=digest, user_id=user.id, created_at=ended, expires_at=ended))
        outbox.enqueue("identity.forget")
    jobs.run_all()
    assert len(db.session.scalars(select(SignIn.id)).all()) == 1
    assert db.session.scalars(select(UserSession.token_hash)).all() == ["a" * 64]
