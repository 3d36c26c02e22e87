"""Money that goes back to who pays by transfer: papers, the vendor's credit and what was sent agree to the cent."""

from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient

from portal.billing import balance, papers, refund_flows, refunds
from portal.billing.models import CreditNote, Invoice, TaxRate
from portal.billing.refunds import Wish
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import change_flows
from portal.subscriptions.rules import When
from tests.reporting.paid import staff_client
from tests.support import people
from tests.support.people import text_of
from tests.support.stories import PASSWORD, Somebody, mails_to
from tests.transfer.steps import ADMIN, approves, change, orders, payer, rows, waiting

pytestmark = pytest.mark.usefixtures("bank")


@pytest.fixture
def who() -> Somebody:
    """Professional with 19 % VAT: 99.00 + 18.81 = 117.81; 120.00 came in, so 2.19 is the vendor's credit."""
    change(legal_country="DE")
    with unit_of_work() as session:
        session.add(
            TaxRate(country="DE", label="VAT", rate_bp=1900, valid_from=datetime(2020, 1, 1, tzinfo=UTC).date())
        )
    made = payer()
    approves(orders(made), 12_000)
    return made


def payment(who: Somebody) -> refunds.Refundable:
    (invoice,) = rows(Invoice, who)
    (found,) = refunds.of_invoice(who.id, invoice.id)
    db.session.rollback()
    return found


def sends_back(who: Somebody, minor: int, reference: str = "SEPA 1") -> None:
    now = payment(who)
    wish = Wish(now.payment_id, minor, "Two days without service", now.left.minor, reference)
    refund_flows.give_back(who.id, now.invoice_id, wish, actor=ADMIN)


def credits(who: Somebody, net: int | None, *, to_balance: bool) -> None:
    (invoice,) = rows(Invoice, who)
    with unit_of_work():
        lines = None if net is None else [papers.NewLine("", net)]
        note = papers.credit(
            invoice, lines, reason="Goodwill", cause=f"t:{net}", actor=ADMIN, now=clock.business()
        )  # fmt: skip
        if to_balance:
            balance.add(who.id, Money(note.total_minor, "EUR"), cause=f"credit:{note.id}", description="CN",
                        actor_label="Sam", now=clock.business(), invoice_id=invoice.id)  # fmt: skip


def notes(who: Somebody) -> list[tuple[int, int, int]]:
    """Net, tax and total of each credit note."""
    return [(n.subtotal_minor, n.tax_minor, n.total_minor) for n in rows(CreditNote, who)]


def test_a_refund_writes_the_credit_note_that_corrects_the_invoice(who: Somebody) -> None:
    """40.00 of 117.81: net 40.00 / 1.19 = 33.61, tax 6.39; the rest, 77.81, is 65.39 and 12.42."""
    assert payment(who).left.minor == 11_781, "the 2.19 too much are the vendor's credit, not the invoice's"
    sends_back(who, 4_000)
    assert notes(who) == [(3361, 639, 4000)]
    (invoice,) = rows(Invoice, who)
    assert (invoice.credited_minor, invoice.refunded_minor) == (4000, 4000)
    sends_back(who, 7_781, "SEPA 2")
    assert notes(who)[1] == (6539, 1242, 7781)
    (invoice,) = rows(Invoice, who)
    assert (invoice.credited_minor, invoice.refunded_minor, invoice.total_minor) == (11_781, 11_781, 11_781)
    (first, second) = rows(CreditNote, who)
    assert (first.number, second.number, first.reason) == ("CN-2027-00001", "CN-2027-00002", "Two days without service")


def test_what_was_credited_to_be_sent_back_is_not_credited_again(who: Somebody) -> None:
    """20.00 net are 23.80; 30.00 are sent: 6.20 have no credit note yet (5.21 + 0.99)."""
    credits(who, 2_000, to_balance=False)
    assert notes(who) == [(2000, 380, 2380)]
    sends_back(who, 3_000)
    assert notes(who) == [(2000, 380, 2380), (521, 99, 620)]
    sends_back(who, 100, "SEPA 2")
    assert notes(who)[2][2] == 100


def test_what_the_balance_gives_is_not_sent_as_well(who: Somebody) -> None:
    """50.00 net are 59.50 on the balance beside 2.19; of 117.81 are 58.31 left to be sent."""
    credits(who, 5_000, to_balance=True)
    assert balance.balance(who.id, "EUR").minor == 219 + 5_950
    assert payment(who).left.minor == 5_831
    with pytest.raises(Invalid):
        sends_back(who, 5_832)
    sends_back(who, 5_831)
    with pytest.raises(Conflict) as refused:
        sends_back(who, 1, "SEPA 2")
    assert "balance" in refused.value.message
    (invoice,) = rows(Invoice, who)
    assert (invoice.credited_minor, invoice.refunded_minor) == (11_781, 5_831)


def test_an_invoice_that_is_paid_in_part_is_not_given_back(who: Somebody) -> None:
    other = payer(email="bob@other.example", name="Other House")
    approves(orders(other), 1_000)
    (invoice,) = rows(Invoice, other)
    (found,) = refunds.of_invoice(other.id, invoice.id)
    assert found.why_not is not None and found.left.minor == 0
    assert waiting(other) is not None


def test_staff_pay_out_what_stands_on_the_balance(who: Somebody, client: FlaskClient) -> None:
    """2.19 was too much: 2.00 are sent back, 0.19 stay for the next invoice."""
    staff = staff_client(client)
    here = f"/admin/vendors/{who.id}"
    assert "Balance Pay out… €2.19" in text_of(staff.get(here))
    page = f"{here}/payout"
    sent = {"seen": "219", "amount": "2.00", "reference": "SEPA 7", "reason": "Paid too much"}
    assert "not more than is left" in text_of(people.post(staff, page, {**sent, "amount": "2.20"}))
    assert people.post(staff, page, {**sent, "reference": ""}).status_code == 422
    assert people.post(staff, page, sent).status_code == 303
    assert balance.balance(who.id, "EUR").minor == 19
    assert people.post(staff, page, sent).status_code == 409, "somebody still looks at the page from before"
    assert people.post(staff, page, {**sent, "seen": "19", "amount": "0.19"}).status_code == 422, "the same transfer"
    with pytest.raises(Invalid):
        sends_back(who, 100, "SEPA 7")
    assert balance.balance(who.id, "EUR").minor == 19 and mails_to(who)["refunded"] == 1
    assert "Credit paid out" in text_of(staff.get(f"{here}?tab=audit"))
    people.sign_in(client, who.email, PASSWORD)
    assert "€0.19 stands on your balance" in text_of(client.get(f"/vendor/{who.code}/billing"))


def test_what_is_paid_ahead_and_what_was_too_much_is_said(who: Somebody, client: FlaskClient) -> None:
    """The trial runs for another 14 days; the month after it is paid, so its price stands."""
    people.sign_in(client, who.email, PASSWORD)
    (invoice,) = rows(Invoice, who)
    paper = text_of(client.get(f"/vendor/{who.code}/invoices/{invoice.id}"))
    assert "Kept on the balance more than this invoice asked for €2.19" in paper
    assert "10115 Berlin Germany" in paper
    assert "Can be chosen from 29 Jan 2027 on" in text_of(client.get(f"/vendor/{who.code}/plans"))
    refused = client.get(f"/vendor/{who.code}/plans/change")
    assert refused.status_code == 409 and "The coming period is paid for already" in text_of(refused)
    business = catalog.offer("business", Cycle.MONTHLY)
    assert business is not None
    with pytest.raises(Conflict):
        change_flows.preview_change(who.id, business.id, When.NOW)
