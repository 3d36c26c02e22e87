"""``flask jobs``: the outbox as an operator sees it."""

from datetime import timedelta

import click
from flask import Flask
from flask.cli import AppGroup
from sqlalchemy import func, select

from portal.kit import clock, outbox
from portal.kit.db import db
from portal.kit.models import Heartbeat, OutboxJob
from portal.kit.unit_of_work import end_reading, unit_of_work

group = AppGroup("jobs", help="See what waits, what failed, and try it again.")
#: A process beats every ten seconds; four missed beats mean that it is gone.
ALIVE = timedelta(seconds=40)


def register(app: Flask) -> None:
    """Add ``flask jobs``."""
    app.cli.add_command(group)


def beating(kind: str) -> bool:
    """Did a process of this kind (worker, scheduler) say lately that it lives?"""
    last = db.session.scalar(select(func.max(Heartbeat.seen_at)).where(Heartbeat.kind == kind))
    end_reading()
    return last is not None and last > clock.wall() - ALIVE


def count(state: str) -> int:
    """How many jobs are in this state: pending, done, dead."""
    number = db.session.scalar(select(func.count()).select_from(OutboxJob).where(OutboxJob.state == state))
    end_reading()
    return int(number or 0)


def _in_state(state: str, limit: int) -> list[OutboxJob]:
    newest = OutboxJob.id.desc()
    return list(db.session.scalars(select(OutboxJob).where(OutboxJob.state == state).order_by(newest).limit(limit)))


@group.command("list")
@click.option("--state", type=click.Choice(["pending", "done", "dead"]), default="pending", show_default=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
def list_(state: str, limit: int) -> None:
    """Show jobs, the newest first."""
    for job in _in_state(state, limit):
        click.echo(_line(job))
    click.echo(f"{count(state)} jobs are {state}.")


@group.command("dead")
def dead() -> None:
    """Show the jobs that were given up, with the error of the last try."""
    found = _in_state("dead", 1000)
    for job in found:
        click.echo(f"{_line(job)}\n      {job.last_error or ''}")
    if found:
        click.echo("When the cause is gone: flask jobs retry ID (or --all).")
    else:
        click.echo("No job was given up.")


@group.command("retry")
@click.argument("ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every job that was given up.")
def retry(ids: tuple[int, ...], everything: bool) -> None:
    """Try jobs that were given up once more, from their first attempt."""
    if bool(ids) == everything:
        raise click.UsageError("Name one or several jobs, or --all.")
    wanted = [job.id for job in _in_state("dead", 100_000)] if everything else list(ids)
    with unit_of_work():
        revived = [job_id for job_id in wanted if outbox.revive(job_id)]
    click.echo(f"{len(revived)} jobs will be tried again.")
    if missed := sorted({*wanted} - {*revived}):
        raise click.ClickException(f"Not given up, so left alone: {', '.join(map(str, missed))}")


def _line(job: OutboxJob) -> str:
    vendor = f"  vendor {job.vendor_id}" if job.vendor_id else ""
    tries = "1 try" if job.attempts == 1 else f"{job.attempts} tries"
    return f"{job.id:>6}  {job.task}{vendor}  {tries}  due {job.run_at:%Y-%m-%d %H:%M:%S} UTC"
