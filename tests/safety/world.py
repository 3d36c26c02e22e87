"""Two vendors with something on every page: one that pays by card and has everything, one that pays by transfer."""

from dataclasses import dataclass
from datetime import date, timedelta

from flask.testing import FlaskClient

from portal.billing import statements
from portal.billing.models import Dispute, Payment, Refund
from portal.billing.statement_files import Booking
from portal.catalog.rules import Metric
from portal.checkout import transfer_flows
from portal.entitlements.overrides import Wish as OverrideWish
from portal.entitlements.rules import Kind
from portal.identity.models import Vendor
from portal.kit import actor, clock, jobs, tenancy
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import notes
from portal.subscriptions import ending_flows, overrides
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.endings import Wish
from portal.subscriptions.rules import usage_window
from portal.usage import service as usage
from tests.browser import cast, cast_addons
from tests.safety.files import pdf
from tests.support import people, stories, teams
from tests.support.people import Someone
from tests.support.servers import Sandbox
from tests.support.stories import Somebody
from tests.transfer import steps

SAM = actor.staff(1, "Sam Staff")


@dataclass(frozen=True)
class World:
    """Who there is, all of them with people.PASSWORD; and the end of the link by which somebody may join."""

    card: Someone
    transfer: Someone
    staff: str
    invitation: str


def build(sandbox: Sandbox, client: FlaskClient) -> World:
    """Let them live a little."""
    with tenancy.unscoped("a test"):
        stories.push_catalog()
        staff = people.staff().email
        card = people.register("ada@shop.example", business="Ada's Shop", tier="business")
        jobs.run_all()
        _pays(card, sandbox, client)
        invitation = _has_everything(card)
        steps.offer()
        transfer = _transfers()
        stories.settle(sandbox, client)
        _ends(card)
        stories.settle(sandbox, client)
        return World(card, transfer, staff, invitation)


def _owner(who: Someone) -> Actor:
    return actor.user(who.user_id, who.name)


def _pays(who: Someone, sandbox: Sandbox, client: FlaskClient) -> None:
    somebody = Somebody(who.vendor_id, who.code, who.email, _owner(who))
    stories.pays(stories.opens_checkout(somebody, "business"), stories.own_card(1))
    stories.settle(sandbox, client)


def _has_everything(who: Someone) -> str:
    _uses(who)
    cast._asks(who)
    cast._is_equipped(who)
    cast_addons.is_furnished(who)
    cast._is_billed(who)
    teams.joins(who, "carol@shop.example")
    invitation = teams.token(teams.invite(who, "invited@shop.example"))
    now = clock.business()
    wish = OverrideWish(Kind.LIMIT, "orders", "Asked nicely", amount=3000, until=now + timedelta(days=9))
    with tenancy.scoped(who.vendor_id), unit_of_work():
        overrides.set_override(who.vendor_id, wish, actor=SAM, now=now)
        _money_went_back(who)
    return invitation


def _uses(who: Someone) -> None:
    """Orders of two shops, of which there are nearly too many: so the vendor was told."""
    now = clock.business()
    with tenancy.scoped(who.vendor_id):
        month = usage_window(subscriptions.held(who.vendor_id).period_start, now)
        db.session.rollback()
        with unit_of_work():
            usage.record(who.vendor_id, Metric.ORDERS, 1870, key="world:1", subject="Shop", at=now, period_start=month)
            told = {"metric": "Orders", "threshold": 80, "used": 1870, "limit": 2000}
            notes.tell(who.vendor_id, "usage_alert", told, dedupe_key="world:orders", now=now)


def _money_went_back(who: Someone) -> None:
    """A refund that failed and a dispute, as Stripe tells of them."""
    now, payment = clock.business(), db.session.query(Payment).filter_by(vendor_id=who.vendor_id).first()
    assert payment is not None
    same = {"vendor_id": who.vendor_id, "payment_id": payment.id, "currency": "EUR", "amount_minor": 100}
    refund = Refund(**same, provider="stripe", reference="re_1", state="failed", reason="Asked", error="lost")
    refund.invoice_id, refund.created_at = payment.invoice_id, now
    refund.actor_kind, refund.actor_label = "staff", "Sam"
    dispute = Dispute(**same, stripe_dispute_id="dp_1", status="needs_response", reason="fraudulent", opened_at=now)
    db.session.add_all([refund, dispute])


def _transfers() -> Someone:
    who = people.register("bob@shop.example", business="Bob's Shop", name="Bob Owner", tier="professional")
    with unit_of_work():
        vendor = db.session.get_one(Vendor, who.vendor_id)
        vendor.legal_name = "Bob GmbH"
        vendor.address = {"street": "Hauptstr. 1", "postcode": "10115", "city": "Berlin", "country": "DE"}
    waiting = steps.orders(Somebody(who.vendor_id, who.code, who.email, _owner(who)))
    with tenancy.scoped(who.vendor_id):
        transfer_flows.hand_in(who.vendor_id, waiting, "receipt.pdf", pdf(), actor=_owner(who))
    day = date(2027, 1, 14)
    bookings = [Booking(day, 4200, "EUR", "Bob", "thank you"), Booking(day, 1, "EUR", "Carol", "sorry")]
    with unit_of_work():
        statements.keep("january.csv", "csv", "0" * 64, bookings, actor=SAM, now=clock.business())
    return who


def _ends(who: Someone) -> None:
    with tenancy.scoped(who.vendor_id):
        version = subscriptions.held(who.vendor_id).version
        db.session.rollback()
        wish = Wish(False, feedback="unused", comment="We closed the shop for a year.")
        ending_flows.cancel(who.vendor_id, wish, actor=_owner(who), base_version=version)
