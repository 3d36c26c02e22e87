"""Trials: given once per vendor, person and card; reminded of; ended; extended. And tier changes without money."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from portal.audit import service as audit
from portal.billing import transfers
from portal.catalog.rules import Cycle, Price, Tier
from portal.credits import service as credits
from portal.credits.rules import EntryKind, LotKind
from portal.entitlements import service as entitlements
from portal.kit import tenancy
from portal.kit.actor import SYSTEM, Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.text import N_
from portal.subscriptions import mails
from portal.subscriptions.history import expect_version, lock, note, refuse_unless
from portal.subscriptions.models import Trial, VendorSubscription
from portal.subscriptions.rules import (
    REMINDER_DAYS,
    Provider,
    Status,
    extended_trial,
    is_open,
    person_hash,
    reminder_due,
)
from portal.subscriptions.states import Event, after, allowed

LONGEST_EXTENSION = 90


@dataclass(frozen=True, slots=True)
class Started:
    """What choosing a tier at sign-up led to."""

    subscription: VendorSubscription
    trial_refused: bool


def start(
    vendor_id: int, tier: Tier, *, email_key: str, actor: Actor, now: datetime, cycle: Cycle = Cycle.MONTHLY
) -> Started:
    """Give the vendor its subscription: a trial with rights and starting credits (SUB-1, ACC-2).

    A person who had a trial before gets the subscription closed (``trial_ended``), with neither rights nor credits.
    Inside the caller's unit of work.
    """
    price = tier.price(cycle)
    refused = _had_trial(email_key)
    ends = now + timedelta(days=max(tier.trial_days, 1))
    subscription = VendorSubscription(
        vendor_id=vendor_id,
        tier_code=tier.code,
        tier_id=tier.id,
        price_id=price.id if price else None,
        status=Status.TRIAL_ENDED if refused else Status.TRIAL,
        provider=Provider.NONE,
        trial_ends_at=now if refused else ends,
        period_start=now,
        period_end=ends,
        version=1,
        started_at=now,
    )
    db.session.add(subscription)
    db.session.flush()
    if refused:
        note(subscription, "trial_refused", actor=actor, now=now, tier=tier.code, reason="same person")
    else:
        _open_trial(subscription, tier, person_hash(email_key), actor, now)
    return Started(subscription, refused)


def ends_iso(subscription: VendorSubscription) -> str | None:
    """When the trial ends, as history keeps it."""
    return subscription.trial_ends_at.isoformat() if subscription.trial_ends_at else None


def _had_trial(email_key: str) -> bool:
    with tenancy.unscoped("one trial per person, whichever vendor had it"):
        return bool(db.session.scalar(select(Trial.id).where(Trial.email_hash == person_hash(email_key))))


def _open_trial(subscription: VendorSubscription, tier: Tier, person: str, actor: Actor, now: datetime) -> None:
    vendor_id = subscription.vendor_id
    db.session.add(Trial(vendor_id=vendor_id, email_hash=person, started_at=now))
    entitlements.replace_tier_grants(vendor_id, tier, now=now)
    credits.grant(
        vendor_id,
        tier.included_credits,
        source="start",
        kind=LotKind.GRANT,
        entry=EntryKind.GRANT,
        description=N_("Starting credits"),
        expires_at=None,
        actor=actor,
        now=now,
    )
    note(subscription, "trial_started", actor=actor, now=now, tier=tier.code, ends=ends_iso(subscription))
    mails.trial_started(subscription, tier, now)


def choose_tier(vendor_id: int, tier: Tier, price: Price, *, actor: Actor, now: datetime, base_version: int) -> None:
    """Change the tier where no money is involved yet: in a trial without a card, or before one was paid for.

    Conflict when the subscription changed since ``base_version`` or is already paid for through a provider.
    """
    subscription = lock(vendor_id)
    expect_version(subscription, base_version)
    if subscription.provider != Provider.NONE:
        raise Conflict(N_("This subscription is paid for: change it with a preview of what it costs."))
    refuse_unless(subscription, Event.CHANGE_TIER, actor)
    before = subscription.tier_code
    subscription.tier_code, subscription.tier_id, subscription.price_id = tier.code, tier.id, price.id
    if is_open(Status(subscription.status)):
        entitlements.replace_tier_grants(vendor_id, tier, now=now)
    note(subscription, "tier_changed", actor=actor, now=now, before=before, after=tier.code, when="now")
    audit.record(
        actor, "subscription.tier_changed", vendor_id=vendor_id, data={"from": before, "to": tier.code}, now=now
    )


def extend_local_trial(
    vendor_id: int, tier: Tier, days: int, *, reason: str, actor: Actor, now: datetime, base_version: int
) -> None:
    """Give more trial days to a vendor that pays for nothing yet; a trial that has ended opens again.

    Invalid for a number of days outside 1 to 90, Conflict when the subscription changed meanwhile.
    """
    check_days(days)
    subscription = lock(vendor_id)
    expect_version(subscription, base_version)
    if subscription.provider != Provider.NONE or not allowed(subscription.status, Event.EXTEND_TRIAL, actor.kind):
        raise Conflict(N_("There is no trial to extend."))
    ends = extended_trial(subscription.trial_ends_at, now, days)
    subscription.status = after(subscription.status, Event.EXTEND_TRIAL)
    subscription.trial_ends_at = subscription.period_end = ends
    entitlements.replace_tier_grants(vendor_id, tier, now=now)
    note_extension(subscription, ends, days, reason, actor, now)


def note_extension(
    subscription: VendorSubscription, ends: datetime, days: int, reason: str, actor: Actor, now: datetime
) -> None:
    """Write down that a trial was extended, and tell the vendor."""
    note(subscription, "trial_extended", actor=actor, now=now, reason=reason, days=days, ends=ends.isoformat())
    data = {"days": days, "ends": ends.isoformat(), "reason": reason}
    audit.record(actor, "subscription.trial_extended", vendor_id=subscription.vendor_id, data=data, now=now)
    mails.trial_extended(subscription, ends, now)


def check_days(days: int) -> None:
    """Invalid at the field ``days`` unless it is 1 to 90."""
    if not 1 <= days <= LONGEST_EXTENSION:
        raise Invalid(fields={"days": N_("Give between 1 and 90 days.")})


@dataclass(frozen=True, slots=True)
class DueTrial:
    """A trial that wants something; ``cause`` names what, once for each end date."""

    vendor_id: int
    cause: str


def due_trials(now: datetime) -> Iterator[DueTrial]:
    """Trials without a card that have ended or want a reminder at ``now``."""
    rows = db.session.execute(
        select(VendorSubscription.id, VendorSubscription.vendor_id, VendorSubscription.trial_ends_at).where(
            VendorSubscription.status == Status.TRIAL,
            VendorSubscription.provider == Provider.NONE,
            VendorSubscription.trial_ends_at <= now + timedelta(days=max(REMINDER_DAYS)),
        )
    )
    for row in rows:
        what = reminder_due(row.trial_ends_at, now) or "end"
        yield DueTrial(row.vendor_id, f"{row.id}:{row.trial_ends_at.isoformat()}:{what}")


def tend_trial(vendor_id: int, *, now: datetime) -> None:
    """End the vendor's trial if its time is over, else remind of its end if a reminder is due; each once (SUB-2)."""
    subscription = lock(vendor_id)
    if not allowed(subscription.status, Event.END_TRIAL, SYSTEM.kind) or subscription.trial_ends_at is None:
        return
    if subscription.trial_ends_at <= now:
        subscription.status = after(subscription.status, Event.END_TRIAL)
        entitlements.end_tier_grants(vendor_id, now=now)
        note(subscription, "trial_ended", actor=SYSTEM, now=now)
        awaited = transfers.is_awaited(vendor_id)
        if awaited:  # what was ordered by transfer still comes: nothing is left to choose
            subscription.status = after(subscription.status, Event.AWAIT_PAYMENT)
        mails.trial_ended(subscription, now, awaited=awaited)
    elif days := reminder_due(subscription.trial_ends_at, now):
        mails.trial_ending(subscription, days, now, awaited=transfers.is_awaited(vendor_id))
