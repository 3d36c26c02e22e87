"""Loading the demo: a fresh installation begins in the past and lives through months until the present.

Nothing is written that could not have happened: vendors sign up, pay in the sandbox, are charged, reminded and changed
on their dates, by the verbs and jobs of every day.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from flask import current_app
from sqlalchemy import select

from portal.cli import conduct, demo_acts, demo_addons
from portal.cli.conduct import Conductor, ConductorError, SandboxControl
from portal.cli.demo_cast import CAST, OWNER_EMAIL, SPAN, Vendor
from portal.cli.demo_stripe import InProcess
from portal.gateways import stripe
from portal.identity import models
from portal.identity import queries as people
from portal.identity.rules import email_key
from portal.kit import clock, periodic, tasks
from portal.kit.db import db
from portal.kit.models import PeriodicRun
from portal.kit.unit_of_work import end_reading, unit_of_work

RECONCILE = "stripe_events.reconcile"
#: Business time lies behind the wall's only while a demo lives through its past.
UNDER_WAY = timedelta(minutes=-1)


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens at a moment; ``what`` is said aloud, and is empty for everyday things."""

    at: datetime
    what: str
    do: Callable[[], None]


def is_loaded() -> bool:
    """Was the demo loaded, to its end?"""
    owner = people.user_by_key(email_key(OWNER_EMAIL))
    end_reading()
    return owner is not None and not under_way()


def under_way() -> bool:
    """Was a load begun and interrupted? It goes on where it stopped."""
    return clock.offset() < UNDER_WAY


def impossible() -> str:
    """Why the demo cannot be loaded here, or nothing."""
    config = current_app.extensions["portal_config"]
    if config.app_env == "production":
        return "production has no demo."
    if not (stripe.is_configured() and config.sandbox_url and config.clock_offset_file):
        return "its vendors pay at the Stripe sandbox, whose clock is moved (SANDBOX_URL, CLOCK_OFFSET_FILE)."
    if under_way():
        return ""
    inhabited = db.session.scalar(select(models.Vendor.id).limit(1)) is not None
    end_reading()
    if inhabited or Path(config.clock_offset_file).exists():
        return "its history begins in the past, so it needs an installation without vendors whose time was not moved."
    return ""


def begin() -> None:
    """Set business time to the demo's first day, before the catalog is loaded, so that it is on sale by then."""
    if not under_way():
        conduct.begin_at(clock.wall() - SPAN)
    _leave_out_reconciling()


def _leave_out_reconciling() -> None:
    """No event is lost while this one process brings them all, so nightly reconciling begins with the present."""
    for task in tasks.all_periodic():
        if task.task == RECONCILE:
            with unit_of_work() as session:
                present = periodic.period_of(clock.wall(), task.every)
                session.merge(PeriodicRun(task=RECONCILE, period_at=present))


def load(say: Callable[[str], None]) -> None:
    """Live through the demo's history up to the present; afterwards business time is the wall's again.

    ``begin`` was called and the catalog is pushed. May be interrupted and called again. Raises ConductorError.
    """
    config = current_app.extensions["portal_config"]
    present = clock.wall()
    side = InProcess(SandboxControl(config.sandbox_url), config.webhook_secrets)
    conductor = Conductor(side, inline=True)
    say("Living through the demo's first months …")
    with conduct.baton():
        for act in sorted(timeline(present), key=lambda act: act.at):
            if act.at > clock.business():
                conductor.advance(act.at)
            act.do()
            if act.what:
                conductor.settle()
                say(f"  {act.at:%Y-%m-%d}  {act.what}")
        conductor.advance(clock.wall())
        Path(config.clock_offset_file).unlink()


def timeline(present: datetime) -> Iterator[Act]:
    """All that happens, in no order."""

    def ago(days: float) -> datetime:
        return present - timedelta(days=days)

    yield Act(present - SPAN, "the operator opens the portal", demo_acts.hire)
    for vendor in CAST:
        yield from _story(vendor, ago)
        for day in range(vendor.joined):
            # A quarter of a day off, so that the acts of a day fall on the conductor's steps and make no more of them.
            at = ago(day + 0.25)
            yield Act(at, "", partial(demo_acts.sell, vendor, at))


def _story(vendor: Vendor, ago: Callable[[float], datetime]) -> Iterator[Act]:
    yield Act(ago(vendor.joined), f"{vendor.name} signs up", partial(demo_acts.join, vendor))
    yield Act(ago(vendor.joined), "", partial(demo_acts.gather, vendor))
    if vendor.pays_after is not None:
        at = ago(vendor.joined - vendor.pays_after)
        yield Act(at, f"{vendor.name} adds a card", partial(demo_acts.pay, vendor))
    if vendor.change:
        what = f"an admin changes the tier of {vendor.name}"
        yield Act(ago(vendor.change.ago), what, partial(demo_acts.change, vendor, vendor.change))
    for extra in vendor.extras:
        yield Act(ago(extra.ago), f"{vendor.name} adds {extra.code}", partial(demo_addons.add, vendor, extra))
        if extra.left is not None:
            yield Act(ago(extra.left), f"{vendor.name} cancels it", partial(demo_addons.leave, vendor, extra))
    if vendor.gift:
        yield Act(ago(2), f"{vendor.name} gets credits as a gift", partial(demo_acts.thank, vendor))


def require_possible() -> None:
    """Raise ConductorError where the demo cannot be loaded."""
    if reason := impossible():
        raise ConductorError(f"No demo: {reason}")
