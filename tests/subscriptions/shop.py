"""A shop that pays since a given second, and the till at which its changes are shown and charged."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from flask.testing import FlaskClient

from portal.catalog import queries as catalog
from portal.catalog import service as prices
from portal.catalog.rules import Cycle
from portal.checkout import flows as checkout
from portal.checkout.flows import Addresses
from portal.identity import queries as identity
from portal.kit import clock, tenancy
from portal.kit.actor import staff
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import change_flows, queries
from portal.subscriptions.change_flows import Preview
from portal.subscriptions.rules import ChangeState, When
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, pays, push_catalog, settle, signs_up, stripe_get
from tests.support.travel import Travel

ADMIN = staff(1, "Grace")
M, Y = Cycle.MONTHLY, Cycle.YEARLY
APRIL = datetime(2027, 4, 1, 12, tzinfo=UTC)  # to 1 May: 30 days of 86,400 s = 2,592,000 s


@dataclass(frozen=True)
class Case:
    """From a price held since ``start`` to another one, ``after`` into the period.

    ``balance``: the customer's before (negative: credit); ``left``: after.
    """

    start: datetime
    old: tuple[str, Cycle]
    new: tuple[str, Cycle]
    after: timedelta
    lines: list[int]
    due: int
    balance: int = 0
    left: int = 0
    currency: str = "EUR"
    zone: str = field(default="UTC")


def price_of(tier: str, cycle: Cycle, currency: str) -> int:
    found = catalog.offer(tier, cycle, currency)
    assert found is not None
    return found.id


def price_in_yen() -> None:
    for code, minor in (("professional", 980), ("business", 1980)):
        tier = catalog.tier_by_code(code)
        assert tier is not None
        with unit_of_work():
            prices.change_price(tier.id, M, "JPY", minor, actor=ADMIN, now=clock.business())


def pays_since(case: Case, sandbox: Sandbox, client: FlaskClient, travel: Travel) -> Somebody:
    """A vendor whose first paid period of the old price begins at ``start``; its trial lies behind it."""
    travel.to(case.start - timedelta(days=20))
    if case.currency == "JPY":
        price_in_yen()
    push_catalog()
    who = signs_up(case.old[0])
    if case.zone != "UTC":
        with unit_of_work():
            vendor = identity.vendor(who.id)
            assert vendor is not None
            vendor.time_zone = case.zone
    travel.to(case.start)
    back = f"http://localhost/vendor/{who.code}/billing"
    addresses = Addresses(f"{back}/done?session_id={{CHECKOUT_SESSION_ID}}", back)
    with tenancy.scoped(who.id):
        assert pays(checkout.start(who.id, price_of(*case.old, case.currency), addresses, actor=who.actor)).ok
    settle(sandbox, client)
    return who


@dataclass
class Till:
    """Where a case is played: the vendor, and what was shown and charged."""

    who: Somebody
    sandbox: Sandbox
    client: FlaskClient
    travel: Travel

    def shown(self, price_id: int, after: timedelta) -> Preview:
        """The preview for exactly this moment of the period, looked at two seconds later."""
        moment = queries.held(self.who.id).period_start + after
        self.travel.to(moment + timedelta(seconds=2) if after else moment + timedelta(seconds=1))
        return change_flows.preview_change(self.who.id, price_id, When.NOW, moment)

    def confirms(self, shown: Preview) -> None:
        version = queries.held(self.who.id).version
        state = change_flows.change_tier(
            self.who.id, shown.price.id, When.NOW, actor=ADMIN, base_version=version,
            proration_at=shown.proration_at, shown=shown.due,
        )  # fmt: skip
        assert state == ChangeState.APPLIED
        settle(self.sandbox, self.client)

    @property
    def customer(self) -> str:
        return str(queries.held(self.who.id).stripe_customer_id)

    def charged(self) -> dict:
        """Stripe's newest invoice of a change."""
        found = stripe_get(self.sandbox, "invoices", customer=self.customer, limit="100")["data"]
        return next(i for i in found if i["billing_reason"] == "subscription_update")
