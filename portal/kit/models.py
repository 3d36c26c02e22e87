"""Tables of the kit: jobs that must happen, periods that were served, writes that were answered."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.kit.db import BigId, Id, JsonB, Model, one_of


class OutboxJob(Model):
    """Something that must happen after a commit; written in the same transaction as its cause."""

    __tablename__ = "outbox_jobs"
    id: Mapped[Id]
    task: Mapped[str] = mapped_column(String(80))
    args: Mapped[dict[str, Any]]
    dedupe_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    vendor_id: Mapped[int | None] = mapped_column(BigId, index=True)
    state: Mapped[str] = mapped_column(String(10), default="pending")
    run_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[int] = mapped_column(BigId, default=0)
    attempts: Mapped[int] = mapped_column(BigId, default=0)
    last_error: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(String(32), default="")
    created_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    __table_args__ = (one_of("state", ("pending", "done", "dead")), Index(None, "state", "run_at"))


class PeriodicRun(Model):
    """The last period of a periodic task for which its job was inserted."""

    __tablename__ = "periodic_runs"
    task: Mapped[str] = mapped_column(String(80), primary_key=True)
    period_at: Mapped[datetime]


class Heartbeat(Model):
    """A long-running process says that it lives; readiness and the doctor read it."""

    __tablename__ = "heartbeats"
    process: Mapped[str] = mapped_column(String(80), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    seen_at: Mapped[datetime]


class IdempotencyKey(Model):
    """A write that was answered: the same key with the same request gets the same answer again."""

    __tablename__ = "idempotency_keys"
    id: Mapped[Id]
    scope: Mapped[str] = mapped_column(String(120))
    key: Mapped[str]
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None] = mapped_column(BigId)
    answer: Mapped[dict[str, Any] | None] = mapped_column(JsonB)
    created_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("scope", "key"),)
