"""Opening an account: user, vendor, subscription and starting credits in one transaction (ACC-2)."""

from dataclasses import dataclass
from datetime import datetime

from portal.accounts import seats
from portal.audit import service as audit
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Tier
from portal.credits import service as credits
from portal.gateways import stripe
from portal.identity import addresses, passwords
from portal.identity import mails as identity_mails
from portal.identity import service as identity
from portal.identity.models import User, Vendor
from portal.identity.rules import email_key
from portal.kit import actor as actors
from portal.kit import outbox, tenancy
from portal.kit.db import db
from portal.kit.errors import Invalid
from portal.kit.text import N_
from portal.notifications import service as notifications
from portal.notifications.service import Recipient
from portal.settings import queries as settings
from portal.settings.rules import Verification
from portal.subscriptions import service as subscriptions

NAME_MAX = 120


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody entered, checked, the password hashed already. ``tier`` is None where none was chosen."""

    business_name: str
    name: str
    email: str
    password_hash: str
    tier: Tier | None
    cycle: Cycle
    locale: str


@dataclass(frozen=True, slots=True)
class Registered:
    """The account that was opened. ``trial_refused``: this person had a trial before, so the tier waits for payment."""

    user: User
    vendor: Vendor
    trial_refused: bool


def prepare(
    *,
    business_name: str,
    name: str,
    email: str,
    password: str,
    tier_code: str | None,
    cycle: Cycle = Cycle.MONTHLY,
    locale: str = "en",
) -> Registration:
    """Check what was entered and hash the password; before the unit of work, since hashing takes its time.

    Invalid with every field that is wrong: ``business_name``, ``name``, ``email``, ``password``, ``tier``.
    """
    faults = {f: m for f, m in (("business_name", _fault(business_name)), ("name", _fault(name))) if m}
    try:
        address = addresses.checked(email)
    except Invalid as error:
        faults |= error.fields
        address = email
    if wrong := passwords.fault(password, (name, email, business_name)):
        faults["password"] = wrong
    tier = open_tier(tier_code) if tier_code is not None else None
    if tier_code is not None and tier is None:
        faults["tier"] = N_("This plan is not offered. Choose one from the list.")
    if faults:
        raise Invalid(fields=faults)
    hashed = passwords.hashed(password)
    return Registration(business_name.strip(), name.strip(), address, hashed, tier, cycle, locale)


def open_tier(code: str) -> Tier | None:
    """The tier that anybody may choose by this code, or None: unknown, hidden, retired and on-request ones."""
    if len(code) > 64 or not code.isprintable():
        return None
    tier = catalog.tier_by_code(code)
    return tier if tier and tier.is_active and tier.is_public and tier.self_service else None


def register(registration: Registration, *, now: datetime) -> Registered:
    """Open the account. Inside the caller's unit of work: all of it happens or nothing.

    Invalid (field ``email``) when the address has an account, also one that appeared just now. The Stripe customer and
    the mails follow by jobs.
    """
    user = identity.create_user(
        registration.email,
        registration.name,
        password_hash=registration.password_hash,
        locale=registration.locale,
        now=now,
    )
    vendor = identity.create_vendor(registration.business_name, user, now=now)
    credits.open_account(vendor.id)
    with tenancy.unscoped("a new vendor is opened; earlier trials of the person count"):
        seats.take_for_owner(vendor.id, now=now)
        refused = _choose(registration, user, vendor, now)
    audit.record(
        actors.user(user.id, user.name), "account.registered", vendor_id=vendor.id, data=_trace(registration), now=now
    )
    _write_later(user, vendor, now)
    return Registered(user, vendor, refused)


def _choose(registration: Registration, user: User, vendor: Vendor, now: datetime) -> bool:
    """Start the chosen tier; True when its trial is refused."""
    tier = registration.tier
    if tier is None:
        return False
    actor = actors.user(user.id, user.name)
    started = subscriptions.start(
        vendor.id, tier, email_key=user.email_key, actor=actor, now=now, cycle=registration.cycle
    )
    if started.trial_refused:
        _tell_trial_used(user, vendor, tier, now)
    return started.trial_refused


def _tell_trial_used(user: User, vendor: Vendor, tier: Tier, now: datetime) -> None:
    notifications.send(
        "trial_used",
        Recipient(user.email, user.name, user.locale),
        dedupe_key=f"trial_used:{vendor.id}",
        vendor_id=vendor.id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        tier=tier.name,
    )


def _write_later(user: User, vendor: Vendor, now: datetime) -> None:
    if stripe.is_configured():
        outbox.enqueue(
            "accounts.make_stripe_customer",
            dedupe_key=f"customer:{vendor.id}",
            vendor_id=vendor.id,
            for_vendor=vendor.id,
        )
    if settings.current().email_verification != Verification.OFF:
        identity_mails.verification(user, cause="first", now=now)


def _trace(registration: Registration) -> dict[str, str | None]:
    return {"email": email_key(registration.email), "tier": registration.tier.code if registration.tier else None}


def _fault(text: str) -> str | None:
    if not text.strip():
        return N_("This is needed.")
    if len(text.strip()) > NAME_MAX:
        return N_("Use at most 120 characters.")
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        return N_("This contains characters that cannot be used here.")
    return None


def keep_customer(vendor_id: int, customer_id: str) -> str:
    """Note the vendor's Stripe customer; the first one noted stays. Gives the one that counts."""
    vendor = db.session.get_one(Vendor, vendor_id, with_for_update=True, populate_existing=True)
    vendor.stripe_customer_id = vendor.stripe_customer_id or customer_id
    return vendor.stripe_customer_id
