"""Money that stands on the vendor's balance, at Stripe or with us: it is shown, and taken off what comes next."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.billing import balance, transfer_views
from portal.billing.models import Invoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.money import Money
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.subscriptions import queries
from portal.subscriptions.rules import Provider, Status
from tests.reporting.paid import staff_client
from tests.support.people import Someone, post, text_of
from tests.support.servers import Sandbox
from tests.support.stories import lives_on, settle, stripe_get, stripe_post
from tests.support.travel import Travel
from tests.transfer import steps
from tests.web.test_vendor_billing import stands
from tests.web.test_vendor_billing_details import sends
from tests.web.test_vendor_change import paying
from tests.web.test_vendor_ending import leaves

__all__ = ["paying"]
pytestmark = pytest.mark.usefixtures("unscoped")


def billing(client: FlaskClient, who: Someone) -> str:
    return text_of(client.get(f"/vendor/{who.code}/billing"))


def seen_by_staff(client: FlaskClient, who: Someone) -> str:
    return text_of(staff_client(client).get(f"/admin/vendors/{who.vendor_id}"))


def in_stripes_dashboard(sandbox: Sandbox, who: Someone, minor: int) -> None:
    """Stripe counts what stands to a customer's credit below zero."""
    stripe_post(sandbox, f"customers/{queries.held(who.vendor_id).stripe_customer_id}", balance=str(minor))


def test_what_was_credited_in_stripe_is_taken_off_the_next_charge(
    client: FlaskClient, sandbox: Sandbox, travel: Travel, paying: Someone
) -> None:
    """€99.00 less €98.64 are €0.36, and that is what is charged."""
    in_stripes_dashboard(sandbox, paying, -98_64)
    settle(sandbox, client)
    page = billing(client, paying)
    assert "Next charge: €0.36 on 28 February 2027 to Visa ending in 4242" in page
    assert "€98.64 of the price comes from your balance." in page
    assert "€98.64 stands on your balance. It pays your next invoices first." in page
    assert "next charge €0.36 on 28 February 2027" in text_of(client.get("/dashboard"))
    assert "€98.64 stands on the customer's balance" in seen_by_staff(client, paying)
    lives_on(sandbox, client, travel, days=25)
    newest = db.session.scalars(select(Invoice).order_by(Invoice.id.desc()).limit(1)).one()
    assert (newest.status, newest.total_minor, newest.paid_minor) == ("paid", 99_00, 36)
    page = billing(client, paying)
    assert "Next charge: €99.00" in page and "your balance" not in page


def test_what_is_owed_from_before_is_added(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    in_stripes_dashboard(sandbox, paying, 5_00)
    settle(sandbox, client)
    page = billing(client, paying)
    assert "Next charge: €104.00" in page and "€5.00 of it is still owed from before." in page
    assert "stands on your balance" not in page
    assert "€5.00 is owed on the customer's balance at Stripe" in seen_by_staff(client, paying)


def test_a_credit_that_nobody_told_of_is_found_by_comparing(
    client: FlaskClient, sandbox: Sandbox, paying: Someone
) -> None:
    sandbox.post("/_sandbox/faults", kind="drop_events", times=1_000)
    in_stripes_dashboard(sandbox, paying, -10_00)
    settle(sandbox, client)
    assert "Next charge: €99.00" in billing(client, paying)
    staff, page = staff_client(client), f"/admin/vendors/{paying.vendor_id}/stripe"
    assert "Balance at Stripe €0.00 €10.00" in text_of(staff.get(page))
    assert post(staff, page, {}, page=page).status_code == 303
    jobs.run_all()
    assert "Next charge: €89.00" in billing(client, paying)
    assert "Everything agrees" in text_of(staff.get(page))


def test_what_is_kept_at_the_end_is_on_the_page_and_in_the_mail(
    client: FlaskClient, sandbox: Sandbox, paying: Someone
) -> None:
    leaves(client, paying, when="now")
    customer = stripe_get(sandbox, f"customers/{queries.held(paying.vendor_id).stripe_customer_id}")
    assert customer["balance"] < 0, "what was unused of the period"
    kept = f"€{-customer['balance'] / 100:.2f}"
    page = billing(client, paying)
    assert page.count(f"{kept} stands on your balance. It pays your next invoices first.") == 2, "said once, then kept"
    assert f"Unused time, kept as credit -{kept} Credit" in page and "Plan or add-ons changed" not in page
    settle(sandbox, client)
    assert f"{kept}, used for your next invoices first" in text_of(client.get(f"/vendor/{paying.code}/plans"))
    said = db.session.scalars(select(SentMail.body_text).where(SentMail.kind == "cancelled")).one()
    assert f"{kept} that you paid for and did not use stands on your balance." in (said or "")


def test_who_pays_by_transfer_now_still_sees_what_stands_at_stripe(
    client: FlaskClient, sandbox: Sandbox, paying: Someone
) -> None:
    leaves(client, paying, when="now")
    settle(sandbox, client)
    kept = f"€{-stripe_balance(sandbox, paying) / 100:.2f}"
    assert f"{kept} stands on your balance. It pays your next invoices first." in billing(client, paying)
    moves_to_transfer(client, paying)
    page = billing(client, paying)
    told = f"{kept} stands on your balance at Stripe from when you paid by card. It is not used for bank transfers"
    assert told in page and "It pays your next invoices first" not in page
    assert "Next transfer: €99.00" in page, "what stands at Stripe pays for no transfer"
    staff, detail = staff_client(client), f"/admin/vendors/{paying.vendor_id}"
    assert f"{kept} stands on the customer's balance at Stripe from when" in text_of(staff.get(detail))
    in_stripes_dashboard(sandbox, paying, -1_00)  # the rest was sent back
    settle(sandbox, client)
    assert "€1.00 stands on your balance at Stripe" in billing(client, paying)
    in_stripes_dashboard(sandbox, paying, 2_00)
    settle(sandbox, client)
    assert "at Stripe" not in billing(client, paying)
    assert "€2.00 is owed on the customer's balance at Stripe from when" in text_of(staff.get(detail))


def test_what_is_left_at_stripe_is_compared_too(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    leaves(client, paying, when="now")
    settle(sandbox, client)
    moves_to_transfer(client, paying)
    sandbox.post("/_sandbox/faults", kind="drop_events", times=1_000)
    in_stripes_dashboard(sandbox, paying, 0)
    settle(sandbox, client)
    assert "stands on your balance at Stripe" in billing(client, paying), "nobody told of it"
    staff, page = staff_client(client), f"/admin/vendors/{paying.vendor_id}/stripe"
    assert "Balance at Stripe" in text_of(staff.get(page))
    assert post(staff, page, {}, page=page).status_code == 303
    jobs.run_all()
    assert "stands on your balance at Stripe" not in billing(client, paying)
    assert "Everything agrees" in text_of(staff.get(page))


def stripe_balance(sandbox: Sandbox, who: Someone) -> int:
    return int(stripe_get(sandbox, f"customers/{queries.held(who.vendor_id).stripe_customer_id}")["balance"])


def moves_to_transfer(client: FlaskClient, who: Someone) -> None:
    """Whoever has left chooses bank transfer, and the money arrives."""
    steps.offer()
    sends(client, who)
    found = catalog.offer("professional", Cycle.MONTHLY)
    assert found is not None
    post(client, f"/vendor/{who.code}/pay", {"price": str(found.id), "method": "transfer"})
    transfer = transfer_views.waiting_for(who.vendor_id)
    assert transfer is not None
    steps.approves(transfer)


def test_by_transfer_the_next_one_is_less(client: FlaskClient, paying: Someone) -> None:
    stands(paying, Status.ACTIVE, provider=Provider.TRANSFER, payment_method=None)
    with unit_of_work():
        balance.add(paying.vendor_id, Money(5_00, "EUR"), cause="test", description="Paid twice", actor_label="Sam",
                    now=clock.business())  # fmt: skip
    page = billing(client, paying)
    assert "Next transfer: €94.00, due on 28 February 2027" in page
    assert "€5.00 of the price comes from your balance." in page
    assert "€5.00 stands on your balance." in page
