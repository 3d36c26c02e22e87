"""Changing the tier when it is paid by transfer: what is shown is what is asked, rights come when it is paid."""

import re
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient

from portal.billing import balance
from portal.billing.models import BalanceEntry, CreditNote, Invoice, TaxRate
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.credits import queries as credits
from portal.entitlements import queries as entitlements
from portal.kit import clock, jobs
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import rendering
from portal.notifications.models import SentMail
from portal.subscriptions import change_flows, ending_flows
from portal.subscriptions.change_flows import Preview
from portal.subscriptions.endings import Wish
from portal.subscriptions.history import lock
from portal.subscriptions.models import TierChange
from portal.subscriptions.rules import ChangeState, Status, When
from tests.support import people
from tests.support.people import text_of
from tests.support.stories import PASSWORD, Somebody, mails_to
from tests.support.travel import Travel
from tests.transfer.steps import ADMIN, approves, change, held, lives_on, orders, paper, payer, row, rows, waiting

pytestmark = pytest.mark.usefixtures("bank")


def at(month: int, day: int, hour: int = 0, year: int = 2027) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
def who(travel: Travel) -> Somebody:
    """Professional from 1 January to 1 February, paid by transfer; it is the 17th: 15 of 31 days are left."""
    return subscriber(travel)


def subscriber(travel: Travel, tier: str = "professional", cycle: Cycle = Cycle.MONTHLY) -> Somebody:
    made = payer()
    with unit_of_work():
        subscription = lock(made.id)
        subscription.status = Status.TRIAL_ENDED
        subscription.trial_ends_at = subscription.period_end = clock.business()
    approves(orders(made, tier, cycle), start=at(1, 1))
    travel.to(at(1, 17))
    return made


def price(tier: str, cycle: Cycle = Cycle.MONTHLY) -> int:
    found = catalog.offer(tier, cycle)
    assert found is not None
    return found.id


def preview(who: Somebody, tier: str, cycle: Cycle = Cycle.MONTHLY) -> Preview:
    return change_flows.preview_change(who.id, price(tier, cycle), When.NOW)


def confirms(
    who: Somebody, shown: Preview, when: When = When.NOW, by: Actor | None = None, version: int | None = None
) -> ChangeState:
    state = change_flows.change_tier(
        who.id, shown.price.id, when, actor=by or who.actor, base_version=version or held(who).version,
        proration_at=shown.proration_at, shown=shown.due if when == When.NOW else None,
    )  # fmt: skip
    jobs.run_all()
    return state


def later(who: Somebody, tier: str, cycle: Cycle = Cycle.MONTHLY) -> ChangeState:
    shown = change_flows.preview_change(who.id, price(tier, cycle), When.NEXT)
    assert (shown.due.minor, shown.effective_at) == (0, held(who).period_end)
    return confirms(who, shown, When.NEXT)


def test_an_upgrade_is_asked_for_and_granted_when_paid(who: Somebody) -> None:
    """9900 × 15/31 = 4790.32 back, 19900 × 15/31 = 9629.03 asked: 48.39. Credits (10000 - 2000) × 15/31 = 3870.97."""
    shown = preview(who, "business")
    assert [(label, amount.minor) for label, amount in shown.lines] == [
        ("Unused time on Professional", -4790), ("Remaining time on Business", 9629),
    ]  # fmt: skip
    assert (shown.due.minor, shown.next_at) == (4839, at(2, 1))
    before = credits.balance(who.id)
    assert confirms(who, shown) == ChangeState.AWAITING_PAYMENT
    assert held(who).tier_code == "professional"
    made = waiting(who)
    assert made is not None and row(made).asked_minor == 4839
    assert mails_to(who)["transfer_instructions"] == 2
    approves(made)
    assert held(who).tier_code == "business"
    assert held(who).period_end == at(2, 1)
    assert entitlements.rights(who.id, clock.business()).limits["sites"] == 10
    assert credits.balance(who.id) == (before or 0) + 3870
    assert mails_to(who)["tier_changed"] == 1
    assert [i.number for i in rows(Invoice, who)] == ["INV-2027-00001", "INV-2027-00002"]


def test_up_and_up_again_before_the_first_is_paid_is_refused(who: Somebody) -> None:
    confirms(who, preview(who, "business"))
    with pytest.raises(Conflict):
        confirms(who, preview(who, "business", Cycle.YEARLY))


def test_another_amount_than_was_shown_is_not_asked(who: Somebody) -> None:
    shown = preview(who, "business")
    with unit_of_work():
        balance.add(who.id, Money(1000, "EUR"), cause="gift", description="a gift", actor_label="Sam",
                    now=clock.business())  # fmt: skip
    with pytest.raises(Conflict) as refused:
        confirms(who, shown)
    assert refused.value.code == "preview_changed"
    assert (rows(TierChange, who), len(rows(Invoice, who))) == ([], 1)
    again = preview(who, "business")
    assert (again.balance.minor, again.due.minor) == (-1000, 3839)
    assert confirms(who, again) == ChangeState.AWAITING_PAYMENT
    made = waiting(who)
    assert made is not None and row(made).asked_minor == 3839


def test_a_balance_that_covers_it_all_grants_at_once(who: Somebody) -> None:
    with unit_of_work():
        balance.add(who.id, Money(6000, "EUR"), cause="gift", description="a gift", actor_label="Sam",
                    now=clock.business())  # fmt: skip
    shown = preview(who, "business")
    assert (shown.balance.minor, shown.due.minor) == (-4839, 0)
    assert confirms(who, shown) == ChangeState.APPLIED
    assert (held(who).tier_code, waiting(who)) == ("business", None)
    assert balance.balance(who.id, "EUR").minor == 6000 - 4839


def test_tax_is_shown_and_asked(who: Somebody, travel: Travel) -> None:
    """Net 48.39, 19 % of it 9.1941: 9.19; together 57.58."""
    change(legal_country="DE")
    with unit_of_work() as session:
        session.add(TaxRate(country="DE", label="VAT", rate_bp=1900, valid_from=at(1, 1).date()))
    shown = preview(who, "business")
    assert (shown.tax.minor, shown.due.minor) == (919, 5758)
    confirms(who, shown)
    made = waiting(who)
    assert made is not None and (row(made).asked_minor, paper(row(made)).tax_minor) == (5758, 919)


def test_an_hour_old_preview_is_out_of_date(who: Somebody, travel: Travel) -> None:
    shown = preview(who, "business")
    travel.on(hours=1)
    with pytest.raises(Conflict) as refused:
        confirms(who, shown)
    assert refused.value.code == "preview_expired"


def test_a_vendors_step_down_waits_for_the_end_of_the_period(who: Somebody, travel: Travel) -> None:
    with pytest.raises(Invalid):
        confirms(who, preview(who, "essential"))
    assert later(who, "essential") == ChangeState.SCHEDULED
    lives_on(travel, step=24, days=3)  # 20 January: the renewal is asked for at the new price
    made = waiting(who)
    assert made is not None and row(made).asked_minor == 4900
    assert held(who).tier_code == "professional"
    approves(made)
    assert held(who).tier_code == "professional"
    lives_on(travel, step=12, days=13)
    after = held(who)
    assert (after.tier_code, after.pending, after.period_start) == ("essential", None, at(2, 1))
    assert mails_to(who)["tier_changed"] == 1


def test_a_planned_change_after_the_renewal_was_sent_sends_another(who: Somebody, travel: Travel) -> None:
    lives_on(travel, step=24, days=3)
    first = waiting(who)
    assert first is not None and row(first).asked_minor == 9900
    later(who, "essential")
    second = waiting(who)
    assert second is not None and (row(first).state, row(second).asked_minor) == ("cancelled", 4900)
    change_flows.undo_change(who.id, actor=who.actor, base_version=held(who).version)
    third = waiting(who)
    assert third is not None and (row(second).state, row(third).asked_minor) == ("cancelled", 9900)
    approves(third)
    with pytest.raises(Conflict) as refused:
        later(who, "essential")  # the coming period is paid for
    assert refused.value.code == "paid_ahead"


def test_an_upgrade_paid_after_the_renewal_was_sent_sends_it_anew(who: Somebody, travel: Travel) -> None:
    lives_on(travel, step=24, days=3)
    renewal = waiting(who)
    confirms(who, preview(who, "business"))
    upgrade = waiting(who)
    assert renewal is not None and upgrade is not None and renewal != upgrade
    assert row(renewal).state == "awaiting"  # until the upgrade is paid
    approves(upgrade)
    anew = waiting(who)
    assert anew is not None and (row(renewal).state, row(anew).asked_minor) == ("cancelled", 19900)


def test_staff_lower_the_tier_at_once_and_the_difference_is_credited(travel: Travel) -> None:
    """19900 × 15/31 = 9629.03 credited, 4900 × 15/31 = 2370.97 asked and paid from it: 7258 stay as balance."""
    who = subscriber(travel, "business")
    shown = preview(who, "essential")
    assert (shown.due.minor, shown.balance.minor) == (0, 7258)
    assert confirms(who, shown, by=ADMIN) == ChangeState.APPLIED
    assert held(who).tier_code == "essential"
    assert [(n.total_minor, n.number) for n in rows(CreditNote, who)] == [(9629, "CN-2027-00001")]
    assert [e.amount_minor for e in rows(BalanceEntry, who)] == [9629, -2371]
    assert balance.balance(who.id, "EUR").minor == 7258
    lives_on(travel, step=24, days=4)
    assert waiting(who) is None  # 49.00 of the renewal is covered by the balance
    assert balance.balance(who.id, "EUR").minor == 7258 - 4900
    lives_on(travel, step=12, days=12)
    assert (held(who).status, held(who).period_start) == (Status.ACTIVE, at(2, 1))


def test_staff_switch_a_year_to_months_at_once(travel: Travel) -> None:
    """99000 × 349/365 = 94660.27 credited (349 days are left), a month from today for 9900 paid from it."""
    who = subscriber(travel, cycle=Cycle.YEARLY)
    assert confirms(who, preview(who, "professional"), by=ADMIN) == ChangeState.APPLIED
    now = held(who)
    assert (now.cycle, now.period_start, now.period_end) == (Cycle.MONTHLY, at(1, 17), at(2, 17))
    assert balance.balance(who.id, "EUR").minor == 94660 - 9900
    assert credits.verify() == []


def test_a_month_becomes_a_year_today(who: Somebody) -> None:
    """9900 × 15/31 = 4790.32 back, a year for 990.00: 942.10."""
    shown = preview(who, "professional", Cycle.YEARLY)
    assert (shown.due.minor, shown.next_at) == (94210, at(1, 17, year=2028))
    confirms(who, shown)
    made = waiting(who)
    assert made is not None
    approves(made)
    now = held(who)
    assert (now.cycle, now.period_start, now.period_end) == (Cycle.YEARLY, at(1, 17), at(1, 17, year=2028))


def test_an_upgrade_that_nobody_pays_lapses(who: Somebody, travel: Travel) -> None:
    change(transfer_days=5)
    confirms(who, preview(who, "business"))
    made = waiting(who)
    lives_on(travel, step=12, days=5, hours=12)
    assert made is not None and row(made).state == "cancelled"
    assert [c.state for c in rows(TierChange, who)] == ["refused"]
    assert held(who).tier_code == "professional"
    assert mails_to(who)["change_failed"] == 1


def test_giving_up_an_upgrade_that_waits(who: Somebody) -> None:
    confirms(who, preview(who, "business"))
    made = waiting(who)
    change_flows.give_up(who.id, actor=who.actor, base_version=held(who).version)
    assert made is not None and (row(made).state, waiting(who)) == ("cancelled", None)
    assert held(who).pending is None


def test_the_pages_of_a_change_speak_of_the_invoice(who: Somebody, client: FlaskClient) -> None:
    people.sign_in(client, who.email, PASSWORD)
    where = f"/vendor/{who.code}/plans/change"
    words = text_of(client.get(f"{where}?price={price('business')}&when=now"))
    assert "Send me the invoice for €48.39" in words
    assert "Business opens when the money has arrived." in words
    assert "Unused time on Professional" in words
    sent = hidden_fields(client.get(f"{where}?price={price('business')}&when=now").get_data(as_text=True))
    done = people.post(client, where, {**sent, "price": str(price("business")), "when": "now"})
    assert done.headers["Location"].endswith("/billing#pay"), text_of(done)
    billing = text_of(client.get(f"/vendor/{who.code}/billing"))
    assert "Business opens when it is paid" in billing and "How to pay" in billing
    given_up = people.post(client, f"/vendor/{who.code}/plans/give-up", {"base_version": str(held(who).version)})
    assert given_up.status_code == 303, text_of(given_up)
    assert waiting(who) is None


def test_staff_see_the_figures_of_a_change_by_transfer(who: Somebody, client: FlaskClient) -> None:
    people.sign_in(client, people.staff().email)
    where = f"/admin/vendors/{who.id}/tier-change/preview?price={price('business')}&when=now"
    words = text_of(client.get(where, headers={"HX-Request": "true", "HX-Request-Type": "partial"}))
    assert "€48.39" in words and "-€47.90" in words and "€96.29" in words


def hidden_fields(page: str) -> dict[str, str]:
    """The hidden fields of the confirmation."""
    form = page.split('action="/vendor/', 1)[1].split("</form>", 1)[0]
    found = re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form)
    return {name: value for name, value in found if name != "csrf_token"}


def ends_at_once(who: Somebody) -> None:
    ending_flows.cancel(who.id, Wish(at_once=True), actor=ADMIN, base_version=held(who).version)
    jobs.run_all()


def test_ended_at_once_by_staff_what_is_unused_becomes_the_vendors_credit(who: Somebody) -> None:
    """9900 × 15/31 = 4790.32 is unused; of the upgrade 4839 is left whole (9629 - 4790): 9629 together."""
    confirms(who, preview(who, "business"))
    made = waiting(who)
    assert made is not None
    approves(made)
    ends_at_once(who)
    assert [n.total_minor for n in rows(CreditNote, who)] == [4790, 4839]
    assert balance.balance(who.id, "EUR").minor == 9629
    assert held(who).status == Status.CANCELLED
    (mail,) = db.session.query(SentMail).filter_by(vendor_id=who.id, kind="cancelled")
    assert mail.params["credit"] == {"minor": 9629, "currency": "EUR"}
    assert re.search(r"€96\.29 that you paid for", rendering.render(mail).text)


def test_a_period_that_was_paid_ahead_is_credited_whole(who: Somebody, travel: Travel) -> None:
    """Three days on 12 of 31 days are left: 9900 × 12/31 = 3832.26. The coming month was not used at all: 9900."""
    lives_on(travel, step=24, days=3)
    renewal = waiting(who)
    assert renewal is not None
    approves(renewal)
    ends_at_once(who)
    assert [(n.subtotal_minor, n.reason) for n in rows(CreditNote, who)] == [
        (3832, "Unused time on Professional"), (9900, "Unused time on Professional"),
    ]  # fmt: skip
    assert balance.balance(who.id, "EUR").minor == 3832 + 9900


@pytest.mark.thorough
def test_cancelled_with_the_coming_month_paid_it_ends_with_that(who: Somebody, travel: Travel) -> None:
    """Paid until 1 March: nothing of it is lost, its credits come, and on 1 March it is over without a credit note."""
    lives_on(travel, step=24, days=3)
    renewal = waiting(who)
    assert renewal is not None
    approves(renewal)
    now = ending_flows.cancel(who.id, Wish(at_once=False), actor=who.actor, base_version=held(who).version)
    assert now.ends_at == at(3, 1)
    jobs.run_all()
    (mail,) = db.session.query(SentMail).filter_by(vendor_id=who.id, kind="cancel_scheduled")
    assert mail.params["ends_at"] == at(3, 1).isoformat()
    lives_on(travel, step=12, days=13)
    after = held(who)
    assert (after.status, after.period_start, after.period_end) == (Status.ACTIVE, at(2, 1), at(3, 1))
    lives_on(travel, step=24, days=27)
    assert (held(who).status, rows(CreditNote, who)) == (Status.CANCELLED, [])
    assert mails_to(who)["cancelled"] == 1


def test_cancelled_with_the_coming_month_paid_and_taken_back(who: Somebody, travel: Travel) -> None:
    lives_on(travel, step=24, days=3)
    renewal = waiting(who)
    assert renewal is not None
    approves(renewal)
    ending_flows.cancel(who.id, Wish(at_once=False), actor=who.actor, base_version=held(who).version)
    ending_flows.resume(who.id, actor=who.actor, base_version=held(who).version)
    jobs.run_all()
    assert (held(who).cancel_at, held(who).ends_at) == (None, at(2, 1))
