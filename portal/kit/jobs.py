"""Carrying out jobs: the worker's side of the outbox."""

from portal.kit import clock, log, outbox, tasks, tenancy
from portal.kit.db import db
from portal.kit.outbox import Claim, Taken
from portal.kit.unit_of_work import unit_of_work

logger = log.get(__name__)


def execute_batch(claims: list[list[int]]) -> None:
    """One message of the queue: try each of these (job id, token), then say that there is room for more."""
    try:
        for job_id, token in claims:
            execute(job_id, token)
    finally:
        outbox.hint()


def execute(job_id: int, token: int) -> bool:
    """Try one claimed job; True when it is done by this attempt. Never raises for the job's own failure.

    Safe to call twice and in parallel: only the holder of the newest claim has an effect.
    """
    claim = Claim(job_id, token)
    job = outbox.take(claim)
    if job is None:
        return False
    reset = log.request_id.set(job.request_id or log.new_request_id())
    try:
        return _attempt(job, claim)
    finally:
        log.request_id.reset(reset)
        db.session.remove()


def _attempt(job: Taken, claim: Claim) -> bool:
    name, attempt = job.task, job.attempts
    scope = tenancy.scoped(job.vendor_id) if job.vendor_id else tenancy.unscoped(f"job {name}")
    task = tasks.find(name)
    started = clock.wall()
    try:
        with scope:
            _run(task, job, claim)
    except outbox.LeaseLostError:
        logger.warning("job.lease_lost", task=name, job_id=claim.job_id)
        return False
    except Exception as error:
        logger.exception("job.failed", task=name, job_id=claim.job_id, attempt=attempt)
        with unit_of_work():
            outbox.fail(claim, f"{type(error).__name__}: {error}", task.max_attempts)
        return False
    seconds = (clock.wall() - started).total_seconds()
    logger.info("job.done", task=name, job_id=claim.job_id, attempt=attempt, seconds=round(seconds, 3))
    return True


def _run(task: tasks.Task, job: Taken, claim: Claim) -> None:
    if task.kind == "verb":
        with unit_of_work():
            task.handler(**job.args)
            outbox.finish(claim)
    else:
        task.handler(**job.args)
        outbox.finish(claim)


def run_all(limit: int = 1000) -> int:
    """Carry out everything that is due here and now, without Redis: commands and tests. Returns attempts made."""
    done = 0
    while done < limit:
        with unit_of_work():
            claims = outbox.claim_due()
        if not claims:
            break
        for claim in claims:
            execute(claim.job_id, claim.token)
            done += 1
    return done
