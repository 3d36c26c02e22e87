"""Vendors in every standing, brought there by the portal's own verbs and fifteen days that pass at a stroke.

A command of tests/browser/one_process.py, which prints who there is as JSON.
"""

import json
from datetime import timedelta

import click
from flask import current_app

from config import Config
from portal.addons import purchase
from portal.addons import service as addons
from portal.addons.rules import Origin
from portal.billing import papers, tax_table
from portal.catalog import queries as catalog
from portal.catalog.models import AddonProduct
from portal.catalog.rules import Cycle, Metric
from portal.checkout import flows as checkout
from portal.checkout.flows import Addresses
from portal.cli import conduct
from portal.gateways import stripe
from portal.identity.models import Membership
from portal.identity.rules import Role, StaffKind
from portal.kit import actor, clock, tenancy
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.notifications import notes
from portal.settings import service as settings
from portal.subscriptions import change_flows, dunning, ending_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.endings import Wish
from portal.subscriptions.history import lock
from portal.subscriptions.rules import When, usage_window
from portal.support import service as support
from portal.support.rules import Sender, TicketKind
from portal.usage import service as usage
from tests.browser import cast_addons
from tests.support import people, stories, teams
from tests.support.people import Someone

#: Is taken for a trial, and declines every charge.
CHARGE_FAILS = "4000000000000341"
#: Days before the present on which each signs up; the trial is fourteen days long.
LONG_AGO, FOUR_LEFT = 15, 10


class Cast:
    """Who there is, and the orders that they have placed."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.people: dict[str, Someone] = {}
        self.orders: dict[str, str] = {}

    def joins(self, role: str, business: str, tier: str | None = "professional", *, verified: bool = True) -> Someone:
        """Sign up; ``role`` is how tests call them."""
        email = f"{role}@cast.example"
        someone = people.register(email, business=business, name=f"{role.title()} Owner", tier=tier, verified=verified)
        self.people[role] = someone
        return someone

    def opens_checkout(self, role: str, tier: str = "professional") -> str:
        """Give the address of the Checkout page."""
        who = self.people[role]
        back = f"{self.config.base_url}/vendor/{who.code}/billing"
        addresses = Addresses(f"{back}/done?session_id={{CHECKOUT_SESSION_ID}}", back)
        with tenancy.scoped(who.vendor_id):
            url = checkout.start(who.vendor_id, _price(tier), addresses, actor=actor.user(who.user_id, who.name))
        self.orders[role] = url.rsplit("/", 1)[-1]
        return url

    def pays(self, role: str, card: str, tier: str = "professional") -> None:
        """Add a card at Checkout; the running portal hears of it from Stripe."""
        answer = stories.pays(self.opens_checkout(role, tier), card)
        assert answer.status_code == 303, answer.text

    def passes(self, days: int) -> None:
        """Let business time pass, on both sides, as if nobody had looked meanwhile: no reminder matters here."""
        clock.move_to(clock.business() + timedelta(days=days))
        self.settles()

    def settles(self) -> None:
        """Let everything happen that is due now."""
        conduct.advance(clock.business() + timedelta(seconds=1), self.config.sandbox_url, inline=True)


def _price(tier: str) -> int:
    price = catalog.offer(tier, Cycle.MONTHLY)
    assert price is not None
    return price.id


def play(cast: Cast) -> None:
    """Fifteen days in which each gets where tests want to find them."""
    cast.joins("paying", "Atelier Marais", "business")
    cast.joins("planning", "Fjord Coffee", "business")
    cast.joins("owing", "Bluebird Books", "essential")
    cast.joins("closed", "Willow Pottery", "essential")
    cast.joins("going", "Copper Kettle")
    cast.joins("asked", "Velvet Fox", "essential")
    cast.joins("ended", "Otto's Bikes")
    for role, tier, card in (
        ("paying", "business", stories.own_card(1)),
        ("planning", "business", stories.own_card(2)),
        ("owing", "essential", CHARGE_FAILS),
        ("closed", "essential", CHARGE_FAILS),
        ("going", "professional", stories.own_card(4)),
        ("asked", "essential", stories.own_card(5)),
    ):
        cast.pays(role, card, tier)
    cast.settles()
    cast.passes(LONG_AGO - FOUR_LEFT)
    cast.joins("ending", "Tulip & Thread")
    cast.passes(FOUR_LEFT)
    _today(cast)
    cast.settles()


def _today(cast: Cast) -> None:
    """What happens on the last day."""
    cast.joins("trying", "Lantern Street")
    cast.joins("unverified", "Paper Moon", verified=False)
    cast.joins("planless", "Quiet Corner", tier=None)
    cast.joins("added", "Sea Glass")
    cast.pays("added", stories.own_card(3))
    cast.joins("behind", "Harbour Bakery", "essential")
    cast.pays("behind", CHARGE_FAILS, "essential")  # had a trial before, so it is charged at once
    cast.joins("leaving", "Northern Lights Lamps")
    cast.opens_checkout("leaving")
    _works_for(cast, "member", cast.people["paying"])
    teams.joins(cast.people["added"], "colleague@cast.example", "Carol Colleague", "manager")
    teams.invite(cast.people["added"], "invited@cast.example")
    _uses(cast.people["paying"])
    _plans_less(cast.people["planning"])
    _is_asked_by_the_bank(cast.people["asked"])
    _asks(cast.people["paying"])
    _cancels(cast.people["going"])
    _cancels(cast.joins("gone", "Petit Jardin"), at_once=True)
    _closes(cast.people["closed"])
    _is_billed(cast.joins("billed", "Maple & Moss"))
    _is_equipped(cast.joins("equipped", "Golden Thimble", "business"))
    cast_addons.is_furnished(cast.joins("furnished", "Walnut Workshop", "business"))
    cast_addons.buys_storage(cast.people["paying"], cast.config.base_url)
    staff = people.staff("support@cast.example", StaffKind.SUPPORT, "Sam Support")
    cast.people["support"] = Someone(staff.id, staff.email, staff.name, 0, "")


def _is_equipped(who: Someone) -> None:
    """Two certificates on their way: one waits for the vendor's details, the other one for staff."""
    ordered = {"name": "thimble.example", "shown": "thimble.example", "company": "Golden Thimble", "country": "DE"}
    with tenancy.unscoped("add-ons of the cast"), unit_of_work() as session:
        lock(who.vendor_id)
        product = purchase.product(session.query(AddonProduct.id).filter_by(code="premium-ssl").scalar())
        for config in ({}, ordered):
            new = addons.New(who.vendor_id, product, Origin.GIVEN, config=config, reason="For the opening")
            addons.add(new, actor=actor.staff(1, "Sam Staff"), now=clock.business())


def _is_billed(who: Someone) -> None:
    """Two invoices of the operator's own: one waits for its money, one was paid and corrected."""
    now, sam = clock.business(), actor.staff(1, "Sam Staff")
    month = papers.NewLine("Professional, monthly", 9900, period_start=now, period_end=now + timedelta(days=31))
    with tenancy.scoped(who.vendor_id), unit_of_work():
        settings.change("legal_country", "DE", actor=sam, now=now)
        tax_table.add("DE", "VAT", 1900, now.date(), actor=sam, now=now)
        for number in range(2):
            asked = papers.issue_proforma(
                who.vendor_id, [month], "EUR", reason="subscription_cycle", due_at=now + timedelta(days=14), now=now
            )
            if number == 0:
                papers.receive(asked, asked.due_minor, reference="cast-1", at=now, now=now)
                back = [papers.NewLine("", 1000)]
                papers.credit(asked, back, reason="Charged for a day too many", cause="cast", actor=sam, now=now)


def _works_for(cast: Cast, role: str, employer: Someone) -> None:
    """Somebody who may look and not buy."""
    login = people.login(f"{role}@cast.example")
    with tenancy.scoped(employer.vendor_id), unit_of_work() as session:
        session.add(
            Membership(user_id=login.id, vendor_id=employer.vendor_id, role=Role.MEMBER, created_at=clock.business())
        )
    cast.people[role] = Someone(login.id, login.email, login.name, employer.vendor_id, employer.code)


def _uses(who: Someone) -> None:
    """Business allows 2,000 orders a month and 10 team members: nearly full, and over (the owner is the twelfth)."""
    now = clock.business()
    with tenancy.scoped(who.vendor_id):
        month = usage_window(subscriptions.held(who.vendor_id).period_start, now)
        end_reading()
        for metric, quantity in ((Metric.ORDERS, 1870), (Metric.TEAM_MEMBERS, 11), (Metric.PRODUCTS, 431)):
            with unit_of_work():
                usage.record(who.vendor_id, metric, quantity, key=f"cast:{metric}", at=now, period_start=month)
        with unit_of_work():
            told = {"metric": "Orders", "threshold": 80, "used": 1870, "limit": 2000}
            notes.tell(who.vendor_id, "usage_alert", told, dedupe_key="cast:orders", now=now)


def _plans_less(who: Someone) -> None:
    with tenancy.scoped(who.vendor_id):
        version = subscriptions.held(who.vendor_id).version
        end_reading()
        owner = actor.user(who.user_id, who.name)
        change_flows.change_tier(who.vendor_id, _price("essential"), When.NEXT, actor=owner, base_version=version)


def _asks(who: Someone) -> None:
    """One question answered, one that waits, and a visitor's."""
    owner, now = Sender(who.name, who.email, "en", who.user_id), clock.business()
    visitor = Sender("Grace Visitor", "grace@elsewhere.example", "en")
    with tenancy.unscoped("questions of the cast"), unit_of_work():
        first = support.open_ticket(
            who.vendor_id,
            owner,
            subject="How do I export my orders?",
            now=now,
            body="I look for a file with all orders of a year.\n\nIs there one?",
        )
        support.answer(first, "Open Orders and choose Export.", actor=actor.staff(1, "Sam Support"), now=now)
        support.open_ticket(who.vendor_id, owner, subject="A second shop", body="Can one account have two?", now=now)
        support.open_ticket(
            None,
            visitor,
            subject="An offer for Enterprise",
            body="We run ten shops in three countries.",
            kind=TicketKind.SALES,
            tier_code="enterprise",
            now=now,
        )


def _is_asked_by_the_bank(who: Someone) -> None:
    """Its card is another one now, whose bank wants every payment confirmed."""
    with tenancy.scoped(who.vendor_id):
        held = subscriptions.held(who.vendor_id)
    end_reading()
    v1 = stripe.current()._v1
    card = v1.payment_methods.attach("pm_card_authenticationRequired", {"customer": held.stripe_customer_id})
    v1.subscriptions.update(held.stripe_subscription_id, {"default_payment_method": card["id"]})


def _cancels(who: Someone, *, at_once: bool = False) -> None:
    with tenancy.scoped(who.vendor_id):
        version = subscriptions.held(who.vendor_id).version
        end_reading()
        owner = actor.user(who.user_id, who.name)
        wish = Wish(at_once, feedback="unused", comment="We closed the shop for a year.")
        ending_flows.cancel(who.vendor_id, wish, actor=owner, base_version=version)


def _closes(who: Someone) -> None:
    """As the grace's last day does it."""
    with tenancy.scoped(who.vendor_id), unit_of_work():
        dunning.suspend(lock(who.vendor_id), now=clock.business())


@click.command("play-cast")
def play_cast() -> None:
    """Play, and say who there is."""
    cast = Cast(current_app.extensions["portal_config"])
    play(cast)
    found = {
        role: {
            "email": who.email,
            "name": who.name,
            "code": who.code,
            "vendor_id": who.vendor_id,
            "order": cast.orders.get(role, ""),
        }
        for role, who in cast.people.items()
    }
    click.echo(json.dumps(found))
