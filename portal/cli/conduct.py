"""``flask conduct``: move business time, and let the portal and its Stripe sandbox keep up, step by step.

At the end of each step of at most six hours everything that it brought about has happened: Stripe's due work, its
events, the periodic tasks, the jobs. So no reminder is jumped over, and each thing happens on its date.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import click
from flask import Flask, current_app
from sqlalchemy import func, select

from portal.billing.models import Invoice
from portal.billing.rules import InvoiceStatus
from portal.cli.jobs import beating, count
from portal.identity.models import Vendor
from portal.kit import clock, dispatcher, outbox, periodic, tenancy
from portal.kit import jobs as outbox_jobs
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Provider, Status

STEP = timedelta(hours=6)
#: Wall seconds for all that one step brings about. Longer than a job’s lease: a killed worker’s job is tried again.
PATIENCE = 90.0
#: Wall seconds in which the sandbox's controls answer.
ANSWERS_WITHIN = 90.0
#: Wall seconds between two looks at what others do, at first and at most.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.1
#: A job that the queue refuses is due again so soon: it is no later try, and time must not pass it by.
GIVEN_BACK = timedelta(seconds=2)
#: A renewal's invoice is a draft for an hour before the card is charged.
DRAFT = timedelta(hours=1, seconds=1)


class ConductorError(RuntimeError):
    """Time cannot be moved, or something does not keep up; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What Stripe did just now, and how many events the portal has refused and Stripe will send again."""

    moved: int
    refused: int


class StripeSide(Protocol):
    """Something that lets Stripe do what is due and brings its events to the portal."""

    def keep_up(self) -> Kept:
        """Do what is due at the present business time and hand over what waits."""


class NoStripe:
    """An installation without the sandbox: nothing happens there."""

    def keep_up(self) -> Kept:
        """Nothing to do."""
        return Kept(0, 0)


class SandboxControl:
    """The sandbox's own controls. Raises ConductorError when it does not answer."""

    def __init__(self, url: str) -> None:
        import requests

        self.url = url.rstrip("/")
        self._http = requests.Session()
        self._http.trust_env = False
        self._errors = requests.RequestException

    def call(self, method: str, path: str) -> Any:
        """One control, such as ``GET /_sandbox/status``; its JSON."""
        try:
            answer = self._http.request(method, f"{self.url}/_sandbox/{path}", timeout=ANSWERS_WITHIN)
            answer.raise_for_status()
            return answer.json()
        except self._errors as error:
            raise ConductorError(f"The Stripe sandbox at {self.url} does not answer: {error}") from error

    def acknowledge(self, delivery: int) -> None:
        """The portal has stored this delivery's event; one that the sandbox brought meanwhile is no matter."""
        self._http.post(f"{self.url}/_sandbox/deliveries/{delivery}/ack", timeout=ANSWERS_WITHIN)


class OverHttp:
    """Events travel as Stripe sends them: posted to the portal's address by the sandbox."""

    def __init__(self, control: SandboxControl) -> None:
        self.control = control

    def keep_up(self) -> Kept:
        """One cheap question when nothing is due. An event that a fault delays is not waited for."""
        status = self.control.call("GET", "status")
        if not status["due_now"] and not status["deliveries_pending"]:
            return Kept(0, 0)
        ran = self.control.call("POST", "run-due")["ran"]
        attempts = self.control.call("POST", "deliver")["attempts"]
        waiting = self.control.call("GET", "deliveries")["data"]
        return Kept(ran + attempts, sum(bool(delivery["attempts"]) for delivery in waiting))


@dataclass
class Conductor:
    """Moves the clock. ``inline``: jobs are carried out in this process; else the running worker does them.

    Needs an application context. ``say`` gets one line per day.
    """

    stripe: StripeSide
    inline: bool
    say: Callable[[str], None] = lambda line: None
    _happened: int = field(default=0, init=False)

    def advance(self, to: datetime) -> None:
        """Move business time forward to ``to``; a moment that has passed moves nothing, but all is drained.

        Raises ConductorError when a step's work is not done within PATIENCE; the clock then stays where it is.
        """
        self.settle()
        while (now := clock.business()) < to:
            moment = min(now + STEP, to)
            clock.move_to(max(moment, clock.business()))
            with unit_of_work():
                self._happened += periodic.insert_due()
            self.settle()
            if moment.date() != now.date() or moment == to:
                self.say(f"{moment:%Y-%m-%d %H:%M} UTC  {self._happened} things happened")
                self._happened = 0

    def settle(self) -> None:
        """Let Stripe and the jobs work until nothing new happens. What waits for a later try is not waited for."""
        end, pause = time.monotonic() + PATIENCE, SHORTEST_PAUSE
        while True:
            # Jobs first and last: what Stripe did for a job that ended after it was asked is seen in the next round.
            done, left = self._work(), self._left()
            kept = self.stripe.keep_up()
            self._happened += done + kept.moved
            if not (done or left or kept.moved or kept.refused or self._left()):
                return
            if time.monotonic() > end:
                raise ConductorError(_too_slow(self._left(), kept.refused))
            if not done and not kept.moved:
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _work(self) -> int:
        if self.inline:
            return outbox_jobs.run_all()
        return dispatcher.dispatch(current_app.extensions["portal_redis"])

    def _left(self) -> int:
        """Jobs that are due or under way, and those that the queue did not take just now; no later tries."""
        now = clock.wall()
        untried = (OutboxJob.attempts == 0) & (OutboxJob.run_at > now) & (OutboxJob.run_at <= now + GIVEN_BACK)
        refused = db.session.scalar(
            select(func.count()).select_from(OutboxJob).where(OutboxJob.state == "pending", untried)
        )
        left = outbox.pending(now) + int(refused or 0)
        end_reading()
        return left


def _too_slow(jobs_left: int, refused: int) -> str:
    said = [f"What this step brought about was not done within {PATIENCE:.0f} seconds."]
    if jobs_left:
        said.append(f"{jobs_left} jobs wait: do worker and Redis run? With --inline they are carried out here.")
    if refused:
        said.append(f"{refused} events of Stripe's were not taken by the portal: is it running, does it say why?")
    return "\n".join(said)


def advance(
    to: datetime, sandbox_url: str, inline: bool = False, say: Callable[[str], None] = lambda line: None
) -> None:
    """Move business time to ``to`` (aware) and let everything up to it happen. Needs an application context.

    ``sandbox_url`` may be empty where there is no sandbox. Jobs are carried out by the running worker where one
    beats, else (or with ``inline``) in this process. Raises ConductorError: the clock cannot be moved, another
    conductor is at work, or something does not keep up.
    """
    require_movable()
    stripe: StripeSide = OverHttp(SandboxControl(sandbox_url)) if sandbox_url else NoStripe()
    with baton():
        if to < clock.business():
            raise ConductorError(f"Time never runs backwards: it is {clock.business():%Y-%m-%d %H:%M} UTC.")
        Conductor(stripe, inline or not beating("worker"), say).advance(to)


def require_movable() -> None:
    """Raise ConductorError in production and where no CLOCK_OFFSET_FILE is set."""
    config = current_app.extensions["portal_config"]
    if config.app_env == "production":
        raise ConductorError("Time is not moved in production.")
    if not config.clock_offset_file:
        raise ConductorError("Set CLOCK_OFFSET_FILE, for the portal and its sandbox alike: it is where time is moved.")


@contextmanager
def baton() -> Iterator[None]:
    """Only one conductor at a time. Raises ConductorError while another one holds it."""
    file = Path(f"{current_app.extensions['portal_config'].clock_offset_file}.lock")
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConductorError("Time is being moved already; wait until that is done.") from None
        yield


def begin_at(moment: datetime) -> None:
    """Let a fresh installation begin at ``moment``, in the past: the one case in which time is set back.

    Raises ConductorError when a vendor has lived here or time was moved before.
    """
    require_movable()
    file = Path(current_app.extensions["portal_config"].clock_offset_file)
    inhabited = db.session.scalar(select(Vendor.id).limit(1)) is not None
    end_reading()
    if inhabited or file.exists():
        raise ConductorError("Only an installation without vendors, whose time was never moved, can begin in the past.")
    file.write_text(str((moment - clock.wall()).total_seconds()))


def next_charge(customer: str = "") -> datetime | None:
    """When a card is charged next: at a renewal (with the hour of its draft) or when a refused one is tried again.

    ``customer`` is a vendor's code or its Stripe customer; empty: whoever comes first.
    """
    mine = (Vendor.code == customer) | (Vendor.stripe_customer_id == customer) if customer else Vendor.id.is_not(None)
    renewals = select(func.min(VendorSubscription.period_end)).join(Vendor, Vendor.id == VendorSubscription.vendor_id)
    live = (VendorSubscription.provider == Provider.STRIPE) & (VendorSubscription.status == Status.ACTIVE)
    staying = VendorSubscription.cancel_at_period_end.is_(False) & VendorSubscription.ended_at.is_(None)
    retries = select(func.min(Invoice.next_attempt_at)).join(Vendor, Vendor.id == Invoice.vendor_id)
    with tenancy.unscoped("the conductor looks for the next charge of all"):
        renewal = db.session.scalar(renewals.where(mine, live, staying))
        retry = db.session.scalar(retries.where(mine, Invoice.status == InvoiceStatus.OPEN))
    end_reading()
    found = [*([renewal + DRAFT] if renewal else []), *([retry + timedelta(seconds=1)] if retry else [])]
    return min(found, default=None)


def register(app: Flask) -> None:
    """Add ``flask conduct``."""
    app.cli.add_command(conduct)


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter("write it as 2027-01-31 or 2027-01-31T12:00:00Z") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


_much = click.FloatRange(min=0, min_open=True, max=36_500)


@click.command()
@click.option("--days", type=_much, help="Move on by so many days.")
@click.option("--hours", type=_much, help="Move on by so many hours.")
@click.option("--to", callback=_moment, metavar="ISO", help="Move to this moment (UTC unless it says otherwise).")
@click.option(
    "--to-next-charge",
    "charge",
    is_flag=False,
    flag_value="",
    metavar="[CUSTOMER]",
    help="Move past the next charge of anyone, or of this vendor (its code or Stripe customer).",
)
@click.option("--inline", is_flag=True, help="Carry out the jobs in this process, even when a worker runs.")
def conduct(days: float | None, hours: float | None, to: datetime | None, charge: str | None, inline: bool) -> None:
    """Move business time; portal and Stripe sandbox live through everything on the way."""
    if sum(given is not None for given in (days, hours, to, charge)) != 1:
        raise click.UsageError("Choose one of --days, --hours, --to and --to-next-charge.")
    try:
        require_movable()
        target = to or _target(days, hours, charge)
        dead = count("dead")
        advance(target, current_app.extensions["portal_config"].sandbox_url, inline, partial(click.echo))
    except ConductorError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"It is {clock.business():%Y-%m-%d %H:%M} UTC.")
    if (more := count("dead") - dead) > 0:
        click.echo(f"{more} jobs were given up on the way; see them with: flask jobs dead")


def _target(days: float | None, hours: float | None, charge: str | None) -> datetime:
    if charge is None:
        return clock.business() + timedelta(days=days or 0, hours=hours or 0)
    found = next_charge(charge)
    if found is None:
        raise ConductorError(f"No charge is to come{f' for {charge}' if charge else ''}.")
    return max(found, clock.business() + timedelta(seconds=1))
