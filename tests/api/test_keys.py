"""API keys (ACC-9): what they look like, what they open, how they end, and that nobody else's does."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy import text as sql

from portal.accounts import callers
from portal.audit.models import AuditEntry
from portal.entitlements.models import EntitlementGrant
from portal.identity import api_key_rules, api_keys, tokens
from portal.identity.api_key_rules import Reach
from portal.identity.models import ApiKey, Membership, User, Vendor
from portal.identity.rules import Role
from portal.identity.tokens import Scope
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Status
from portal.usage.models import UsageEvent
from portal.web.kit.rates import LOT, Rates
from tests.support import people
from tests.support.people import Someone
from tests.support.programs import altered, bearer, key
from tests.support.travel import Travel
from tests.web.test_vendor_queries import counted

pytestmark = pytest.mark.usefixtures("unscoped")
USAGE, RIGHTS, EVENTS = "/api/v1/usage", "/api/v1/entitlements", "/api/v1/usage/events"


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    return people.register(tier="business")


def row(text: str) -> ApiKey:
    found = api_key_rules.read_key(text)
    assert found is not None
    return db.session.scalars(
        select(ApiKey).where(ApiKey.prefix == found.prefix).execution_options(populate_existing=True)
    ).one()


def ten_past() -> datetime:
    """Ten seconds into the next minute, so that 50 are left of it."""
    return clock.wall().replace(second=10, microsecond=0) + timedelta(minutes=1)


def code(client: FlaskClient, path: str = USAGE, **headers: str) -> tuple[int, str | None]:
    answer = client.get(path, headers=headers)
    return answer.status_code, None if answer.status_code == 200 else answer.get_json()["code"]


def test_a_key_has_256_random_bits_and_only_its_hash_is_kept(ada: Someone) -> None:
    text = key(ada.vendor_id)
    prefix, secret = text[:20], text[21:]
    assert text.startswith("vp_live_") and text[20] == "_" and len(secret) == 43  # 43 × 6 bits hold 256
    kept = row(text)
    assert (kept.prefix, len(kept.key_hash)) == (prefix, 64)
    assert secret not in repr({column.name: getattr(kept, column.name) for column in ApiKey.__table__.columns})
    assert key(ada.vendor_id) != text


@pytest.mark.parametrize(
    "sent",
    [
        "", "Bearer", "Bearer ", "Basic dXNlcjp3b3Jk", "Bearer vp_live_", "Bearer vp_live_000000000000_short",
        "Bearer vp_live_000000000000_" + "A" * 43, "Bearer vp_test_000000000000_" + "A" * 43, "Bearer ey.ey.ey",
        "Bearer " + "x" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_key_opens_nothing(client: FlaskClient, ada: Someone, sent: str) -> None:
    answer = client.get(USAGE, headers={"Authorization": sent} if sent else {})
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_known_prefix_with_another_secret_opens_nothing(client: FlaskClient, ada: Someone) -> None:
    """Tried once with the comparison of the hashes left out: then it opened everything."""
    assert code(client, **bearer(altered(key(ada.vendor_id)))) == (401, "key_invalid")


def test_a_revoked_key_is_out_at_the_next_request(client: FlaskClient, ada: Someone) -> None:
    text = key(ada.vendor_id)
    assert code(client, **bearer(text))[0] == 200
    with unit_of_work():
        assert api_keys.revoke(ada.vendor_id, row(text).id, actor=SYSTEM, now=clock.business()) is True
    assert code(client, **bearer(text)) == (401, "key_revoked")
    assert code(client, **bearer(altered(text))) == (401, "key_invalid"), "who has not the secret learns nothing"
    with unit_of_work():
        assert api_keys.revoke(ada.vendor_id, row(text).id, actor=SYSTEM, now=clock.business()) is False


def test_a_key_ends_on_its_day(client: FlaskClient, ada: Someone) -> None:
    text, made = key(ada.vendor_id, days=30), clock.wall()
    with time_machine.travel(made + timedelta(days=30, seconds=-5), tick=False):
        assert code(client, **bearer(text))[0] == 200
    with time_machine.travel(made + timedelta(days=30, seconds=5), tick=False):
        assert code(client, **bearer(text)) == (401, "key_expired")


def test_another_vendors_key_is_not_there(client: FlaskClient, ada: Someone) -> None:
    bob = people.register("bob@example.com", business="Bobs Books", tier="business")
    theirs = row(key(bob.vendor_id)).id
    for whose in (ada.vendor_id, None):
        with pytest.raises(NotFound), unit_of_work():
            api_keys.revoke(whose, theirs, actor=SYSTEM, now=clock.business())
        with pytest.raises(NotFound):
            api_keys.one(whose, theirs)
    assert code(client, **bearer(key(ada.vendor_id), bob.code)) == (404, "not_found")
    assert code(client, **bearer(key(ada.vendor_id), "nobody")) == (404, "not_found")
    assert code(client, **bearer(key(ada.vendor_id), ada.code))[0] == 200


def test_the_platform_speaks_for_every_vendor_by_its_code(client: FlaskClient, ada: Someone) -> None:
    bob = people.register(
        "bob@example.com", business="Bobs Books", tier="essential"
    )  # without access by API of its own
    text = key(None)
    for who in (ada, bob):
        assert client.get(USAGE, headers=bearer(text, who.code)).get_json()["vendor"] == who.code
    assert code(client, **bearer(text)) == (422, "vendor_required")
    assert code(client, **bearer(text, "nobody")) == (404, "not_found")
    assert code(client, **bearer(text, "x" * 5000)) == (404, "not_found")


@pytest.mark.parametrize(
    ("name", "scopes", "days", "field"),
    [
        ("", ["usage:read"], None, "name"),
        ("   ", ["usage:read"], None, "name"),
        ("x" * 81, ["usage:read"], None, "name"),
        ("shop", [], None, "scopes"),
        ("shop", ["usage:read", "everything"], None, "scopes"),
        ("shop", ["usage:read"], 31, "days"),
        ("shop", ["usage:read"], -1, "days"),
    ],
)
def test_what_is_no_key_is_refused_at_its_field(
    ada: Someone, name: str, scopes: list[str], days: int | None, field: str
) -> None:
    with pytest.raises(Invalid) as refused, unit_of_work():
        api_keys.create(ada.vendor_id, name=name, scopes=scopes, days=days, actor=SYSTEM, now=clock.business())
    assert list(refused.value.fields) == [field]
    assert api_keys.of(ada.vendor_id) == []


def test_twenty_five_keys_are_enough(ada: Someone) -> None:
    texts = [key(ada.vendor_id) for _ in range(25)]
    with pytest.raises(Conflict):
        key(ada.vendor_id)
    with unit_of_work():
        api_keys.revoke(ada.vendor_id, row(texts[0]).id, actor=SYSTEM, now=clock.business())
    key(ada.vendor_id)


def test_making_and_revoking_are_written_down_without_the_key(ada: Someone) -> None:
    text = key(ada.vendor_id, Reach.USAGE_READ)
    with unit_of_work():
        api_keys.revoke(ada.vendor_id, row(text).id, actor=SYSTEM, now=clock.business())
    acts = db.session.scalars(
        select(AuditEntry).where(AuditEntry.action.like("api_key.%")).order_by(AuditEntry.id)
    ).all()
    assert [(act.action, act.vendor_id) for act in acts] == [
        ("api_key.created", ada.vendor_id),
        ("api_key.revoked", ada.vendor_id),
    ]
    assert acts[0].data["scopes"] == ["usage:read"]
    assert all(text[21:] not in repr(act.data) for act in acts)


def test_use_is_noted_at_most_once_a_minute(client: FlaskClient, ada: Someone) -> None:
    text, begun = key(ada.vendor_id), clock.wall()
    noted = []
    for seconds in (0, 59, 61, 100, 122):
        with time_machine.travel(begun + timedelta(seconds=seconds), tick=False):
            client.get(USAGE, headers=bearer(text))
            used = row(text).last_used_at
            assert used is not None
            noted.append(round((used - begun).total_seconds()))
    assert noted == [0, 0, 61, 61, 122]


@pytest.mark.parametrize(
    ("standing", "refused"),
    [
        (Status.SUSPENDED, "SUSPENDED"),
        (Status.PENDING_PAYMENT, "PENDING_PAYMENT"),
        (Status.CANCELLED, "CANCELLED"),
        (Status.TRIAL_ENDED, "PLAN_REQUIRED"),
    ],
)
def test_a_closed_vendor_is_stopped_on_its_next_request(
    client: FlaskClient, ada: Someone, standing: Status, refused: str
) -> None:
    """ACC-5's codes, with where it can be put right; reading usage stays open."""
    text = key(ada.vendor_id)
    assert code(client, RIGHTS, **bearer(text))[0] == 200
    with unit_of_work():
        lock(ada.vendor_id).status = standing
    answer = client.get(RIGHTS, headers=bearer(text))
    assert (answer.status_code, answer.get_json()["code"]) == (402, refused)
    assert answer.get_json()["next_url"].startswith(f"http://localhost/vendor/{ada.code}/")
    assert code(client, USAGE, **bearer(text))[0] == 200


def test_a_vendor_without_a_plan_needs_one(client: FlaskClient, ada: Someone) -> None:
    none = people.register("nobody@example.com", business="No Plan", tier=None)
    answer = client.get(RIGHTS, headers=bearer(key(None), none.code))
    assert (answer.status_code, answer.get_json()["code"]) == (402, "PLAN_REQUIRED")


def test_a_blocked_vendor_is_stopped(client: FlaskClient, ada: Someone) -> None:
    text = key(ada.vendor_id)
    with unit_of_work():
        db.session.get_one(Vendor, ada.vendor_id).blocked_at = clock.business()
    assert code(client, USAGE, **bearer(text)) == (403, "BLOCKED")


def test_a_plan_without_the_feature_closes_the_vendors_own_keys(client: FlaskClient, ada: Someone) -> None:
    """The refusal names the plan that has it; the platform's key is not the vendor's and goes on."""
    text = key(ada.vendor_id)
    assert code(client, **bearer(text))[0] == 200
    from portal.catalog import queries as catalog
    from portal.entitlements import service as entitlements

    essential = catalog.tier_by_code("essential")
    assert essential is not None
    with unit_of_work():
        entitlements.replace_tier_grants(ada.vendor_id, essential, now=clock.business())
    answer = client.get(USAGE, headers=bearer(text))
    told = answer.get_json()
    assert (answer.status_code, told["code"], told["feature"]) == (403, "feature_missing", "api_access")
    assert told["upgrade"]["tier"] == "business"
    assert told["next_url"] == f"http://localhost/vendor/{ada.code}/plans"
    assert code(client, **bearer(key(None), ada.code))[0] == 200


def test_who_calls_takes_one_statement_and_rights_are_never_stale(client: FlaskClient, ada: Someone) -> None:
    """What is known is not read again; a change of it is seen by the very next request, which reads all anew."""
    text = key(ada.vendor_id)
    client.get(RIGHTS, headers=bearer(text))
    for _ in range(2):
        with counted(db.engine) as seen:
            before = client.get(RIGHTS, headers=bearer(text)).get_json()
        assert len(seen) == 1
    grant(ada.vendor_id, 77)
    with counted(db.engine) as seen:
        after = client.get(RIGHTS, headers=bearer(text)).get_json()
    assert len(seen) == (1 if db.engine.dialect.name == "sqlite" else 2)
    assert after["limits"]["orders"] == before["limits"]["orders"] + 77
    assert after["version"] > before["version"]


CHANGES = [
    ("UPDATE api_keys SET revoked_at = created_at", 401),
    ("UPDATE api_keys SET expires_at = created_at", 401),
    ("UPDATE api_keys SET key_hash = 'another'", 401),
    ("UPDATE api_keys SET scopes = '[\"usage:read\"]'", 403),
    ("UPDATE vendors SET blocked_at = created_at", 403),
    ("UPDATE vendors SET code = 'elsewhere'", 404),
    ("UPDATE vendor_subscriptions SET status = 'suspended'", 402),
    ("UPDATE entitlement_grants SET level = NULL WHERE key = 'api_access'", 403),
    ("DELETE FROM usage_events", 200),
]
COUNT_UP = "UPDATE entitlement_versions SET version = version + 1"


@pytest.mark.parametrize(("change", "status"), CHANGES)
def test_whoever_changes_a_row_is_noticed_by_the_next_request(
    client: FlaskClient, ada: Someone, change: str, status: int
) -> None:
    """Also what no verb of ours writes, in asking as in reporting, and before anything is said of what was sent.

    Tried on PostgreSQL without the conditions and the stamps: then each of these changes went unseen.
    """
    text = key(ada.vendor_id, "usage:write", "entitlements:read")
    headers = bearer(text, ada.code)

    def report(event: Any) -> int:
        return client.post(EVENTS, json=event, headers=headers).status_code

    for n in range(2):
        assert client.get(RIGHTS, headers=headers).status_code == 200
        assert report({"key": f"talk-{n}", "metric": "conversations"}) == 200
    with unit_of_work() as session:
        session.connection().execute(sql(change))
        session.connection().execute(sql(COUNT_UP))  # what every verb does that writes a grant
    assert report({"key": "talk-2", "metric": "conversations"}) == status
    assert report({"key": "talk-3"}) == (422 if status == 200 else status)
    assert report({"events": []}) == (422 if status == 200 else status)
    counted = db.session.scalars(select(UsageEvent.key).where(UsageEvent.metric == "conversations")).all()
    assert list(counted) == (["talk-2"] if status == 200 else ["talk-0", "talk-1"])


@pytest.mark.parametrize("gone", ["vendor", "subscription", "version"])
def test_each_row_that_a_caller_is_made_of_has_its_stamp(client: FlaskClient, ada: Someone, gone: str) -> None:
    """A change of one row alone makes the process read anew. Tried without the stamps: one statement."""
    table = {"vendor": "vendors", "subscription": "vendor_subscriptions", "version": "entitlement_versions"}[gone]
    column = {"vendor": "name", "subscription": "status", "version": "version"}[gone]
    text, again = key(ada.vendor_id), 1 if db.engine.dialect.name == "sqlite" else 2
    for _ in range(2):
        client.get(RIGHTS, headers=bearer(text))
    with unit_of_work() as session:
        session.connection().execute(sql(f"UPDATE {table} SET {column} = {column}"))
    for statements in (again, 1):
        with counted(db.engine) as seen:
            client.get(RIGHTS, headers=bearer(text))
        assert len(seen) == statements


def grant(vendor_id: int, orders: int) -> None:
    """An add-on's grant as the room writes it: a row, and the next version."""
    from portal.entitlements.service import _locked_version

    with unit_of_work():
        version = _locked_version(vendor_id)
        version.version += 1
        db.session.add(
            EntitlementGrant(
                vendor_id=vendor_id, source="addon", source_ref="addon:1", kind="limit", key="orders", amount=orders,
                valid_from=clock.business(), version=version.version,
            )
        )  # fmt: skip


def test_a_right_that_ends_by_itself_is_not_kept_beyond_its_time(
    client: FlaskClient, ada: Someone, travel: Travel
) -> None:
    """Nothing counts the version up when an hour passes; the moment is kept with the rights instead."""
    from portal.entitlements.service import _locked_version

    text, now = key(ada.vendor_id), clock.business()
    with unit_of_work():
        _locked_version(ada.vendor_id).version += 1
        db.session.add(
            EntitlementGrant(
                vendor_id=ada.vendor_id, source="addon", source_ref="addon:1", kind="limit", key="orders", amount=50,
                valid_from=now + timedelta(hours=1), valid_until=now + timedelta(hours=2), version=99,
            )
        )  # fmt: skip
    seen = []
    for _ in range(4):
        seen.append(client.get(RIGHTS, headers=bearer(text)).get_json()["limits"]["orders"])
        travel.on(minutes=50)
    # At 0:00 and 0:50 not yet, at 1:40 yes, at 2:30 no more.
    assert [each - seen[0] for each in seen] == [0, 0, 50, 0]


def test_a_person_calls_with_an_access_token(client: FlaskClient, ada: Someone) -> None:
    """A token of scope billing reaches usage for billing, not the gate (ACC-2); a full one what the role may."""
    with unit_of_work():
        full = tokens.issue(ada.user_id, ada.vendor_id, Scope.FULL).access
        billing = tokens.issue(ada.user_id, ada.vendor_id, Scope.BILLING).access
    assert code(client, RIGHTS, **bearer(full))[0] == 200
    assert code(client, RIGHTS, **bearer(billing)) == (403, "scope_missing")
    assert code(client, "/api/v1/billing/usage", **bearer(billing))[0] == 200
    assert code(client, RIGHTS, **bearer(full, "nobody")) == (404, "not_found")
    report = {"key": "order-1", "metric": "orders"}
    assert client.post("/api/v1/usage/events", json=report, headers=bearer(full)).status_code == 200
    member = people.login("carol@kilim.example")
    with unit_of_work() as session:
        session.add(
            Membership(vendor_id=ada.vendor_id, user_id=member.id, role=Role.MEMBER, created_at=clock.business())
        )
        theirs = tokens.issue(member.id, ada.vendor_id, Scope.FULL).access
        stranger = tokens.issue(member.id, None, Scope.FULL).access
    assert code(client, RIGHTS, **bearer(theirs))[0] == 200
    assert client.post("/api/v1/usage/events", json=report, headers=bearer(theirs)).status_code == 403
    assert code(client, RIGHTS, **bearer(stranger)) == (403, "ACCOUNT_REQUIRED")
    with unit_of_work():
        db.session.get_one(User, member.id).blocked_at = clock.business()
    assert code(client, RIGHTS, **bearer(theirs)) == (401, "token_invalid")


def test_requests_are_counted_per_key_and_said_in_headers(client: FlaskClient, ada: Someone) -> None:
    config = client.application.extensions["portal_config"]
    config.ratelimit_enabled, config.api_requests_per_minute = True, 10
    client.application.extensions["portal_rates"] = Rates(None)
    text = key(ada.vendor_id)
    try:
        with time_machine.travel(ten_past(), tick=False) as machine:
            answers = [client.get(USAGE, headers=bearer(text)) for _ in range(11)]
            assert [answer.status_code for answer in answers] == [200] * 10 + [429]
            assert [answer.headers["RateLimit-Remaining"] for answer in answers[:3]] == ["9", "8", "7"]
            last = answers[-1].headers
            assert (last["RateLimit-Limit"], last["RateLimit-Remaining"]) == ("10", "0")
            assert last["RateLimit-Reset"] == last["Retry-After"] == "50"
            assert answers[-1].get_json()["code"] == "too_many_requests"
            assert code(client, **bearer(key(ada.vendor_id)))[0] == 200, "another key has its own"
            machine.shift(50)
            assert code(client, **bearer(text))[0] == 200
    finally:
        config.ratelimit_enabled, config.api_requests_per_minute = False, 600


def test_wrong_keys_from_one_address_have_an_end(client: FlaskClient, ada: Someone) -> None:
    client.application.extensions["portal_rates"] = Rates(None)
    text = altered(key(ada.vendor_id))
    with time_machine.travel(ten_past(), tick=False):
        statuses = [code(client, **bearer(text))[0] for _ in range(62)]
    assert statuses == [401] * 60 + [429, 429]


class Shared:
    """What several processes' counts have in common: Redis's two commands, answered from a dictionary."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.calls = 0
        self.asked: list[int] = []

    def pipeline(self, transaction: bool) -> "Shared":
        self.asked = []
        return self

    def incrby(self, name: str, by: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + by
        self.asked.append(self.counts[name])

    def expire(self, name: str, seconds: int) -> None:
        self.calls += 1

    def execute(self) -> list[int]:
        return self.asked


def test_processes_share_one_limit_and_ask_seldom() -> None:
    """Three processes, 600 a minute, lots of 20: 600 pass in all; 600 / 20 questions, and one refused to each."""
    redis = Shared()
    processes = [Rates(redis) for _ in range(3)]  # type: ignore[arg-type]
    passed = 0
    for number in range(900):
        try:
            processes[number % 3].hit("vp_live_1", 600, at=60.0)
            passed += 1
        except Exception:
            continue
    assert passed == 600
    assert redis.calls <= 600 // LOT + 3


def test_a_forgotten_shelf_is_read_anew(client: FlaskClient, ada: Someone) -> None:
    text = key(ada.vendor_id)
    client.get(RIGHTS, headers=bearer(text))
    callers.forget()
    assert client.get(RIGHTS, headers=bearer(text)).get_json()["limits"]["orders"]
