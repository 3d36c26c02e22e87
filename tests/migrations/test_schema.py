"""The schema's history: up with data, down and up again, nothing left to generate, the ledgers append-only."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import Migrate, downgrade, upgrade
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from portal.app import ROOT
from portal.kit.db import db, engine_options
from tests.support import databases

ADDED = "INSERT INTO {table} ({columns}) VALUES ({marks})"
NOW = "2027-01-15 12:00:00+00:00"
APPEND_ONLY = ("credit_transaction_lots", "credit_transactions", "subscription_events", "audit_log", "balance_entries")


@pytest.fixture(scope="module")
def migrated(built_app: Flask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """A database of its own with no table in it, and just enough of an app to migrate it.

    ``built_app`` has imported every model; building the portal twice in one process would set its gateways anew.
    """
    folder = tmp_path_factory.mktemp("migrations")
    before, databases.WORKER = databases.WORKER, f"{databases.WORKER}_migrations"
    url = databases.url_for_worker(folder)
    databases.WORKER = before
    app = Flask("migrations")
    options = engine_options(url, durable=False)
    app.config.update(SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_ENGINE_OPTIONS=options)
    db.init_app(app)
    Migrate(app, db, directory=str(ROOT / "migrations"), render_as_batch=True)
    yield app
    with app.app_context():
        db.engine.dispose()
    databases.drop(url)


@pytest.fixture
def empty(migrated: Flask) -> Iterator[Engine]:
    """The database with nothing in it, and an engine that knows no rules of the portal's."""
    url = migrated.config["SQLALCHEMY_DATABASE_URI"]
    engine = create_engine(url)
    with migrated.app_context():
        _wipe(engine)
        yield engine
        db.session.remove()
        db.engine.dispose()
    engine.dispose()


def _wipe(engine: Engine) -> None:
    db.engine.dispose()
    if engine.dialect.name == "sqlite":
        engine.dispose()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{engine.url.database}{suffix}").unlink(missing_ok=True)
        return
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))


def add(engine: Engine, table: str, **values: object) -> None:
    """Insert a row, with something plausible in every other column that must have a value."""
    columns = inspect(engine).get_columns(table)
    row = {c["name"]: plausible(str(c["type"])) for c in columns if not c["nullable"] and c["name"] != "id"} | values
    names = ", ".join(row)
    with engine.begin() as connection:
        connection.execute(text(ADDED.format(table=table, columns=names, marks=", ".join(f":{n}" for n in row))), row)


def plausible(kind: str) -> object:
    if kind.startswith(("TIMESTAMP", "DATETIME")):
        return NOW
    if kind.startswith("JSON"):
        return "{}"
    if kind.startswith("BOOL"):
        return False
    return 1 if kind.startswith(("BIGINT", "INTEGER", "NUMERIC")) else "x"


def rows(engine: Engine, statement: str) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def two_vendors(engine: Engine, *codes: str) -> None:
    """As the first schema kept them: subscriptions that name their tier by its code alone."""
    for number, code in enumerate(("essential", "professional"), 1):
        add(engine, "subscription_tiers", id=number, code=code, name=code.title(), credit_policy="reset")
    for number, code in enumerate(codes, 1):
        add(engine, "vendors", id=number, code=f"shop-{number}", name=f"Shop {number}", stage="onboarding")
        add(engine, "vendor_subscriptions", id=number, vendor_id=number, tier_code=code, status="trial",
            provider="none", period_end="2027-01-29 12:00:00+00:00", version=1)  # fmt: skip


TIERS = "SELECT id, tier_code, tier_id FROM vendor_subscriptions ORDER BY id"


def test_subscriptions_learn_their_tier_from_its_code(empty: Engine) -> None:
    upgrade(revision="0001")
    two_vendors(empty, "professional", "essential", "professional")
    upgrade(revision="0002")
    # Essential is tier 1, Professional tier 2.
    assert rows(empty, TIERS) == [(1, "professional", 2), (2, "essential", 1), (3, "professional", 2)]


def test_down_and_up_again_loses_nothing(empty: Engine) -> None:
    upgrade(revision="0001")
    two_vendors(empty, "professional", "essential")
    upgrade(revision="0002")
    downgrade(revision="0001")
    assert "tier_id" not in {c["name"] for c in inspect(empty).get_columns("vendor_subscriptions")}
    assert rows(empty, "SELECT id, tier_code FROM vendor_subscriptions ORDER BY id") == [
        (1, "professional"), (2, "essential"),
    ]  # fmt: skip
    upgrade(revision="0002")
    assert rows(empty, TIERS) == [(1, "professional", 2), (2, "essential", 1)]


def test_a_code_that_no_tier_has_stops_it_and_is_named(empty: Engine, caplog: pytest.LogCaptureFixture) -> None:
    upgrade(revision="0001")
    two_vendors(empty, "professional", "platinum")
    with pytest.raises(SystemExit):  # the command ends with a message and a status instead of a traceback
        upgrade(revision="0002")
    assert "subscription 2 of vendor 2: 'platinum'" in caplog.text
    db.session.remove()
    assert rows(empty, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert "tier_id" not in {c["name"] for c in inspect(empty).get_columns("vendor_subscriptions")}
    with empty.begin() as connection:
        connection.execute(text("UPDATE vendor_subscriptions SET tier_code = 'essential' WHERE id = 2"))
    upgrade(revision="0002")
    assert rows(empty, TIERS) == [(1, "professional", 2), (2, "essential", 1)]


def test_the_gate_finds_the_frame_of_each_subscription(empty: Engine) -> None:
    """Open ones keep open, closed ones are closed, and a debt of the 10th lets nothing be created from the 13th on."""
    upgrade(revision="0005")
    two_vendors(empty, "professional", "essential", "essential")
    with empty.begin() as connection:
        behind = "UPDATE vendor_subscriptions SET status = 'past_due', past_due_since = '2027-01-10 12:00:00+00:00'"
        connection.execute(text(f"{behind} WHERE id = 2"))
        connection.execute(text("UPDATE vendor_subscriptions SET status = 'suspended' WHERE id = 3"))
    add(empty, "entitlement_versions", vendor_id=1, version=7)
    upgrade(revision="0006")
    frames = (
        "SELECT vendor_id, version, standing, substr(CAST(create_until AS text), 1, 10), open_until IS NULL, "
        "period_start IS NULL FROM entitlement_versions ORDER BY vendor_id"
    )
    assert [(*row[:4], bool(row[4]), bool(row[5])) for row in rows(empty, frames)] == [
        (1, 7, "trial", None, True, False),
        (2, 0, "past_due", "2027-01-13", True, False),
        (3, 0, "suspended", None, False, False),
    ]


def test_who_is_in_a_team_already_takes_a_seat_once(empty: Engine) -> None:
    upgrade(revision="0005")
    two_vendors(empty, "professional", "essential")
    for number in (1, 2, 3):
        add(empty, "users", id=number, email=f"u{number}@x.example", email_key=f"u{number}@x.example")
    for user, vendor, role in ((1, 1, "owner"), (2, 1, "member"), (3, 2, "owner")):
        add(empty, "memberships", user_id=user, vendor_id=vendor, role=role)
    # The second vendor's team was counted before; what was counted stays.
    add(empty, "usage_counters", vendor_id=2, metric="team_members", period_start="1970-01-01 00:00:00", used=4)
    upgrade(revision="0006")
    seats = "SELECT vendor_id, used FROM usage_counters WHERE metric = 'team_members' ORDER BY vendor_id"
    assert rows(empty, seats) == [(1, 2), (2, 4)]
    assert rows(empty, "SELECT vendor_id, quantity FROM usage_events") == [(1, 2)]


def test_orders_of_addons_go_with_them_and_the_purchase_stays(empty: Engine) -> None:
    upgrade()
    two_vendors(empty, "professional")
    add(empty, "orders", id=1, vendor_id=1, kind="addon", provider="stripe", state="open", actor_kind="user")
    add(empty, "order_items", id=1, vendor_id=1, order_id=1, quantity=1)
    add(empty, "purchases", id=1, vendor_id=1, order_id=1, kind="addon", description="Custom domain")
    downgrade(revision="0005")
    assert rows(empty, "SELECT count(*) FROM orders") == [(0,)]
    assert rows(empty, "SELECT description, order_id FROM purchases") == [("Custom domain", None)]
    upgrade()


def test_from_empty_to_the_newest_down_to_nothing_and_up(empty: Engine) -> None:
    upgrade()
    before = sorted(inspect(empty).get_table_names())
    downgrade(revision="base")
    assert [t for t in inspect(empty).get_table_names() if t != "alembic_version"] == []
    upgrade()
    assert sorted(inspect(empty).get_table_names()) == before


def test_models_and_migrations_say_the_same(empty: Engine) -> None:
    upgrade()
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, db.metadata) == []


def test_ledgers_refuse_to_be_changed_whoever_asks(empty: Engine) -> None:
    upgrade()
    two_vendors(empty, "professional")
    add(empty, "credit_transactions", vendor_id=1, kind="grant", amount=5, balance_after=5, idempotency_key="k")
    add(empty, "credit_lots", vendor_id=1, kind="grant", granted=5, remaining=5)
    add(empty, "credit_transaction_lots", vendor_id=1, transaction_id=1, lot_id=1, amount=5)
    add(empty, "subscription_events", vendor_id=1, subscription_id=1, kind="trial_started")
    add(empty, "audit_log", action="test.written")
    add(empty, "balance_entries", vendor_id=1, amount_minor=500, balance_after_minor=500)
    for table in APPEND_ONLY:
        for act in (f"UPDATE {table} SET id = id + 1", f"DELETE FROM {table}"):
            with pytest.raises(DatabaseError, match="append-only"), empty.begin() as connection:
                connection.execute(text(act))
        assert rows(empty, f"SELECT count(*) FROM {table}") == [(1,)]


def test_rebuilding_a_table_keeps_its_rules(empty: Engine) -> None:
    """SQLite changes a table by making it anew: what was refused before must still be refused."""
    upgrade()
    two_vendors(empty, "professional")
    for change in ("status = 'floating'", "period_end = period_start", "provider = 'cash'"):
        with pytest.raises(IntegrityError), empty.begin() as connection:
            connection.execute(text(f"UPDATE vendor_subscriptions SET {change}"))
