"""Add-ons paid by bank transfer: our own proration, the tier's renewal and their own, unpaid ones end; by hand."""

from datetime import UTC, datetime

import pytest

from portal.addons import flows
from portal.addons.purchase import Way
from portal.addons.queries import Had
from portal.addons.rules import AddonStatus
from portal.billing import balance
from portal.billing.models import Invoice
from portal.checkout import addon_flows
from portal.checkout.flows import Addresses
from portal.checkout.models import Order, Purchase
from portal.kit import clock
from portal.kit.errors import Conflict
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Status
from tests.addons.buying import buys, live, row, wish
from tests.support.stories import Somebody, mails_to
from tests.support.travel import Travel
from tests.transfer.steps import approves, held, lives_on, orders, payer, rows, waiting

pytestmark = pytest.mark.usefixtures("bank")


def at(month: int, day: int, hour: int = 0, year: int = 2027) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
def who(travel: Travel) -> Somebody:
    """Essential from 1 January to 1 February, paid by transfer; it is the 17th: 15 of 31 days are left."""
    made = payer("essential")
    with unit_of_work():
        subscription = lock(made.id)
        subscription.status = Status.TRIAL_ENDED
        subscription.trial_ends_at = subscription.period_end = clock.business()
    approves(orders(made, "essential"), start=at(1, 1))
    travel.to(at(1, 17))
    return made


def asked(who: Somebody) -> list[tuple[str, str, list[int]]]:
    return [(i.reason, i.status, [line.amount_minor for line in i.lines]) for i in rows(Invoice, who)]


def only(who: Somebody) -> Had:
    (found,) = live(who)
    return found


@pytest.mark.parametrize(
    ("code", "variant", "quantity", "minor", "ends"),
    [
        # 500 × 15/31 = 241.94: the rest of the month, to the cent.
        ("extra-storage", "", 1, 242, at(2, 1)),
        # 3 × 500 × 15/31 = 725.81.
        ("extra-storage", "", 3, 726, at(2, 1)),
        # A yearly one is a whole year of its own: 1500.
        ("custom-domain", "", 1, 1500, at(1, 17, year=2028)),
        ("premium-ssl", "", 1, 4900, at(1, 17, year=2028)),
    ],
)
def test_what_is_asked_is_what_was_shown(
    who: Somebody, code: str, variant: str, quantity: int, minor: int, ends: datetime
) -> None:
    wanted = wish(code, variant, quantity)
    shown = addon_flows.prospect(who.id, wanted)
    assert (shown.way, shown.due.minor, to_the_minute(shown.next_at)) == (Way.TRANSFER, minor, ends)
    started = buys(who, wanted)
    assert started.transfer_id == waiting(who)
    assert asked(who)[-1] == ("addon_create", "open", [minor])
    assert live(who) == [], "nothing begins before the money is there"
    approves(started.transfer_id or 0)
    addon = only(who)
    assert (addon.provider, addon.quantity, to_the_minute(addon.period_end)) == ("transfer", quantity, ends)
    assert [p.amount_minor for p in rows(Purchase, who) if p.kind == "addon"] == [shown.total.minor]


def test_two_tabs_lead_to_one_proforma(who: Somebody) -> None:
    assert buys(who, wish("custom-domain")).transfer_id == buys(who, wish("custom-domain")).transfer_id
    assert [o.state for o in rows(Order, who) if o.kind == "addon"] == ["open"]


def to_the_minute(moment: datetime | None) -> datetime:
    """Between two moves business time runs on, so a period of its own begins a second later on a slow machine."""
    assert moment is not None
    return moment.replace(second=0)


@pytest.mark.thorough
def test_the_month_renews_with_the_tier_and_the_year_on_its_own(who: Somebody, travel: Travel) -> None:
    """Storage 500 is a line of the tier's 4900; the domain's 1500 comes a year later, on a paper of its own."""
    approves(buys(who, wish("extra-storage")).transfer_id or 0)
    approves(buys(who, wish("custom-domain")).transfer_id or 0)
    storage, domain = live(who)[::-1] if live(who)[0].code == "custom-domain" else live(who)
    lives_on(travel, days=8)
    assert asked(who)[-1] == ("subscription_cycle", "open", [4900, 500])
    approves(waiting(who) or 0)
    lives_on(travel, days=8)
    assert (row(storage.id).period_start, row(storage.id).period_end) == (at(2, 1), at(3, 1))
    assert to_the_minute(row(domain.id).period_end) == at(1, 17, year=2028)
    assert held(who).period_end == at(3, 1)


@pytest.mark.thorough
def test_a_year_of_a_domain(who: Somebody, travel: Travel) -> None:
    """Twelve months of the tier are paid as they come; the domain is asked for once more, 14 days ahead."""
    approves(buys(who, wish("custom-domain")).transfer_id or 0)
    domain = only(who)
    while clock.business() < at(1, 5, year=2028):
        lives_on(travel, step=144, days=6)
        made = waiting(who)
        if made is not None:
            approves(made)
    assert [reason for reason, _, _ in asked(who)].count("addon_cycle") == 1
    assert asked(who)[-1][0] in ("addon_cycle", "subscription_cycle")
    lives_on(travel, step=84, days=14)
    paid = row(domain.id)
    assert to_the_minute(paid.period_start) == at(1, 17, year=2028)
    assert to_the_minute(paid.period_end) == at(1, 17, year=2029)
    assert row(domain.id).past_due_since is None


@pytest.mark.thorough
def test_an_unpaid_year_ends_after_its_own_grace_and_the_plan_stays(who: Somebody, travel: Travel) -> None:
    approves(buys(who, wish("custom-domain")).transfer_id or 0)
    domain = only(who)
    while clock.business() < at(1, 30, year=2028):
        lives_on(travel, step=144, days=6)
        for invoice in rows(Invoice, who):
            if invoice.status == "open" and invoice.reason == "subscription_cycle":
                from portal.billing.models import BankTransfer

                (made,) = [t for t in rows(BankTransfer, who) if t.invoice_id == invoice.id]
                approves(made.id)
    # Due on 17 January; grace of 7 days: over on the 24th.
    assert row(domain.id).status == AddonStatus.CANCELLED
    assert held(who).status == Status.ACTIVE
    assert (mails_to(who)["addon_unpaid"], mails_to(who)["addon_ended"]) == (1, 1)


def test_what_is_cancelled_is_not_on_the_next_invoice(who: Somebody, travel: Travel) -> None:
    approves(buys(who, wish("extra-storage")).transfer_id or 0)
    addon = only(who)
    lives_on(travel, days=8)
    assert asked(who)[-1][2] == [4900, 500]
    flows.cancel(addon.id, who.id, actor=who.actor)
    assert asked(who)[-1] == ("subscription_cycle", "open", [4900])
    flows.resume(addon.id, who.id, actor=who.actor)
    assert asked(who)[-1] == ("subscription_cycle", "open", [4900, 500])
    flows.cancel(addon.id, who.id, actor=who.actor)
    approves(waiting(who) or 0)
    lives_on(travel, days=8)
    assert row(addon.id).status == AddonStatus.CANCELLED


@pytest.mark.thorough
def test_more_now_and_less_with_the_next_period(who: Somebody, travel: Travel) -> None:
    """From 1 to 3 with 15 of 31 days left: 1500 × 15/31 = 725.81 asked, 500 × 15/31 = 241.94 back: 484."""
    approves(buys(who, wish("extra-storage")).transfer_id or 0)
    addon = only(who)
    more = wish("extra-storage", quantity=3)
    shown = flows.preview(addon.id, who.id, more)
    assert ([amount.minor for _, amount in shown.lines], shown.due.minor) == ([-242, 726], 484)
    made = flows.change(
        addon.id, who.id, more, shown=shown.due, at=shown.at, base_version=row(addon.id).version, actor=who.actor
    )
    assert made.state == "awaiting_payment" and row(addon.id).quantity == 1
    approves(waiting(who) or 0)
    assert row(addon.id).quantity == 3
    less = wish("extra-storage", quantity=2)
    shown = flows.preview(addon.id, who.id, less)
    made = flows.change(
        addon.id, who.id, less, shown=shown.due, at=shown.at, base_version=row(addon.id).version, actor=who.actor
    )
    assert (made.state, row(addon.id).quantity, row(addon.id).next_quantity) == ("planned", 3, 2)
    lives_on(travel, days=8)
    assert asked(who)[-1] == ("subscription_cycle", "open", [4900, 1000])
    approves(waiting(who) or 0)
    lives_on(travel, days=8)
    assert (row(addon.id).quantity, row(addon.id).next_quantity) == (2, None)


def test_the_balance_may_pay_it_all(who: Somebody) -> None:
    with unit_of_work():
        balance.add(who.id, Money(5000, "EUR"), cause="gift", description="a gift", actor_label="Sam",
                    now=clock.business())  # fmt: skip
    started = buys(who, wish("custom-domain"))
    assert (started.transfer_id, started.state) == (None, "fulfilled")
    assert only(who).code == "custom-domain"


def test_another_amount_than_shown_is_not_asked(who: Somebody) -> None:
    wanted = wish("extra-storage")
    shown = addon_flows.prospect(who.id, wanted)
    with pytest.raises(Conflict) as refused:
        addon_flows.buy(who.id, wanted, Addresses("x", "y"), shown=Money(1, "EUR"), at=shown.at, actor=who.actor)
    assert refused.value.code == "preview_changed"
    assert [i.reason for i in rows(Invoice, who)] == ["subscription_create"]


@pytest.mark.thorough
def test_the_plan_ends_and_what_is_paid_longer_stays_until_then(who: Somebody, travel: Travel) -> None:
    from portal.subscriptions import endings
    from portal.subscriptions.endings import Wish as Leaving

    approves(buys(who, wish("custom-domain")).transfer_id or 0)
    domain = only(who)
    with unit_of_work():
        version = lock(who.id).version
        endings.request(who.id, Leaving(at_once=False), actor=who.actor, now=clock.business(), base_version=version)
    lives_on(travel, days=16)
    assert held(who).status == Status.CANCELLED
    assert (row(domain.id).cancel_at_period_end, row(domain.id).ends_at) == (True, at(1, 17, year=2028))
