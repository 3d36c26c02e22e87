"""Add-ons that a tier brings: set up without payment, storage at once, kept or ended when the tier changes."""

import pytest

from portal.addons import included
from portal.addons.rules import AddonStatus, Origin
from portal.billing.models import Invoice
from portal.catalog import queries as catalog
from portal.catalog.models import AddonProduct
from portal.catalog.rules import Cycle
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import NotFound, PaymentRequired
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import change_flows
from portal.subscriptions.history import lock, note
from portal.subscriptions.rules import Provider, Status, When
from tests.addons.buying import MYSHOP, live, price_of, row
from tests.support.far_servers import Namecheap
from tests.support.outside import account
from tests.support.stories import Somebody, mails_to
from tests.support.travel import Travel
from tests.transfer.steps import approves, change, held, lives_on, orders, payer, rows, waiting

pytestmark = pytest.mark.usefixtures("bank")

__all__ = ["account"]


@pytest.fixture
def who(travel: Travel) -> Somebody:
    """A month of Professional, which includes a domain, paid by transfer since today."""
    made = payer("professional")
    with unit_of_work():
        subscription = lock(made.id)
        subscription.status = Status.TRIAL_ENDED
        subscription.trial_ends_at = subscription.period_end = clock.business()
    approves(orders(made, "professional"))
    return made


def product(code: str) -> int:
    found = db.session.scalar(db.select(AddonProduct.id).where(AddonProduct.code == code))
    assert found is not None
    return found


def sets_up(who: Somebody, code: str = "custom-domain", config: dict[str, str] | None = None) -> int:
    with unit_of_work():
        given = dict(config or MYSHOP)
        made = included.set_up(who.id, product(code), given, actor=who.actor, now=clock.business())
        found = made.id
    jobs.run_all()
    return found


def moves_to(who: Somebody, code: str) -> None:
    """The tier is another one, as the mirror or staff would set it."""
    tier = catalog.tier_by_code(code)
    assert tier is not None
    with unit_of_work():
        subscription = lock(who.id)
        subscription.tier_id, subscription.tier_code = tier.id, tier.code
        note(subscription, "tier_changed", actor=SYSTEM, now=clock.business(), before="professional", after=code)
    jobs.run_all()


def test_set_up_once_and_never_charged(who: Somebody) -> None:
    first = sets_up(who)
    assert sets_up(who) == first
    (addon,) = live(who)
    assert (addon.origin, addon.provider, addon.total) == (Origin.INCLUDED, "none", None)
    assert [i.total_minor for i in rows(Invoice, who)] == [9900]


def test_what_the_tier_does_not_bring_is_not_there(who: Somebody) -> None:
    with pytest.raises(NotFound):
        sets_up(who, "premium-ssl")


def test_a_name_to_be_registered_waits_for_a_way_to_pay(account: Namecheap) -> None:
    """A trial without a card: registering would cost the operator a year; pointing a name here costs nothing."""
    trial = payer("professional", "bob@shop.example", "Bob's Shop")
    for how in ({}, {"how": "register"}):
        with pytest.raises(PaymentRequired) as refused:
            sets_up(trial, config={**MYSHOP, **how})
        assert refused.value.code == "trial"
    assert live(trial) == []
    sets_up(trial, config={**MYSHOP, "how": "own"})
    assert [had.origin for had in live(trial)] == [Origin.INCLUDED]


def test_storage_is_there_at_once_and_goes_with_the_tier(who: Somebody) -> None:
    moves_to(who, "enterprise")
    storage = next(had for had in live(who) if had.code == "extra-storage")
    assert (storage.origin, storage.quantity) == (Origin.INCLUDED, 1)
    moves_to(who, "enterprise")
    assert len([had for had in live(who) if had.code == "extra-storage"]) == 1
    moves_to(who, "professional")
    assert row(storage.id).status == AddonStatus.CANCELLED


def test_a_tier_without_it_ends_it(who: Somebody) -> None:
    addon = sets_up(who)
    moves_to(who, "essential")
    assert row(addon).status == AddonStatus.CANCELLED
    assert mails_to(who)["addon_ended"] == 1


@pytest.mark.thorough
def test_kept_at_its_list_price_when_that_was_chosen(who: Somebody, travel: Travel) -> None:
    """Down to Essential with the next month; the domain is kept for 1500 a year, on an invoice of its own."""
    change(renewal_ahead_days=7)
    addon = sets_up(who)
    essential = catalog.offer("essential", Cycle.MONTHLY)
    assert essential is not None
    decided = {"addons": [{"code": "custom-domain", "name": "Custom domain", "variant": "", "quantity": 1, "keep": True,
                           "price_id": price_of("custom-domain"), "cycle": "yearly", "minor": 1500,
                           "currency": "EUR"}]}  # fmt: skip
    change_flows.change_tier(
        who.id, essential.id, When.NEXT, actor=who.actor, base_version=held(who).version, choices=decided
    )
    lives_on(travel, step=24, days=26)
    approves(waiting(who) or 0)
    lives_on(travel, step=24, days=7)
    assert held(who).tier_code == "essential"
    kept = row(addon)
    assert (kept.origin, kept.provider, kept.status != AddonStatus.CANCELLED) == (Origin.BOUGHT, "transfer", True)
    assert kept.total is not None and kept.total.minor == 1500
    made = waiting(who)
    assert made is not None
    approves(made)
    again = row(addon)
    assert again.period_start is not None and again.period_end is not None
    assert (again.period_end - again.period_start).days in (365, 366)
    assert held(who).provider == Provider.TRANSFER


def test_nothing_ends_while_an_invoice_is_late(who: Somebody) -> None:
    addon = sets_up(who)
    with unit_of_work():
        lock(who.id).status = Status.SUSPENDED
        included.follow(who.id, now=clock.business())
    assert row(addon).status != AddonStatus.CANCELLED
