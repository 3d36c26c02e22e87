"""Answers that a program is given again: proved, or (``Cache-Control: max-age=N``) so old and no older; what ends them.

The professional tier allows 500 orders a month. On SQLite every question is asked; these are about PostgreSQL.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import text as sql
from werkzeug.test import TestResponse

from portal.catalog.rules import Metric
from portal.cli.setup_ports import wait_until
from portal.entitlements import gate
from portal.entitlements.models import EntitlementGrant
from portal.identity import tokens
from portal.identity.tokens import Scope
from portal.kit import changes, clock
from portal.kit.changes import Listener
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import recent
from portal.web.kit.rates import Rates
from tests.support import people
from tests.support.people import Someone
from tests.support.programs import bearer, key
from tests.support.travel import Travel
from tests.web.test_vendor_queries import counted

pytestmark = pytest.mark.usefixtures("unscoped")
CHECK, RIGHTS, EVENTS = "/api/v1/entitlements/check", "/api/v1/entitlements", "/api/v1/usage/events"
ORDERS = {"metric": "orders"}
Ask = Callable[..., TestResponse]


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    return people.register(tier="professional")


@pytest.fixture
def vendors_key(ada: Someone) -> str:
    return key(None)


@pytest.fixture
def ask(client: FlaskClient, ada: Someone, vendors_key: str) -> Ask:
    """Ask for Ada's vendor; a minute's age will do, if nothing else is said."""

    def send(said: str | None = "max-age=60", vendor: str | None = None, **body: object) -> TestResponse:
        headers = bearer(vendors_key, vendor or ada.code)
        return client.post(CHECK, json=body or ORDERS, headers=headers | ({"Cache-Control": said} if said else {}))

    return send


@pytest.fixture
def listening(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """This process listens; its signs of life come quickly, so that nobody waits for them."""
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite tells nobody of changes")
    monkeypatch.setattr(changes, "BEAT", 0.02)
    assert wait_until(lambda: changes.number() is not None, 10, pause=0.01)
    yield Listener.of(db.engine)


@pytest.fixture
def kept(listening: Listener, ask: Ask) -> Ask:
    """The same question has an answer that is given again."""
    ask()
    ask()
    assert "Age" in ask().headers
    return ask


def elsewhere(*statements: str) -> None:
    """Another process changes something and commits; this one hears everything that was committed by then."""
    with db.engine.begin() as connection:
        for statement in statements:
            connection.execute(sql(statement))
    heard()


def heard() -> None:
    now = time.monotonic()
    assert wait_until(lambda: Listener.of(db.engine).heard_since(now), 10, pause=0.01)


def test_a_program_that_allows_it_is_answered_again_without_a_question(kept: Ask, ask: Ask) -> None:
    with counted(db.engine) as seen:
        again = kept()
    assert seen == [] and again.headers["Age"] == "0"
    fresh = ask(said=None)
    assert again.get_json() == fresh.get_json() and again.content_type == fresh.content_type
    assert "Age" not in fresh.headers


@pytest.mark.parametrize("change", ["UPDATE usage_counters SET used = 400", "DELETE FROM usage_counters"])
def test_where_nothing_moved_the_same_is_said_again_and_otherwise_anew(ask: Ask, change: str) -> None:
    """One statement each time. Tried without comparing the counters: then 1 is told for ever."""
    ask(take=True, key="first", **ORDERS)
    answers = []
    for _ in range(3):
        with counted(db.engine) as seen:
            answers.append(ask(said=None).get_json())
        assert len(seen) == 1
    assert [each["usage"] for each in answers] == [1, 1, 1] and answers[1] == answers[2]
    with db.engine.begin() as connection:
        connection.execute(sql(f"{change} WHERE metric = 'orders'"))
    with counted(db.engine) as seen:
        assert ask(said=None).get_json()["usage"] == (400 if "400" in change else 0)
    assert len(seen) == 1


def test_rights_are_answered_again_too(
    client: FlaskClient, ada: Someone, vendors_key: str, listening: Listener
) -> None:
    headers = bearer(vendors_key, ada.code) | {"Cache-Control": "max-age=5"}
    first, second = (client.get(RIGHTS, headers=headers) for _ in range(2))
    assert "Age" not in first.headers and second.headers["Age"] == "0"
    assert first.get_json() == second.get_json()


@pytest.mark.parametrize("said", [None, "max-age=0", "no-cache, max-age=5", "no-store", "max-age", "max-age=-5", "x"])
def test_without_those_words_each_answer_is_proved(kept: Ask, said: str | None) -> None:
    with counted(db.engine) as seen:
        answer = kept(said=said)
    assert len(seen) == 1 and "Age" not in answer.headers


def test_on_sqlite_each_answer_is_proved(ask: Ask) -> None:
    if db.engine.dialect.name != "sqlite":
        pytest.skip("about SQLite")
    assert ["Age" in ask().headers for _ in range(3)] == [False] * 3


def test_no_answer_is_older_than_was_asked_for(kept: Ask, travel: Travel) -> None:
    travel.on(seconds=5)
    assert kept(said="max-age=9").headers["Age"] == "5"
    travel.on(seconds=5)
    assert "Age" not in kept(said="max-age=9").headers
    assert kept(said="max-age=9").headers["Age"] == "0"


def test_no_answer_is_older_than_a_minute(kept: Ask, travel: Travel) -> None:
    travel.on(seconds=recent.OLDEST - 5)
    assert kept(said="max-age=86400").headers["Age"] == "55"
    travel.on(seconds=6)
    assert "Age" not in kept(said="max-age=86400").headers


CHANGES = [
    ("UPDATE api_keys SET revoked_at = created_at", 401),
    ("UPDATE api_keys SET expires_at = created_at", 401),
    ("UPDATE api_keys SET scopes = '[\"usage:read\"]'", 403),
    ("DELETE FROM api_keys", 401),
    ("UPDATE vendors SET blocked_at = created_at", 403),
    ("UPDATE vendors SET code = 'elsewhere'", 404),
    ("UPDATE vendor_subscriptions SET status = 'suspended'", 402),
    ("UPDATE vendor_subscriptions SET ended_at = period_end", 402),
    ("UPDATE entitlement_versions SET version = version + 1", 200),
]


@pytest.mark.parametrize(("change", "status"), CHANGES)
def test_a_change_by_whomever_ends_what_was_kept(kept: Ask, change: str, status: int) -> None:
    """Tried without the triggers: then the old answers came again."""
    elsewhere(change)
    answer = kept()
    assert answer.status_code == status and "Age" not in answer.headers


def test_a_downgrade_is_in_the_next_answer(kept: Ask) -> None:
    """500 orders, then 100."""
    assert kept().get_json()["limit"] == 500
    elsewhere(
        "UPDATE entitlement_grants SET amount = 100 WHERE key = 'orders'",
        "UPDATE entitlement_versions SET version = version + 1",
    )
    assert kept().get_json()["limit"] == 100


def test_the_use_of_a_key_and_other_vendors_are_no_change(kept: Ask) -> None:
    other = people.register(email="carol@kilim.example", name="Carol's")
    blocked = f"UPDATE vendors SET blocked_at = created_at WHERE id = {other.vendor_id}"
    elsewhere("UPDATE api_keys SET last_used_at = created_at", blocked)
    assert "Age" in kept().headers


def test_an_answer_that_was_asked_for_before_a_change_is_not_kept_after_it(
    kept: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is committed and heard of between the statement and the keeping."""
    answer = recent.answer

    def late(*given: object) -> object:
        monkeypatch.setattr(recent, "answer", answer)
        elsewhere("UPDATE vendors SET blocked_at = created_at")
        return answer(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(recent, "answer", late)
    assert kept(quantity=2, **ORDERS).status_code == 200
    assert kept(quantity=2, **ORDERS).status_code == 403


def test_a_right_that_ends_by_itself_ends_the_answer(kept: Ask, ada: Someone, travel: Travel) -> None:
    """550 for half a minute."""
    with unit_of_work() as session:
        now = clock.business()
        session.add(
            EntitlementGrant(
                vendor_id=ada.vendor_id, source="addon", source_ref="addon:1", kind="limit", key="orders", amount=50,
                valid_from=now, valid_until=now + timedelta(seconds=30), version=99,
            )
        )  # fmt: skip
        session.connection().execute(sql("UPDATE entitlement_versions SET version = version + 1"))
    heard()
    assert [kept().get_json()["limit"] for _ in range(3)] == [550] * 3
    travel.on(seconds=31)
    assert kept().get_json()["limit"] == 500


def test_a_key_that_ends_ends_the_answer(kept: Ask) -> None:
    elsewhere("UPDATE api_keys SET expires_at = now() + interval '30 seconds'")
    kept()
    kept()
    assert "Age" in kept().headers
    with time_machine.travel(clock.wall() + timedelta(seconds=31)):
        assert kept().status_code == 401


def test_while_nothing_can_be_heard_nothing_is_given_again(
    kept: Ask, listening: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PATIENCE", 0)
    assert ["Age" in kept().headers for _ in range(2)] == [False, False]


def test_what_was_kept_before_the_line_broke_is_not_given_after_it(kept: Ask, listening: Listener) -> None:
    """In between, a change would have gone unheard. Tried without taking a new number for each line."""
    since = listening.since
    with db.engine.begin() as connection:
        connection.execute(
            sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portal changes'"
                " AND datname = current_database()")
        )  # fmt: skip
    assert wait_until(lambda: listening.since != since and listening.hears(), 10, pause=0.01)
    assert "Age" not in kept().headers
    assert "Age" in kept().headers


def test_what_this_process_counts_is_in_the_next_answer(
    kept: Ask, client: FlaskClient, ada: Someone, vendors_key: str
) -> None:
    """By event, by batch, by level, and by taking."""
    headers = bearer(vendors_key, ada.code)
    client.post(EVENTS, json={"key": "a", "metric": "orders"}, headers=headers)
    assert kept().get_json()["usage"] == 1
    client.post(EVENTS, json={"events": [{"key": "b", "metric": "orders"}]}, headers=headers)
    assert kept().get_json()["usage"] == 2
    with unit_of_work():
        gate.admit(ada.vendor_id, Metric.ORDERS, 5, key="c", now=clock.business())
    assert kept().get_json()["usage"] == 7
    kept(metric="products")
    client.put("/api/v1/usage/levels", json={"metric": "products", "value": 9}, headers=headers)
    assert kept(metric="products").get_json()["usage"] == 9


def test_what_others_count_may_be_as_old_as_the_answer(kept: Ask, ask: Ask) -> None:
    ask(take=True, key="first", **ORDERS)
    kept()
    elsewhere("UPDATE usage_counters SET used = 400 WHERE metric = 'orders'")
    assert kept().get_json()["usage"] == 1
    assert kept(said=None).get_json()["usage"] == 400


def test_taking_is_never_answered_from_memory(kept: Ask) -> None:
    told = [kept(take=True, key=each, **ORDERS) for each in ("a", "a", "b")]
    assert [(t.get_json()["replayed"], t.get_json()["usage"]) for t in told] == [(False, 1), (True, 1), (False, 2)]
    assert all("Age" not in each.headers for each in told)


def test_another_question_has_its_own_answer(kept: Ask, client: FlaskClient, ada: Someone, vendors_key: str) -> None:
    other = people.register(email="carol@kilim.example", name="Carol's", tier="essential")
    assert kept(vendor=other.code).get_json()["limit"] == 100
    assert kept(quantity=501, **ORDERS).get_json()["allowed"] is False
    assert kept(feature="white_label").get_json()["allowed"] is False
    headers = bearer(vendors_key, ada.code) | {"Cache-Control": "max-age=60"}
    assert client.post(CHECK, data=b'{"metric": "orders"}', headers=headers).status_code == 415
    wrong = bearer(vendors_key[:-1] + "_", ada.code) | {"Cache-Control": "max-age=60"}
    assert client.post(CHECK, json=ORDERS, headers=wrong).status_code == 401
    assert client.post(CHECK, json=ORDERS, headers=headers | {"Idempotency-Key": "ä"}).status_code == 422


#: What the server makes of a body that comes in pieces.
PIECES = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


@pytest.mark.parametrize("told", [PIECES, {"HTTP_IDEMPOTENCY_KEY": "once"}])
def test_a_body_of_unknown_length_and_a_request_with_a_name_are_looked_at_anew(
    client: FlaskClient, ada: Someone, vendors_key: str, listening: Listener, told: dict[str, object]
) -> None:
    said = bearer(vendors_key, ada.code) | {"Cache-Control": "max-age=60"}
    answers = [client.post(CHECK, json=ORDERS, headers=said, environ_overrides=told) for _ in range(3)]
    assert [(answer.status_code, "Age" in answer.headers) for answer in answers] == [(200, False)] * 3


def test_of_people_nothing_is_kept(client: FlaskClient, ada: Someone, listening: Listener) -> None:
    """Nobody tells of a change of theirs."""
    with unit_of_work():
        token = tokens.issue(ada.user_id, ada.vendor_id, Scope.FULL).access
    headers = bearer(token) | {"Cache-Control": "max-age=60"}
    assert ["Age" in client.post(CHECK, json=ORDERS, headers=headers).headers for _ in range(3)] == [False] * 3


def test_answers_from_memory_count_as_requests(kept: Ask, client: FlaskClient) -> None:
    config = client.application.extensions["portal_config"]
    config.ratelimit_enabled = True
    client.application.extensions["portal_rates"] = Rates(None)
    try:
        answers = [kept().headers for _ in range(3)]
    finally:
        config.ratelimit_enabled = False
    left = [int(headers["RateLimit-Remaining"]) for headers in answers]
    assert all("Age" in headers for headers in answers)
    assert 1 in (left[0] - left[1], left[1] - left[2])  # at most one of both steps leads into the next minute
