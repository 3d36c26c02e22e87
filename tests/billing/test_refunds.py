"""Money goes back once, never more than came in, whoever asked for it and in whichever order Stripe tells of it."""

from functools import partial
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from portal.audit.models import AuditEntry
from portal.billing import refund_flows, refunds
from portal.billing.models import CreditNote, Dispute, Invoice, Payment, Refund
from portal.billing.refund_rules import State, further, left_of
from portal.billing.refunds import Wish
from portal.gateways.stripe import StripeMismatch
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound, Unavailable
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.settings import service as settings
from portal.stripe_events import reconcile
from portal.subscriptions import queries as subscriptions
from tests.stripe_events.life import end_trial
from tests.subscriptions.conftest import ADMIN, OTHER_ADMIN, payer, pushed
from tests.subscriptions.test_races import at_once
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, mails_to, opens_checkout, pays, settle, signs_up, stripe_get, stripe_post
from tests.support.travel import Travel

__all__ = ["payer", "pushed"]
pytestmark = pytest.mark.usefixtures("unscoped")
PENDING, COMES_BACK, DISPUTED = "4000000000007726", "4000000000005126", "4000000000000259"


def paid(who: Somebody) -> refunds.Refundable:
    """The payment of the vendor's first invoice, 99.00 EUR."""
    db.session.rollback()
    invoice = db.session.query(Invoice).filter_by(vendor_id=who.id).one()
    (found,) = refunds.of_invoice(who.id, invoice.id)
    db.session.rollback()
    return found


def back(who: Somebody, minor: int, *, left: int | None = None, actor: Any = ADMIN, reference: str = "") -> State:
    """Give so much back."""
    now = paid(who)
    wish = Wish(now.payment_id, minor, "Asked for it", now.left.minor if left is None else left, reference)
    return refund_flows.give_back(who.id, now.invoice_id, wish, actor=actor)


def books(who: Somebody) -> tuple[int, str, list[tuple[str, int]]]:
    """What went back of the invoice, the payment's status, and every refund oldest first."""
    db.session.rollback()
    invoice = db.session.query(Invoice).filter_by(vendor_id=who.id).one()
    payment = db.session.query(Payment).filter_by(vendor_id=who.id).one()
    rows = db.session.query(Refund).filter_by(vendor_id=who.id).order_by(Refund.id)
    return invoice.refunded_minor, payment.status, [(r.state, r.amount_minor) for r in rows]


def paying_with(client: FlaskClient, sandbox: Sandbox, scene: Scene, card: str) -> Somebody:
    """A vendor that has paid its first month with this card."""

    def build() -> Somebody:
        who = signs_up()
        end_trial(who)
        assert pays(opens_checkout(who), card).status_code == 303
        settle(sandbox, client)
        return who

    return scene(f"paid with {card}", build)


def test_a_part_and_then_the_rest(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    assert back(payer, 3000) == State.SUCCEEDED
    assert books(payer) == (3000, "succeeded", [("succeeded", 3000)])
    # 99.00 - 30.00 = 69.00
    assert paid(payer).left.minor == 6900
    assert back(payer, 6900) == State.SUCCEEDED
    assert books(payer) == (9900, "refunded", [("succeeded", 3000), ("succeeded", 6900)])
    with pytest.raises(Conflict) as nothing_left:
        back(payer, 1)
    assert nothing_left.value.code == "not_refundable"
    settle(pushed, client)
    assert books(payer)[0] == 9900
    charge = stripe_get(pushed, "charges")["data"][0]
    assert (charge["amount_refunded"], len(stripe_get(pushed, "refunds")["data"])) == (9900, 2)
    assert mails_to(payer)["refunded"] == 2
    # the plan goes on: money and rights are two things
    assert subscriptions.held(payer.id).status == "active"


@pytest.mark.parametrize("minor", [0, -1, 9901])
def test_never_more_than_came_in_and_never_nothing(payer: Somebody, minor: int) -> None:
    with pytest.raises(Invalid) as refused:
        back(payer, minor)
    assert set(refused.value.fields) == {"amount"} and books(payer) == (0, "succeeded", [])


def test_what_was_seen_is_what_is_given_back(payer: Somebody) -> None:
    back(payer, 1000)
    with pytest.raises(Conflict):  # somebody still looks at the page from before
        back(payer, 1000, left=9900)
    assert books(payer)[0] == 1000


def test_two_admins_at_once_and_one_wins(catalog: Flask, client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    now = paid(payer)
    wish = Wish(now.payment_id, 6000, "Asked for it", 9900)
    give = partial(refund_flows.give_back, payer.id, now.invoice_id, wish)
    answers = at_once(catalog, [partial(give, actor=ADMIN), partial(give, actor=OTHER_ADMIN)])
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "State"]
    assert books(payer) == (6000, "succeeded", [("succeeded", 6000)])
    assert stripe_get(pushed, "charges")["data"][0]["amount_refunded"] == 6000


@pytest.mark.parametrize(("status", "when"), [(500, "after"), (500, "before"), (503, "after")])
def test_an_answer_that_was_lost_gives_back_once(
    client: FlaskClient, pushed: Sandbox, payer: Somebody, travel: Travel, status: int, when: str
) -> None:
    fault = {"kind": "status", "status": status, "when": when, "path": "^POST /v1/refunds", "times": 3}
    assert requests.post(f"{pushed.url}/_sandbox/faults", json=fault, timeout=20).status_code == 200
    try:
        back(payer, 2500)
    except Unavailable:
        assert books(payer) == (2500, "succeeded", [("requested", 2500)])  # held until the job knows more
    travel.on(seconds=90)
    with unit_of_work():
        db.session.query(OutboxJob).filter_by(state="pending").update({"run_at": clock.wall()})
    settle(pushed, client)
    assert books(payer) == (2500, "succeeded", [("succeeded", 2500)])
    assert stripe_get(pushed, "charges")["data"][0]["amount_refunded"] == 2500
    assert mails_to(payer)["refunded"] == 1


def test_a_refusal_of_stripes_frees_what_was_held(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    stripe_post(pushed, "refunds", payment_intent=paid(payer).reference)  # in Stripe's dashboard, not told yet
    with pytest.raises(StripeMismatch):
        back(payer, 9900)
    (amount, _status, rows) = books(payer)
    assert (amount, rows) == (0, [("failed", 9900)])
    settle(pushed, client)
    assert books(payer) == (9900, "refunded", [("failed", 9900), ("succeeded", 9900)])


def test_a_payment_that_stripe_does_not_know_gives_nothing_back(
    client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    with unit_of_work():
        db.session.query(Payment).filter_by(vendor_id=payer.id).one().reference = "pi_of_another_account"
    with pytest.raises(Conflict) as refused:
        back(payer, 9900)
    assert refused.value.code == "not_refundable" and books(payer) == (0, "succeeded", [("failed", 9900)])


def test_a_refund_of_stripes_dashboard_is_followed(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    stripe_post(pushed, "refunds", payment_intent=paid(payer).reference, amount="1234", reason="duplicate")
    settle(pushed, client)
    assert books(payer) == (1234, "succeeded", [("succeeded", 1234)])
    (row,) = refunds.shown(payer.id, paid(payer).invoice_id)
    assert (row.by, row.reason) == ("Stripe", "duplicate")
    assert mails_to(payer)["refunded"] == 1
    assert db.session.query(AuditEntry).filter_by(action="invoice.refunded").count() == 1


def test_a_refund_under_way_arrives(client: FlaskClient, pushed: Sandbox, scene: Scene, travel: Travel) -> None:
    who = paying_with(client, pushed, scene, PENDING)
    assert back(who, 9900) == State.PENDING
    assert books(who) == (9900, "refunded", [("pending", 9900)])
    travel.on(hours=2)
    pushed.run_due()
    settle(pushed, client)
    assert books(who) == (9900, "refunded", [("succeeded", 9900)])
    assert mails_to(who)["refunded"] == 1


def test_a_refund_that_comes_back_is_told_to_the_operator(
    client: FlaskClient, pushed: Sandbox, scene: Scene, travel: Travel
) -> None:
    who = paying_with(client, pushed, scene, COMES_BACK)
    operator_has_an_address()
    assert back(who, 9900) == State.SUCCEEDED
    travel.on(hours=2)
    pushed.run_due()
    settle(pushed, client)
    assert books(who) == (0, "succeeded", [("failed", 9900)])
    (mail,) = db.session.query(SentMail).filter_by(kind="refund_failed")
    assert (mail.recipient, mail.params["amount"]) == ("help@portal.example", {"minor": 9900, "currency": "EUR"})
    # the money is there again, so it can go back another time
    assert paid(who).left.minor == 9900


def operator_has_an_address() -> None:
    with unit_of_work():
        settings.change("support_email", "help@portal.example", actor=ADMIN, now=clock.business())


@pytest.mark.parametrize(("button", "status", "refundable"), [("win", "won", True), ("lose", "lost", False)])
def test_a_dispute_is_mirrored_and_told_once(
    client: FlaskClient, pushed: Sandbox, scene: Scene, button: str, status: str, refundable: bool
) -> None:
    who = paying_with(client, pushed, scene, DISPUTED)
    operator_has_an_address()
    (row,) = db.session.query(Dispute).filter_by(vendor_id=who.id)
    assert (row.status, row.reason, row.amount_minor) == ("needs_response", "fraudulent", 9900)
    assert row.answer_by is not None and row.answer_by.date().isoformat() == "2027-01-22"
    reference = row.stripe_dispute_id
    with pytest.raises(Conflict) as refused:
        back(who, 100)
    assert refused.value.code == "not_refundable"
    pushed.post(f"/_sandbox/objects/{reference}/{button}")
    settle(pushed, client)
    db.session.rollback()
    (row,) = db.session.query(Dispute).filter_by(vendor_id=who.id)
    assert row.status == status and row.closed_at is not None
    closed = db.session.query(SentMail).filter_by(kind="dispute_closed").all()
    assert [mail.params["status"] for mail in closed] == [status]
    assert (paid(who).why_not is None) == refundable


def test_the_operator_is_told_of_a_dispute(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    operator_has_an_address()
    charge = stripe_get(pushed, "charges")["data"][0]["id"]
    pushed.post(f"/_sandbox/objects/{charge}/dispute")
    settle(pushed, client)
    (mail,) = db.session.query(SentMail).filter_by(kind="dispute_opened")
    assert (mail.recipient, mail.params["vendor_name"]) == ("help@portal.example", "Ada's Shop")
    assert db.session.query(AuditEntry).filter_by(action="invoice.disputed").count() == 1
    assert jobs.run_all() == 0


def test_another_vendors_payment_is_not_there(client: FlaskClient, pushed: Sandbox, payer: Somebody) -> None:
    other = signs_up(email="bob@other.example", name="Other House")
    now = paid(payer)
    with pytest.raises(NotFound):
        refunds.of_invoice(other.id, now.invoice_id)
    db.session.rollback()
    wish = Wish(now.payment_id, 100, "x", 9900)
    with pytest.raises(NotFound):
        refund_flows.give_back(other.id, now.invoice_id, wish, actor=ADMIN)


def by_transfer(who: Somebody) -> None:
    """As if this payment had come to the operator's bank account."""
    with unit_of_work():
        payment = db.session.query(Payment).filter_by(vendor_id=who.id).one()
        payment.provider, payment.reference = "transfer", "RF18-1"


def test_what_came_by_transfer_is_sent_by_hand_and_written_down(payer: Somebody) -> None:
    by_transfer(payer)
    with pytest.raises(Invalid) as without:
        back(payer, 5000)
    assert set(without.value.fields) == {"reference"}
    assert back(payer, 5000, reference="SEPA 2027-01-15 / 17") == State.SUCCEEDED
    assert books(payer) == (5000, "succeeded", [("succeeded", 5000)])
    with pytest.raises(Invalid) as twice:
        back(payer, 1000, reference="SEPA 2027-01-15 / 17")
    assert set(twice.value.fields) == {"reference"}
    assert mails_to(payer)["refunded"] == 1


def test_states_only_go_forward() -> None:
    order = [State.REQUESTED, State.PENDING, State.SUCCEEDED, State.FAILED]
    for i, earlier in enumerate(order):
        for later in order[i:]:
            assert further(earlier, later) == later == further(later, earlier)
    assert (left_of(100, 30), left_of(100, 130)) == (70, 0)


def test_a_credit_note_of_stripes_dashboard_stands_beside_the_invoice(
    client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    """Half of 99.00, rounded up, then half of the rest: 49.50 and 24.75. The second one is voided again."""
    document = stripe_get(pushed, "invoices")["data"][0]["id"]
    for _ in range(2):
        pushed.post(f"/_sandbox/objects/{document}/credit")
    settle(pushed, client)
    assert credited(payer) == (7425, [4950, 2475])
    newest = stripe_get(pushed, "credit_notes", invoice=document)["data"][0]
    pushed.post(f"/_sandbox/objects/{newest['id']}/void")
    settle(pushed, client)
    assert credited(payer) == (4950, [4950])
    (note,) = db.session.query(CreditNote).filter_by(vendor_id=payer.id)
    assert (note.provider, note.reason, note.subtotal_minor + note.tax_minor) == ("stripe", "order change", 4950)


def test_a_credit_note_of_which_no_event_came_is_found_at_night(
    client: FlaskClient, pushed: Sandbox, payer: Somebody
) -> None:
    document = stripe_get(pushed, "invoices")["data"][0]["id"]
    pushed.post(f"/_sandbox/objects/{document}/credit")  # and nothing is delivered
    (found,) = reconcile.compare(payer.id)
    assert (found.field, found.ours.minor, found.theirs.minor) == ("credited", 0, 4950)
    db.session.rollback()
    assert [each.field for each in reconcile.repair(payer.id)] == ["credited"]
    assert credited(payer) == (4950, [4950])


def credited(who: Somebody) -> tuple[int, list[int]]:
    """What the invoice says is credited, and its credit notes."""
    db.session.rollback()
    invoice = db.session.query(Invoice).filter_by(vendor_id=who.id).one()
    notes = db.session.query(CreditNote).filter_by(vendor_id=who.id).order_by(CreditNote.id)
    return invoice.credited_minor, [note.total_minor for note in notes]
