"""A whole life paid by bank transfer, without Stripe: trial, renewal, suspension and return (SUB-8 to 10)."""

from datetime import UTC, datetime

import pytest

from portal.billing.models import BankTransfer, Invoice, Payment
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.checkout import transfer, transfer_flows
from portal.checkout.models import Order, Purchase
from portal.credits import queries as credits
from portal.entitlements import queries as entitlements
from portal.kit import clock
from portal.kit.errors import Conflict, Forbidden, Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Provider, Status
from tests.support.stories import Somebody, mails_to
from tests.support.travel import Travel
from tests.transfer.steps import (
    ADMIN,
    COLLEAGUE,
    approves,
    change,
    held,
    lives_on,
    orders,
    paper,
    payer,
    row,
    rows,
    waiting,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("bank")


def at(month: int, day: int, hour: int = 12, year: int = 2027) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def on(*moments: datetime | None) -> tuple[datetime | None, ...]:
    """The hour: business time runs on while a test works."""
    return tuple(m.replace(minute=0, second=0, microsecond=0) if m else None for m in moments)


def no_trial(who: Somebody) -> None:
    """Put the trial behind: it ended unpaid."""
    with unit_of_work():
        subscription = lock(who.id)
        subscription.status = Status.TRIAL_ENDED
        subscription.trial_ends_at = subscription.period_end = clock.business()


def test_a_trial_stays_as_it_is_until_the_money_comes_and_its_rest_stays_free(travel: Travel) -> None:
    """Trial 15 to 29 January. Paid on the 20th: the paid month runs from 29 January to 28 February (short month)."""
    who = payer()
    made = orders(who)
    before = held(who)
    assert (before.status, before.provider) == (Status.TRIAL, Provider.NONE)
    assert entitlements.rights(who.id, clock.business()).limits["sites"] == 3
    assert (row(made).state, row(made).asked_minor, paper(row(made)).status) == ("awaiting", 9900, "open")
    travel.to(at(1, 20))
    approves(made)
    after = held(who)
    assert (after.status, after.provider) == (Status.ACTIVE, Provider.TRANSFER)
    assert on(after.period_end) == (at(1, 29),)
    assert credits.ledger(who.id)[0].amount == 2000  # the trial's; the paid month's come when it begins
    invoice = paper(row(made))
    assert (invoice.status, invoice.number) == ("paid", "INV-2027-00001")
    assert on(invoice.period_start, invoice.period_end) == (at(1, 29), at(2, 28))
    lives_on(travel, days=9, hours=2)
    now_paid = held(who)
    assert on(now_paid.period_start, now_paid.period_end) == (at(1, 29), at(2, 28))
    assert [e.amount for e in credits.ledger(who.id) if e.amount > 0] == [2000, 2000]
    assert credits.verify() == []
    assert mails_to(who)["transfer_instructions"] == 1
    assert mails_to(who)["transfer_approved"] == 1


def test_without_a_trial_only_billing_opens_until_it_is_paid(travel: Travel) -> None:
    who = payer()
    no_trial(who)
    made = orders(who)
    assert held(who).status == Status.PENDING_PAYMENT
    assert entitlements.rights(who.id, clock.business()).limits != {}  # rights end with the trial's end job
    travel.to(at(1, 31))
    approves(made)
    paid = held(who)
    # bought on 31 January: 28 February, then 31 March - the anchor is kept
    assert (paid.status, *on(paid.period_start, paid.period_end)) == (Status.ACTIVE, at(1, 31), at(2, 28))
    assert [(o.state, o.provider) for o in rows(Order, who)] == [("fulfilled", "transfer")]
    assert [(p.provider, p.amount_minor) for p in rows(Purchase, who)] == [("transfer", 9900)]
    assert [(p.amount_minor, p.provider) for p in rows(Payment, who)] == [(9900, "transfer")]


def test_renewals_are_asked_ahead_reminded_and_begin_on_their_day(travel: Travel) -> None:
    who = payer()
    no_trial(who)
    travel.to(at(1, 31))
    approves(orders(who))
    lives_on(travel, days=13)
    assert waiting(who) is None  # 13 February: 15 days ahead
    lives_on(travel, days=2)
    asked = waiting(who)
    assert asked is not None and (row(asked).asked_minor, *on(row(asked).due_at)) == (9900, at(2, 28))
    assert on(paper(row(asked)).period_start, paper(row(asked)).period_end) == (at(2, 28), at(3, 31))
    lives_on(travel, days=9)
    assert mails_to(who)["transfer_instructions"] == 2  # first, renewal
    lives_on(travel, days=2)
    assert mails_to(who)["transfer_instructions"] == 3  # three days before
    approves(asked)
    assert on(held(who).period_end) == (at(2, 28),)  # paid ahead: the running month ends first
    lives_on(travel, days=3)
    now_on = held(who)
    assert (now_on.status, *on(now_on.period_start, now_on.period_end)) == (Status.ACTIVE, at(2, 28), at(3, 31))
    granted = [e for e in credits.ledger(who.id) if e.kind == "grant"]
    assert len(granted) == 3  # trial, first month, second month
    assert credits.verify() == []


def test_unpaid_falls_behind_is_suspended_and_comes_back_on_payment(travel: Travel) -> None:
    who = payer()
    no_trial(who)
    approves(orders(who))  # 15 January to 15 February
    lives_on(travel, step=12, days=30, hours=12)
    assert held(who).status == Status.ACTIVE
    lives_on(travel, days=1)
    behind = held(who)
    assert (behind.status, *on(behind.past_due_since)) == (Status.PAST_DUE, at(2, 15))
    lives_on(travel, step=12, days=7)
    assert held(who).status == Status.SUSPENDED
    assert entitlements.rights(who.id, clock.business()).limits == {}
    asked = waiting(who)
    assert asked is not None and len(rows(BankTransfer, who)) == 2
    approves(asked)
    back = held(who)
    assert (back.status, *on(back.period_start, back.period_end, back.past_due_since)) == (
        Status.ACTIVE, at(2, 15), at(3, 15), None,
    )  # fmt: skip
    assert entitlements.rights(who.id, clock.business()).limits["sites"] == 3
    assert mails_to(who)["suspended"] == mails_to(who)["reactivated"] == 1


@pytest.mark.thorough
def test_paid_after_the_whole_period_has_passed_begins_anew(travel: Travel) -> None:
    who = payer()
    no_trial(who)
    approves(orders(who))
    lives_on(travel, step=24, days=62)  # 18 March: the month that was asked for ended on 15 March
    asked = waiting(who)
    assert asked is not None
    approves(asked)
    assert on(held(who).period_start, held(who).period_end) == (at(3, 18), at(4, 18))


def test_half_now_half_later_and_too_much_goes_to_the_balance(travel: Travel) -> None:
    from portal.billing import balance

    who = payer()
    made = orders(who)
    half = approves(made, 5000)
    assert (half.open_minor, row(made).state, held(who).status) == (4900, "part_paid", Status.TRIAL)
    rest = approves(made, 6000)  # 11.00 too much
    assert (rest.open_minor, rest.surplus_minor, row(made).state) == (0, 1100, "approved")
    assert balance.balance(who.id, "EUR").minor == 1100
    assert held(who).status == Status.ACTIVE
    assert mails_to(who)["transfer_received"] == 1


def test_what_is_decided_is_decided(travel: Travel) -> None:
    who = payer()
    made = orders(who)
    version = row(made).version
    approves(made)
    with pytest.raises(Conflict), unit_of_work():
        transfer.approve(made, transfer.Approval(9900, clock.business(), version), actor=ADMIN, now=clock.business())
    with pytest.raises(Conflict), unit_of_work():
        transfer.reject(made, "no", base_version=version + 1, actor=ADMIN, now=clock.business())
    assert [p.amount_minor for p in rows(Payment, who)] == [9900]


@pytest.mark.parametrize("amount", [-1, 10**13])
def test_absurd_amounts_are_refused_at_the_field(travel: Travel, amount: int) -> None:
    made = orders(payer())
    with pytest.raises(Invalid) as refused:
        approves(made, amount)
    assert "amount" in refused.value.fields
    assert row(made).received_minor == 0


def test_above_the_limit_two_people_agree(travel: Travel) -> None:
    change(second_approval_above_minor=5000)
    who = payer()
    made = orders(who)
    assert approves(made).second
    assert (held(who).status, row(made).received_minor) == (Status.TRIAL, 0)
    with pytest.raises(Forbidden):
        approves(made)  # the same person again
    with pytest.raises(Conflict):
        approves(made, 9000, by=COLLEAGUE)  # another amount than the first
    assert not approves(made, by=COLLEAGUE).second
    assert held(who).status == Status.ACTIVE


def test_rejected_with_a_reason_and_chosen_again(travel: Travel) -> None:
    who = payer()
    no_trial(who)
    made = orders(who)
    with unit_of_work():
        transfer.reject(made, "The money is not there.", base_version=1, actor=ADMIN, now=clock.business())
    assert (row(made).state, paper(row(made)).status, held(who).status) == ("rejected", "void", Status.TRIAL_ENDED)
    again = orders(who)
    assert again != made
    approves(again)
    assert held(who).status == Status.ACTIVE


def test_two_clicks_lead_to_one_proforma_another_tier_to_another(travel: Travel) -> None:
    who = payer()
    made = orders(who)
    assert orders(who) == made
    larger = orders(who, "business")
    assert (row(made).state, row(larger).asked_minor) == ("cancelled", 19900)
    assert [o.state for o in rows(Order, who)] == ["cancelled", "open"]
    approves(larger)
    assert held(who).tier_code == "business"


def test_a_trial_that_ends_meanwhile_waits_for_the_payment(travel: Travel) -> None:
    who = payer()
    made = orders(who)
    lives_on(travel, step=12, days=14, hours=6)
    assert held(who).status == Status.PENDING_PAYMENT
    with unit_of_work():
        transfer.cancel(made, who.id, actor=who.actor, now=clock.business())
    assert held(who).status == Status.TRIAL_ENDED


@pytest.mark.thorough
def test_an_order_that_nobody_pays_lapses(travel: Travel) -> None:
    who = payer()
    made = orders(who)  # due on 29 January, waited for until 12 February
    lives_on(travel, step=24, days=27)
    assert row(made).state == "awaiting"
    lives_on(travel, step=24, days=3)
    assert (row(made).state, held(who).status) == ("cancelled", Status.TRIAL_ENDED)
    assert mails_to(who)["transfer_rejected"] == 1
    assert mails_to(who)["transfer_instructions"] == 3  # and two reminders


def test_missing_details_of_the_payer_are_asked_for_first(travel: Travel) -> None:
    from tests.support.stories import signs_up

    who = signs_up()
    assert transfer_flows.missing(who.id) == ["legal_name", "street", "city", "country"]
    price = catalog.offer("professional", Cycle.MONTHLY)
    assert price is not None
    with pytest.raises(Invalid) as refused:
        transfer_flows.start(who.id, price.id, actor=who.actor)
    assert refused.value.code == "payer_details"
    assert rows(Invoice, who) == []


@pytest.mark.thorough
def test_staff_set_the_renewal_date(travel: Travel) -> None:
    who = payer()
    no_trial(who)
    made = orders(who)
    with pytest.raises(Invalid) as refused:
        approves(made, start=at(1, 1, year=2029))
    assert "start" in refused.value.fields
    approves(made, start=at(2, 1))
    free = held(who)
    assert (free.status, *on(free.period_end)) == (Status.ACTIVE, at(2, 1))  # open at once, paid from 1 February
    lives_on(travel, step=12, days=18)
    assert on(held(who).period_start, held(who).period_end) == (at(2, 1), at(3, 1))


@pytest.mark.thorough
def test_a_cancelled_renewal_is_asked_for_no_longer(travel: Travel) -> None:
    from portal.subscriptions import endings
    from portal.subscriptions.endings import Wish

    who = payer()
    no_trial(who)
    approves(orders(who))
    lives_on(travel, step=12, days=18)
    asked = waiting(who)
    assert asked is not None
    with unit_of_work():
        endings.request(who.id, Wish(at_once=False), actor=who.actor, now=clock.business(),
                        base_version=held(who).version)  # fmt: skip
    lives_on(travel, hours=12)
    assert (row(asked).state, waiting(who)) == ("cancelled", None)
    lives_on(travel, step=12, days=14)
    assert held(who).status == Status.CANCELLED
    approves(orders(who))  # win-back
    assert held(who).status == Status.ACTIVE
