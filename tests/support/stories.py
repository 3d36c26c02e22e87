"""Life stories in few words: a vendor that signs up, pays in the sandbox as a browser would, and lives on."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests
from flask.testing import FlaskClient
from sqlalchemy import delete, select

from portal.accounts import service as accounts
from portal.addons import included
from portal.billing.models import Invoice, Payment
from portal.catalog import flows as catalog_flows
from portal.catalog import queries as catalog
from portal.catalog.models import AddonProduct
from portal.catalog.rules import Cycle
from portal.checkout import flows as checkout
from portal.checkout.flows import Addresses
from portal.checkout.models import Order, Purchase
from portal.credits import queries as credits
from portal.entitlements import queries as entitlements
from portal.gateways import stripe
from portal.identity.models import Vendor
from portal.kit import actor, clock, jobs, periodic, tenancy
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.stripe_events.models import WebhookEvent
from portal.subscriptions import queries as subscriptions
from tests.support.servers import KEY, Sandbox, deliver

#: Whoever looks at Stripe's pages and its dashboard: connections stay open, and no proxy is looked for.
SOMEWHERE = requests.Session()
SOMEWHERE.trust_env = False
PASSWORD = "correct horse battery staple 9"
VISA = "4242424242424242"


@dataclass(frozen=True)
class Somebody:
    """A vendor of a story, with its owner."""

    id: int
    code: str
    email: str
    actor: Actor


def push_catalog() -> None:
    """Let Stripe know the catalog."""
    catalog_flows.push(stripe.current(), dry_run=False)


def signs_up(tier: str | None = "professional", email: str = "ada@shop.example", name: str = "Ada's Shop") -> Somebody:
    """Register and let the jobs run."""
    registration = accounts.prepare(
        business_name=name, name="Ada Lovelace", email=email, password=PASSWORD, tier_code=tier, cycle=Cycle.MONTHLY
    )
    with unit_of_work():
        made = accounts.register(registration, now=clock.business())
        somebody = Somebody(made.vendor.id, made.vendor.code, email, actor.user(made.user.id, made.user.name))
    jobs.run_all()
    return somebody


def opens_checkout(who: Somebody, tier: str = "professional", cycle: Cycle = Cycle.MONTHLY) -> str:
    """Open the Checkout page; gives its address."""
    price = catalog.offer(tier, cycle)
    assert price is not None
    back = f"http://localhost/vendor/{who.code}/billing"
    addresses = Addresses(f"{back}/done?session_id={{CHECKOUT_SESSION_ID}}", back)
    with tenancy.scoped(who.id):
        return checkout.start(who.id, price.id, addresses, actor=who.actor)


class _Form(HTMLParser):
    """The first form of a page that has a card number: its address and hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {k: v or "" for k, v in attrs}
        if tag == "form" and not self.action:
            self.action = a.get("action", "")
        if tag == "input" and a.get("type") == "hidden":
            self.fields[a["name"]] = a.get("value", "")


def pays(url: str, card: str = VISA) -> requests.Response:
    """Enter a card on a hosted page and send it; gives the answer, redirects not followed."""
    form = _Form()
    form.feed(SOMEWHERE.get(url, timeout=20).text)
    data = {**form.fields, "number": card, "expiry": "12 / 34", "cvc": "123", "name": "Ada Lovelace"}
    return SOMEWHERE.post(urljoin(url, form.action or url), data=data, timeout=20, allow_redirects=False)


def own_card(number: int) -> str:
    """A card that works and that nobody else has: 4242 4242, seven digits, check digit (Luhn)."""
    digits = f"42424242{number:07d}"
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits))]
    return f"{digits}{-sum(v - 9 if v > 9 else v for v in doubled) % 10}"


def settle(sandbox: Sandbox, client: FlaskClient) -> None:
    """Deliver events and carry out jobs until nothing new happens."""
    while deliver(sandbox, client) + jobs.run_all():
        pass


def lives_on(sandbox: Sandbox, client: FlaskClient, travel: Any, *, step: int = 24, **delta: float) -> None:
    """Let business time pass in steps of so many hours; with a day's everything happens on its date.

    Longer steps are as if nobody had looked for that long: quicker, for stories in which no reminder matters. The
    nightly comparison with Stripe, half of what a day takes, is made on the last day alone.
    """
    end = travel.now.timestamp() + sum({"days": 86400, "hours": 3600}[k] * v for k, v in delta.items())
    while travel.now.timestamp() < end - 1:
        travel.on(seconds=min(step * 3600, end - travel.now.timestamp()))
        sandbox.run_due()
        with unit_of_work() as session:
            periodic.insert_due()
            if travel.now.timestamp() < end - 1:
                session.execute(delete(OutboxJob).where(OutboxJob.task == "stripe_events.reconcile"))
        settle(sandbox, client)


def stripe_get(sandbox: Sandbox, path: str, **params: str) -> Any:
    """Ask the sandbox as Stripe's own dashboard would."""
    return SOMEWHERE.get(f"{sandbox.url}/v1/{path}", params=params, auth=(KEY, ""), timeout=20).json()


def stripe_post(sandbox: Sandbox, path: str, **data: str) -> Any:
    """Do something in Stripe's own dashboard, beside the portal."""
    answer = SOMEWHERE.post(f"{sandbox.url}/v1/{path}", data=data, auth=(KEY, ""), timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def vendor_row(who: Somebody) -> Vendor:
    """The vendor as committed now."""
    return db.session.get_one(Vendor, who.id, populate_existing=True)


def mails_to(who: Somebody) -> dict[str, int]:
    """How many mails of each kind the vendor was written."""
    return dict(Counter(kind for (kind,) in db.session.query(SentMail.kind).filter_by(vendor_id=who.id)))


def portrait(who: Somebody) -> dict[str, Any]:
    """Everything that a life leaves behind, without ids and times of day, so that two lives can be compared."""
    db.session.rollback()
    held = subscriptions.overview(who.id)
    rights = entitlements.rights(who.id, clock.business())
    assert held is not None
    return {
        "subscription": (str(held.status), held.tier_code, str(held.provider), _day(held.period_start),
                         _day(held.period_end), _day(held.trial_ends_at), held.cancel_at_period_end),
        "rights": (rights.limits, rights.features),
        "credits": (held.balance, [(str(e.kind), e.amount, e.balance_after) for e in credits.ledger(who.id)]),
        "books agree": credits.verify() == [],
        "invoices": [
            (i.reason, i.status, i.total_minor, i.paid_minor, [(n.amount_minor, n.proration) for n in i.lines])
            for i in sorted(_rows(Invoice, who), key=lambda i: i.issued_at)
        ],
        "payments": [(p.status, p.amount_minor, p.currency) for p in _rows(Payment, who)],
        "orders": [(o.state, o.asked_minor) for o in _rows(Order, who)],
        "purchases": [(p.description, p.amount_minor) for p in _rows(Purchase, who)],
        "mails": mails_to(who),
        "unfinished": [(j.task, j.state, j.last_error) for j in _rows(OutboxJob, who) if j.state != "done"],
        "events": sorted({e.state for e in _rows(WebhookEvent, who)} - {"handled", "ignored"}),
    }  # fmt: skip


def _day(moment: datetime | None) -> str | None:
    return moment.date().isoformat() if moment else None


def _rows(model: Any, who: Somebody) -> list[Any]:
    return list(db.session.query(model).filter_by(vendor_id=who.id).order_by(model.id))


def uses_its_domain(vendor_id: int) -> None:
    """Set up the domain that the tier includes."""
    with tenancy.scoped(vendor_id), unit_of_work() as session:
        product_id = session.scalars(select(AddonProduct.id).where(AddonProduct.code == "custom-domain")).one()
        named = {"name": "kilim.example", "shown": "kilim.example"}
        included.set_up(vendor_id, product_id, named, actor=actor.SYSTEM, now=clock.business())
