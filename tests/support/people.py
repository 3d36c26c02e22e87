"""People for tests: they register as in life, and sign in through the door."""

import copy
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from portal.accounts import service as accounts
from portal.catalog.rules import Cycle
from portal.identity import passwords
from portal.identity import service as identity
from portal.identity.models import User, Vendor
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.support.databases import Cleaner
from tests.support.travel import A_MOMENT, Travel

#: Long and unrelated words: nothing that the rules refuse.
PASSWORD = "velvet-orchard-quartz-91"
_kept: dict[str, tuple["Someone", Any, datetime]] = {}


@dataclass(frozen=True)
class Someone:
    """A person, and their vendor if they have one."""

    user_id: int
    email: str
    name: str
    vendor_id: int
    code: str


def register(
    email: str = "alice@example.com",
    *,
    business: str = "Kilim House",
    name: str = "Alice Owner",
    tier: str | None = "professional",
    cycle: Cycle = Cycle.MONTHLY,
    verified: bool = True,
    password: str = PASSWORD,
) -> Someone:
    """Open an account as the sign-up page does; nobody is signed in by it. Jobs wait for ``jobs.run_all()``."""
    registration = accounts.prepare(
        business_name=business, name=name, email=email, password=password, tier_code=tier, cycle=cycle
    )
    with unit_of_work():
        done = accounts.register(registration, now=clock.business())
        if verified:
            done.user.email_verified_at = clock.business()
    return someone(done.user, done.vendor)


def someone(user: User, vendor: Vendor) -> Someone:
    """The rows as a test holds them."""
    return Someone(user.id, user.email, user.name, vendor.id, vendor.code)


def sign_up(client: FlaskClient, tier: str | None = "professional", **about: Any) -> Someone:
    """Open an account and sign its owner in with this client.

    Where nothing was written since the test began, what this leads to is kept, and returned to by the next such test.
    """
    cleaner: Cleaner = client.application.extensions["cleaner"]
    name = f"{cleaner.state}, {tier} {sorted(about.items())} signed up"
    if not cleaner.untouched() or client._cookies or clock.business() - Travel.START > A_MOMENT:
        return _signed_up(client, tier, about)
    if name not in _kept:
        person = _signed_up(client, tier, about)
        db.session.remove()
        cleaner.save(name)
        _kept[name] = person, copy.deepcopy(client._cookies), clock.business()
    return _returned_to(name, client, cleaner)


def _signed_up(client: FlaskClient, tier: str | None, about: dict[str, Any]) -> Someone:
    person = register(tier=tier, **about)
    sign_in(client, person.email, about.get("password", PASSWORD))
    return person


def _returned_to(name: str, client: FlaskClient, cleaner: Cleaner) -> Someone:
    person, cookies, at = _kept[name]
    db.session.remove()
    cleaner.restore(name)
    client._cookies = copy.deepcopy(cookies)
    if clock.business() < at:
        clock.move_to(at)
    return person


def staff(email: str = "sam@example.com", kind: StaffKind = StaffKind.ADMIN, name: str = "Sam Staff") -> User:
    """One of the operator's people, without a vendor."""
    hashed = passwords.hashed(PASSWORD)
    with unit_of_work():
        now = clock.business()
        user = identity.create_user(email, name, password_hash=hashed, locale="en", now=now)
        user.email_verified_at = now
        identity.make_staff(user, kind, actor=SYSTEM, now=now)
    return user


def login(email: str, name: str = "Carol Colleague") -> User:
    """Somebody with a login and neither a vendor nor a staff role."""
    hashed = passwords.hashed(PASSWORD)
    with unit_of_work():
        user = identity.create_user(email, name, password_hash=hashed, locale="en", now=clock.business())
        user.email_verified_at = clock.business()
    return user


def sign_in(client: FlaskClient, email: str, password: str = PASSWORD, **query: str) -> TestResponse:
    """Sign in through the door; fails the test when it does not work."""
    answer = try_sign_in(client, email, password, **query)
    assert answer.status_code == 303, text_of(answer)
    return answer


def try_sign_in(client: FlaskClient, email: str, password: str, **query: str) -> TestResponse:
    """The door's answer, whatever it is."""
    return post(client, "/sign-in", {"email": email, "password": password}, query_string=query)


def post(client: FlaskClient, path: str, data: dict[str, Any], *, page: str | None = None, **more: Any) -> TestResponse:
    """Send a form as a browser does, with a CSRF token: that of ``page``, when one is named."""
    return client.post(path, data={"csrf_token": csrf_token(client, page), **data}, **more)


def csrf_token(client: FlaskClient, page: str | None = None) -> str:
    """The token that this client's pages carry; made as they make it when none of them has to be seen for it."""
    if page is None:
        return _token(client)
    answer = client.get(page)
    found = re.search(r'<meta name="csrf-token" content="([^"]+)"', answer.get_data(as_text=True))
    if found is None:
        raise AssertionError(f"{page} answered {answer.status_code} without a token")
    return found[1]


def _token(client: FlaskClient) -> str:
    """As Flask-WTF signs it, which keeps it for the whole of a test's context."""
    with client.session_transaction() as session:
        raw = session.setdefault("csrf_token", secrets.token_hex(20))
    return str(URLSafeTimedSerializer(str(client.application.secret_key), salt="wtf-csrf-token").dumps(raw))


def text_of(answer: TestResponse) -> str:
    """A page's words: no tags, white space folded."""
    body = re.sub(r"<(script|style|template)\b.*?</\1>", " ", answer.get_data(as_text=True), flags=re.S)
    plain = re.sub(r"<[^>]+>", " ", body)
    for code, char in {"&#39;": "'", "&#34;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}.items():
        plain = plain.replace(code, char)
    return " ".join(plain.split())
