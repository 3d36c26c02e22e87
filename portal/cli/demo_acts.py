"""What the people of the demo do, each by the verb that the pages use. Every act can be repeated without harm."""

from collections.abc import Iterator
from datetime import datetime
from zlib import crc32

from flask import current_app

from portal.accounts import invitations
from portal.accounts import service as accounts
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle, Metric, Price
from portal.checkout import flows as checkout
from portal.checkout.flows import Addresses
from portal.cli import demo_stripe
from portal.cli.conduct import ConductorError
from portal.cli.demo_cast import ADMIN_EMAIL, ADMIN_NAME, PASSWORD, Change, Vendor
from portal.credits import service as credits
from portal.entitlements import metering
from portal.identity import links, passwords
from portal.identity import queries as people
from portal.identity import service as identity
from portal.identity.models import User
from portal.identity.rules import StaffKind, email_key
from portal.kit import actor as actors
from portal.kit import clock, tenancy
from portal.kit.actor import SYSTEM, Actor
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import change_flows
from portal.subscriptions import queries as held
from portal.subscriptions.rules import Provider, When, is_open, usage_window
from portal.usage import queries as usage_queries
from portal.usage import service as usage
from portal.usage.rules import Event


def hire() -> None:
    """The operator's admin."""
    if _user(ADMIN_EMAIL):
        return
    hashed, now = passwords.hashed(PASSWORD), clock.business()
    with unit_of_work():
        user = identity.create_user(ADMIN_EMAIL, ADMIN_NAME, password_hash=hashed, locale="en", now=now)
        identity.make_staff(user, StaffKind.ADMIN, actor=SYSTEM, now=now)
        _confirm(user, now)


def join(vendor: Vendor) -> None:
    """Sign up for the tier, confirm the address, and bring what the shop has already."""
    if _user(vendor.email):
        return
    registration = accounts.prepare(
        business_name=vendor.name,
        name=vendor.owner,
        email=vendor.email,
        password=PASSWORD,
        tier_code=vendor.tier,
        cycle=vendor.cycle,
    )
    now = clock.business()
    with unit_of_work():
        made = accounts.register(registration, now=now)
        _confirm(made.user, now)
        with tenancy.scoped(made.vendor.id):
            for metric, quantity in vendor.levels.items():
                usage.record(made.vendor.id, metric, quantity, key=f"demo:start:{metric}", at=now, period_start=now)


def gather(vendor: Vendor) -> None:
    """The owner invites the colleagues, and each makes a login by the link."""
    vendor_id, owner = found(vendor)
    domain = vendor.email.rpartition("@")[2]
    for colleague in vendor.team:
        email = f"{colleague.name.split()[0].lower()}@{domain}"
        if _user(email):
            continue
        hashed, now = passwords.hashed(PASSWORD), clock.business()
        with tenancy.scoped(vendor_id), unit_of_work():
            invited = invitations.invite(vendor_id, email, colleague.role, locale="en", actor=owner, now=now)
            link = links.make_invitation(invited.id, invited.created_at)
            invitations.join_as_new(link, colleague.name, hashed, locale="en", now=now)


def pay(vendor: Vendor) -> None:
    """Add a card on Stripe's page. Events and jobs then make it a paid subscription."""
    vendor_id, owner = found(vendor)
    with tenancy.scoped(vendor_id):
        if held.held(vendor_id).provider == Provider.STRIPE:
            return
        config, code = current_app.extensions["portal_config"], _code(owner.id or 0)
        back = f"{config.base_url}/vendor/{code}/billing"
        price = _price(vendor.tier, vendor.cycle)
        url = checkout.start(vendor_id, price.id, Addresses(back, back), actor=owner)
        end_reading()
    demo_stripe.pay(url, vendor.card, vendor.owner)


def change(vendor: Vendor, wanted: Change) -> None:
    """The admin changes the tier, at once with proration or at the next cycle."""
    vendor_id, _ = found(vendor)
    with tenancy.scoped(vendor_id):
        price, present = _price(wanted.tier, vendor.cycle), held.held(vendor_id)
        if present.price_id == price.id or held.scheduled_change(vendor_id):
            return
        when = When.NEXT if wanted.at_next_cycle else When.NOW
        change_flows.change_tier(vendor_id, price.id, when, actor=_admin(), base_version=present.version)


def thank(vendor: Vendor) -> None:
    """A gift of credits from the admin."""
    vendor_id, _ = found(vendor)
    reason = "Thank you for trying the new editor with us"
    admin = _admin()
    with tenancy.scoped(vendor_id), unit_of_work():
        credits.adjust(vendor_id, vendor.gift, reason=reason, key="demo:gift", actor=admin, now=clock.business())


def sell(vendor: Vendor, at: datetime) -> None:
    """A day's orders, as far as the product is open and the month's ceiling is not reached."""
    vendor_id, _ = found(vendor)
    with tenancy.scoped(vendor_id):
        present = held.held(vendor_id)
        month = usage_window(present.period_start, at)
        so_far = usage_queries.counters(vendor_id, month).get(Metric.ORDERS, 0)
        orders = min(orders_on(vendor, at), vendor.ceiling - so_far)
        if not is_open(present.status) or orders < 1:
            return
        with unit_of_work():
            metering.record_batch(vendor_id, list(_orders(orders, at)), now=at)


def _orders(number: int, at: datetime) -> Iterator[Event]:
    """The day's orders as the shop reports them: a third came by the marketplace, the rest through the website."""
    parts = {"marketplace": number // 3, "website": number - number // 3}
    for where, quantity in parts.items():
        if quantity:
            yield Event(f"demo:orders:{at:%Y-%m-%d}:{where}", Metric.ORDERS, quantity, at, where)


def orders_on(vendor: Vendor, at: datetime) -> int:
    """Between 60 and 140 % of a usual day, half as many at weekends; always the same for the same day."""
    share = 60 + crc32(f"{vendor.name} {at:%Y-%m-%d}".encode()) % 81
    return vendor.orders * share // (200 if at.weekday() > 4 else 100)


def _user(email: str) -> User | None:
    user = people.user_by_key(email_key(email))
    end_reading()
    return user


def _confirm(user: User, now: datetime) -> None:
    """As by the link in the mail."""
    token = links.make(links.Purpose.VERIFY, user)
    identity.verify_email(links.read(token, links.Purpose.VERIFY), now=now)


def found(vendor: Vendor) -> tuple[int, Actor]:
    """The vendor's id and its owner."""
    user = _user(vendor.email)
    mine = people.vendors_of(user.id) if user else []
    end_reading()
    if user is None or not mine:
        raise ConductorError(f"The demo's vendor {vendor.name} is missing.")
    return mine[0].id, actors.user(user.id, user.name)


def _code(user_id: int) -> str:
    return people.vendors_of(user_id)[0].code


def _admin() -> Actor:
    user = _user(ADMIN_EMAIL)
    return actors.staff(user.id, user.name) if user else SYSTEM


def _price(tier: str, cycle: Cycle) -> Price:
    price = catalog.offer(tier, cycle)
    end_reading()
    if price is None:
        raise ConductorError(f"The demo needs the tier {tier} of the marketplace catalog, which is not on offer.")
    return price
