"""What portal and Stripe hold, in words that are the same for two states in which nothing differs that matters."""

import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import Table

from portal.kit.db import db
from tests.support.servers import Sandbox

#: The inbox, what only says that a process lives, and what no story changes.
LEFT_OUT = {"webhook_events", "heartbeats", "periodic_runs", "sessions", "subscription_tiers", "tier_limits",
            "tier_features", "tier_prices", "tier_addons", "addon_products", "addon_prices", "settings"}  # fmt: skip
#: Wall times, numbers of attempts, names of requests, and when something was written down: nothing is decided by them.
COLUMNS_LEFT_OUT = {
    "outbox_jobs": {"run_at", "lease_until", "lease_token", "attempts", "request_id", "created_at", "done_at"},
    "audit_log": {"at", "request_id"},
    "subscription_events": {"at"},
    "sent_mails": {"created_at", "sent_at", "message_id", "body_text", "body_html"},
    "entitlement_versions": {"version"},
    "entitlement_grants": {"version"},
    "notifications": {"created_at"},
    "credit_transactions": {"at"},
    "credit_lots": {"created_at"},
    "payment_methods": {"created_at"},
    "orders": {"fulfilled_at"},
    "users": {"password_hash"},
}
#: A moment in a row, in JSON or in a key, up to its tens of minutes.
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d)\d(:\d\d(\.\d+)?)?([+-]\d\d:?\d\d|Z)?")
#: The same as Stripe counts: seconds since 1970 in the years of the stories.
SECONDS = re.compile(r"\b1[89]\d{8}\b")
#: Kinds of Stripe's documents that are about telling, not about what is told.
TELLING = ("event", "webhook_endpoint")


def portal_rows() -> list[str]:
    """What the portal holds, without ids, times within ten minutes and the inbox."""
    digests: dict[tuple[str, Any], str] = {}
    told = []
    for table, rows in _read():
        for row in rows:
            text = _row_text(table, row, digests)
            if "id" in row:
                digests[table.name, row["id"]] = digest(text)
            if not (table.name == "outbox_jobs" and row["task"] == "stripe_events.handle" and row["state"] == "done"):
                told.append(f"{table.name} {text}")
    return sorted(told)


def _read() -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Every table's rows, by the driver itself: most are empty, and are asked once for each state."""
    driver: Any = db.session.connection().connection.driver_connection
    for table in _tables():
        found = driver.execute(f'SELECT * FROM "{table.name}"')
        rows, names = found.fetchall(), [column[0] for column in found.description]
        yield table, [dict(zip(names, row, strict=True)) for row in rows]


@lru_cache
def _tables() -> list[Table]:
    """Whoever is referred to comes first."""
    return [table for table in db.metadata.sorted_tables if table.name not in LEFT_OUT]


def _row_text(table: Table, row: dict[str, Any], digests: dict[tuple[str, Any], str]) -> str:
    """One row's words; a foreign key says what the other row says."""
    skipped = COLUMNS_LEFT_OUT.get(table.name, set())
    parts = []
    for name, value in row.items():
        if value is None or name in skipped or name == "id":
            continue
        target = _targets(table).get(name)
        words = digests.get((target, value), str(value)) if target else _plain(value)
        parts.append(f"{name}={words}")
    return " ".join(parts)


@lru_cache
def _targets(table: Table) -> dict[str, str]:
    return {column.name: key.column.table.name for column in table.columns for key in column.foreign_keys}


def _plain(value: Any) -> str:
    return _rounded(json.dumps(value, sort_keys=True, default=str) if isinstance(value, dict | list) else str(value))


@lru_cache(maxsize=20_000)
def _rounded(text: str) -> str:
    """Kept, because most of what a state says the one before said, too."""
    return SECONDS.sub(lambda found: str(int(found[0]) // 600), MOMENT.sub(r"\1", text))


def stripe_key(sandbox: Sandbox) -> str:
    """What Stripe holds, but for what it told."""
    marks = ", ".join("?" * len(TELLING))
    with sandbox.store().transaction() as connection:
        rows = connection.execute(
            f"SELECT body FROM docs WHERE object NOT IN ({marks}) ORDER BY seq",
            TELLING,
        )
        appointments = connection.execute("SELECT kind, target, at FROM due ORDER BY kind, target")
        told = [*(body for (body,) in rows.fetchall()), *(" ".join(map(str, row)) for row in appointments.fetchall())]
    return digest("\n".join(_rounded(each) for each in told))


def digest(text: str) -> str:
    """A short name of a long text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
