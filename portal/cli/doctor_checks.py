"""The doctor's checks of the installation itself: settings, database, Redis, processes, jobs, mail, clock, disk."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import current_app
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from config import Config
from portal.cli.doctor_findings import FAIL, OK, WARN, Check, Finding
from portal.cli.jobs import beating, count
from portal.cli.prepare import revisions
from portal.gateways import mail as mail_gateway
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import Unavailable
from portal.kit.unit_of_work import end_reading

MEGABYTE = 1_000_000
SCARCE, TIGHT = 200 * MEGABYTE, 2_000 * MEGABYTE
#: A clock that is further off makes signatures of webhooks and leases of jobs wrong.
CLOCK_TOLERANCE = timedelta(seconds=30)
#: What a database that must not forget a commit says: settings of SQLite and of PostgreSQL.
DURABLE_SQLITE = {"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"}
DURABLE_POSTGRES = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


def config() -> Config:
    """What the environment says."""
    found: Config = current_app.extensions["portal_config"]
    return found


def settings() -> Iterator[Finding]:
    """Would production start with these?"""
    problems = config().problems()
    if config().app_env != "production":
        yield Finding(OK, "settings", f"{config().app_env}; production would ask for {len(problems)} more")
    elif problems:
        yield Finding(FAIL, "settings", "; ".join(problems), "see docs/configure.md")
    else:
        yield Finding(OK, "settings", "production, all sound")


def database() -> Iterator[Finding]:
    """Reachable, and set so that a commit is not lost."""
    dialect = db.engine.dialect.name
    shown = db.engine.url.render_as_string(hide_password=True)
    differing = _differing(dialect)
    yield Finding(OK, "database", f"{shown} answers")
    if differing:
        yield Finding(FAIL, "durability", f"a commit may be lost: {', '.join(differing)}", "set it back to the default")
    else:
        yield Finding(OK, "durability", "what is committed stays")
    if dialect == "sqlite" and config().app_env == "production":
        yield Finding(WARN, "database", "SQLite serves one machine", "use PostgreSQL when several share the work")


def _differing(dialect: str) -> list[str]:
    sqlite = dialect == "sqlite"
    wanted = DURABLE_SQLITE if sqlite else DURABLE_POSTGRES
    asks = {name: text(f"PRAGMA {name}" if sqlite else f"SHOW {name}") for name in wanted}
    present = {name: str(db.session.scalar(ask)) for name, ask in asks.items()}
    end_reading()
    # synchronous_commit has stronger settings than on; only off and local may lose what was answered.
    if present.get("synchronous_commit") in ("remote_write", "remote_apply"):
        present["synchronous_commit"] = "on"
    return [f"{name} is {present[name]}" for name, value in wanted.items() if present[name] != value]


def schema() -> Iterator[Finding]:
    """At the head of the migrations?"""
    present, wanted = revisions()
    if present == wanted:
        yield Finding(OK, "schema", f"at {', '.join(sorted(present))}")
    else:
        says = f"at {', '.join(sorted(present)) or 'nothing'}, this code wants {', '.join(sorted(wanted))}"
        yield Finding(FAIL, "schema", says, "flask --app wsgi db upgrade")


def redis() -> Iterator[Finding]:
    """Reachable, and not free to forget jobs under pressure."""
    server: Redis = current_app.extensions["portal_redis"]
    try:
        server.ping()
    except RedisError as error:
        says = f"does not answer ({type(error).__name__}); jobs and rate limits wait for it"
        yield Finding(FAIL, "redis", says, "start it, or set REDIS_URL")
        return
    policy = _redis_setting(server, "maxmemory-policy")
    if policy in (None, "noeviction"):
        yield Finding(OK, "redis", "answers")
    else:
        yield Finding(WARN, "redis", f"drops keys when full ({policy})", "set maxmemory-policy to noeviction")


def _redis_setting(server: Redis, name: str) -> str | None:
    """None where a hosted Redis does not tell."""
    try:
        found: Any = server.config_get(name)
    except RedisError:
        return None
    value = found.get(name)
    return str(value) if value else None


def processes() -> Iterator[Finding]:
    """Does somebody carry out jobs, and somebody hand them out?"""
    for kind in ("worker", "scheduler"):
        if beating(kind):
            yield Finding(OK, kind, "beating")
        else:
            yield Finding(FAIL, kind, "not seen for 40 seconds", f"start it: flask --app wsgi {kind}")


def jobs() -> Iterator[Finding]:
    """Jobs that were given up."""
    if dead := count("dead"):
        yield Finding(WARN, "jobs", f"{dead} were given up", "flask jobs dead, then flask jobs retry")
    else:
        yield Finding(OK, "jobs", f"none given up, {count('pending')} waiting")


def mail() -> Iterator[Finding]:
    """Does the mail server take our sign-in?"""
    transport = mail_gateway.transport()
    if transport is None:
        yield Finding(OK, "mail", "no SMTP_HOST: mails are kept and can be read on the local page")
        return
    try:
        transport.check()
    except Unavailable:
        says = f"{config().smtp_host}:{config().smtp_port} does not answer as it should"
        yield Finding(FAIL, "mail", says, "check SMTP_HOST, SMTP_PORT, SMTP_TLS, SMTP_USER_EMAIL, SMTP_PASSWORD")
    else:
        yield Finding(OK, "mail", f"{config().smtp_host} takes mails from {mail_gateway.sender()}")


def time_of_day() -> Iterator[Finding]:
    """This machine's clock against another's, and whether business time was moved."""
    if abs(ahead := clock.offset()) > timedelta(seconds=1):
        yield Finding(WARN, "clock", f"business time is {ahead / timedelta(days=1):+.2f} days from the real one",
                      "meant for demos; make reset begins anew")  # fmt: skip
    try:
        seconds, micros = current_app.extensions["portal_redis"].time()
    except RedisError:
        yield Finding(WARN, "clock", "could not be compared: Redis does not answer")
        return
    off = clock.wall() - datetime.fromtimestamp(seconds + micros / 1e6, UTC)
    if abs(off) > CLOCK_TOLERANCE:
        says = f"this machine and Redis's differ by {abs(off).total_seconds():.0f} seconds"
        yield Finding(FAIL, "clock", says, "let both follow NTP")
    else:
        yield Finding(OK, "clock", "agrees with Redis's machine")


def disk() -> Iterator[Finding]:
    """Room in the data folder."""
    folder = config().data_dir.resolve()
    if not folder.is_dir():
        yield Finding(FAIL, "disk", f"the data folder {folder} does not exist", "make it, or set DATA_DIR")
        return
    free = shutil.disk_usage(folder).free
    says = f"{free / 1000 / MEGABYTE:.1f} GB free in {folder}"
    level = FAIL if free < SCARCE else WARN if free < TIGHT else OK
    yield Finding(level, "disk", says, "" if level == OK else "make room")


CHECKS: tuple[Check, ...] = (settings, database, schema, redis, processes, jobs, mail, time_of_day, disk)
