"""Jobs are rows first: written with their cause, leased, tried again with growing gaps, marked with their effect."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, bindparam, func, or_, select, update

from portal.kit import clock, log, tasks
from portal.kit.db import UtcDateTime, db, insert_once
from portal.kit.direct import Direct
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import UnitOfWorkError, after_commit, in_unit_of_work

#: How long a taken job may be silent before another worker may take it.
LEASE = timedelta(seconds=60)
#: Jobs handed out and not yet finished, over all workers.
IN_FLIGHT_CAP = 20
_wake_hint = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to try a job: void as soon as somebody else has claimed it."""

    job_id: int
    token: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A job as an attempt needs it; ``attempts`` counts this one too."""

    task: str
    args: dict[str, Any]
    vendor_id: int | None
    request_id: str
    attempts: int


class LeaseLostError(RuntimeError):
    """Another worker took this job over; this attempt must leave no trace."""


def enqueue(
    task: str,
    *,
    dedupe_key: str | None = None,
    delay: timedelta = timedelta(),
    vendor_id: int | None = None,
    **args: Any,
) -> bool:
    """Write a job to be done after this transaction. False when a job with this dedupe key was written before.

    ``args`` are small JSON values (ids, never secrets or documents).
    """
    if not in_unit_of_work():
        raise UnitOfWorkError("a job is written with its cause: open a unit of work")
    values = row(task, dedupe_key, delay, vendor_id, **args) | {"state": "pending", "lease_token": 0, "attempts": 0}
    written = insert_once(OutboxJob, values, ["dedupe_key"])
    if written and _wake_hint:
        after_commit(_wake_hint)
    return written


def row(
    task: str, dedupe_key: str | None, delay: timedelta = timedelta(), vendor_id: int | None = None, **args: Any
) -> dict[str, Any]:
    """A new job's columns, for a statement that writes it together with its cause. KeyError for an unknown task."""
    tasks.find(task)
    now = clock.wall()
    return {
        "task": task,
        "args": args,
        "dedupe_key": dedupe_key,
        "vendor_id": vendor_id,
        "run_at": now + delay,
        "request_id": log.request_id.get(),
        "created_at": now,
    }


def hint() -> None:
    """Tell the dispatcher that there may be something for it to do."""
    if _wake_hint:
        _wake_hint()


def on_wake(hint: Any) -> None:
    """Set the callable that tells the dispatcher, after a commit, that there is work."""
    global _wake_hint
    _wake_hint = hint


def emit(event: str, *, dedupe_key: str, vendor_id: int | None = None, **payload: Any) -> None:
    """Write one job per listener of a named event; the lower room does not know who listens."""
    for listener in tasks.listeners(event):
        enqueue(listener, dedupe_key=f"{event}:{dedupe_key}:{listener}", vendor_id=vendor_id, **payload)


def claim_due(limit: int = IN_FLIGHT_CAP) -> list[Claim]:
    """Lease the jobs that are due, oldest first, never more in flight than the cap. Inside a unit of work."""
    now = clock.wall()
    in_flight = db.session.scalar(_IN_FLIGHT, {"now": now})
    room = min(limit, IN_FLIGHT_CAP - int(in_flight or 0))
    if room <= 0:
        return []
    claims = [Claim(row.id, row.lease_token + 1) for row in db.session.execute(_DUE, {"now": now, "room": room})]
    if claims:
        db.session.execute(
            update(OutboxJob)
            .where(OutboxJob.id.in_([claim.job_id for claim in claims]))
            .values(lease_until=now + LEASE, lease_token=OutboxJob.lease_token + 1)
            .execution_options(synchronize_session=False)
        )
    return claims


_NOW = bindparam("now", type_=UtcDateTime())
#: Built once: the scheduler asks these two many times a second.
_IN_FLIGHT = (
    select(func.count()).select_from(OutboxJob).where(OutboxJob.state == "pending", OutboxJob.lease_until > _NOW)
)
_DUE = (
    select(OutboxJob.id, OutboxJob.lease_token)
    .where(
        OutboxJob.state == "pending",
        OutboxJob.run_at <= _NOW,
        or_(OutboxJob.lease_until.is_(None), OutboxJob.lease_until <= _NOW),
    )
    .order_by(OutboxJob.run_at, OutboxJob.id)
    .limit(bindparam("room", type_=Integer()))
    .with_for_update(skip_locked=True)
)


def give_back(claims: list[Claim]) -> None:
    """The queue did not take these: due again soon, no attempt counted. Inside a unit of work."""
    for claim in claims:
        db.session.execute(
            update(OutboxJob)
            .where(OutboxJob.id == claim.job_id, OutboxJob.lease_token == claim.token)
            .values(lease_until=None, run_at=clock.wall() + timedelta(seconds=2))
            .execution_options(synchronize_session=False)
        )


def take(claim: Claim) -> Taken | None:
    """Start an attempt: count it and renew the lease. None when it is done or claimed anew. No unit of work is open.

    One statement, committed at once: whoever holds the newest claim matches the row, and only one can.
    """
    told = {"job": claim.job_id, "token": claim.token, "until": clock.wall() + LEASE}
    row = next(iter(_TAKE.by_itself(told)), None)
    return Taken(*row) if row else None


def finish(claim: Claim) -> None:
    """Mark the job done in the transaction of its effect; LeaseLostError undoes an effect that came too late.

    Without a unit of work that is a transaction by itself, for effects that have committed on their own.
    """
    told = {"job": claim.job_id, "token": claim.token, "at": clock.wall()}
    if not (_FINISH(told) if in_unit_of_work() else _FINISH.by_itself(told)):
        raise LeaseLostError(f"job {claim.job_id}")


def done_with(dedupe_keys: list[str]) -> None:
    """What these jobs were for has happened: nobody need begin them, whoever has begun ends it. Inside a unit of work.

    Jobs that somebody is taking just now are passed over: nobody waits here.
    """
    wanted = (OutboxJob.dedupe_key.in_(dedupe_keys), OutboxJob.state == "pending", OutboxJob.attempts == 0)
    rows = select(OutboxJob.id).where(*wanted).order_by(OutboxJob.id).with_for_update(skip_locked=True)
    if ids := list(db.session.scalars(rows)):
        db.session.execute(
            update(OutboxJob)
            .where(OutboxJob.id.in_(ids))
            .values(state="done", done_at=clock.wall(), lease_until=None)
            .execution_options(synchronize_session=False)
        )


#: An UPDATE of a job's row that matches for the holder of its newest claim alone.
_held = update(OutboxJob).where(
    OutboxJob.id == bindparam("job"), OutboxJob.state == "pending", OutboxJob.lease_token == bindparam("token")
)
_TAKE = Direct(
    _held.values(attempts=OutboxJob.attempts + 1, lease_until=bindparam("until")).returning(
        OutboxJob.task, OutboxJob.args, OutboxJob.vendor_id, OutboxJob.request_id, OutboxJob.attempts
    )
)
_FINISH = Direct(
    _held.values(state="done", done_at=bindparam("at"), lease_until=None, last_error=None).returning(OutboxJob.id)
)


def fail(claim: Claim, error: str, max_attempts: int) -> None:
    """Note why an attempt failed; try again after a growing gap, or lay the job with the dead letters."""
    job = locked(claim.job_id)
    if job is None or job.state != "pending" or job.lease_token != claim.token:
        return
    job.last_error = error[:2000]
    job.lease_until = None
    if job.attempts >= max_attempts:
        job.state = "dead"
    else:
        job.run_at = clock.wall() + retry_gap(job.attempts)


def retry_gap(attempts: int) -> timedelta:
    """2 s, 4 s, 8 s … at most one hour between tries."""
    return timedelta(seconds=min(2**attempts, 3600))


def revive(job_id: int) -> bool:
    """Try a dead letter again, from the first attempt; False when it is not dead. Inside a unit of work."""
    job = locked(job_id)
    if job is None or job.state != "dead":
        return False
    job.state, job.attempts, job.run_at = "pending", 0, clock.wall()
    return True


def locked(job_id: int) -> OutboxJob | None:
    """The job's row under a lock, read anew."""
    return db.session.scalar(
        select(OutboxJob).where(OutboxJob.id == job_id).with_for_update().execution_options(populate_existing=True)
    )


def pending(now: datetime) -> int:
    """How many jobs are due or under way at ``now`` (wall); jobs that wait for a later time do not count."""
    return int(
        db.session.scalar(
            select(func.count())
            .select_from(OutboxJob)
            .where(OutboxJob.state == "pending", or_(OutboxJob.run_at <= now, OutboxJob.lease_until > now))
        )
        or 0
    )
