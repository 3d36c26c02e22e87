"""Events that never come, or come an hour late: asking Stripe leads to the same end."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.kit import jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import jobs as inbox
from portal.stripe_events import reconcile
from portal.stripe_events.reconcile import text
from tests.stripe_events.life import Cohort, post
from tests.stripe_events.test_orders_of_events import (
    BOUGHT,
    BOUGHT_MAILS,
    CHARGED,
    CHARGED_MAILS,
    check,
    go_on,
    now_has_a_card_that_fails,
)
from tests.support.servers import Sandbox
from tests.support.stories import pays, portrait, push_catalog, stripe_get
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
SILENCE = ((), (), ())


@pytest.fixture
def cohort(client: FlaskClient, sandbox: Sandbox) -> Cohort:
    """Two vendors who share nothing."""
    push_catalog()
    return Cohort(client, sandbox)


def reconciled() -> None:
    """As the nightly task does it, for everybody that Stripe knows."""
    with unit_of_work():
        inbox.reconcile_all()
    jobs.run_all()


def test_a_lost_checkout_is_found(cohort: Cohort) -> None:
    cohort.begin([SILENCE, SILENCE], trial=False)
    reconciled()
    check(cohort, BOUGHT, BOUGHT_MAILS)
    assert reconcile.compare(cohort.lives[0].who.id) == []


@pytest.mark.parametrize("nights", ["every night", "only the last"])
def test_a_lost_charge_is_found(cohort: Cohort, travel: Travel, nights: str) -> None:
    cohort.begin([SILENCE, SILENCE])
    if nights == "every night":
        reconciled()
    go_on(cohort, travel, minutes=10)
    go_on(cohort, travel, minutes=80)
    reconciled()
    check(cohort, CHARGED, CHARGED_MAILS)


def test_a_lost_failure_and_its_recovery_are_found(cohort: Cohort, travel: Travel) -> None:
    cohort.begin([SILENCE, SILENCE])
    reconciled()
    for life in cohort.lives:
        now_has_a_card_that_fails(cohort.sandbox, life.customer)
    go_on(cohort, travel, minutes=80)
    reconciled()
    assert {portrait(life.who)["subscription"][0] for life in cohort.lives} == {"past_due"}
    assert {portrait(life.who)["mails"]["payment_failed"] for life in cohort.lives} == {1}
    for life in cohort.lives:
        invoice = stripe_get(cohort.sandbox, f"invoices/{life.invoices[1]}")
        pays(invoice["hosted_invoice_url"], life.card)
    travel.on(days=1)
    reconciled()
    check(cohort, CHARGED, CHARGED_MAILS)


def test_what_differs_is_named_and_only_once(cohort: Cohort) -> None:
    cohort.begin([SILENCE], trial=False)
    vendor = cohort.lives[0].who.id
    for _ in range(2):  # looking changes nothing
        found = {d.field: (text(d.ours), text(d.theirs)) for d in reconcile.compare(vendor)}
        assert found["status"] == ("trial_ended", "active")
        assert found["order"] == ("open", "paid")
        assert found["invoice"] == ("nothing", "paid")
    gone = {d.field for d in reconcile.repair(vendor)}
    jobs.run_all()
    assert gone == set(found)
    assert reconcile.repair(vendor) == []
    audited = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "stripe.reconciled")).all()
    assert [(a.vendor_id, a.actor_kind, len(a.data["differences"])) for a in audited] == [
        (vendor, "system", len(found))
    ]
    assert {"what": "status", "before": "trial_ended", "after": "active"} in audited[0].data["differences"]


def test_everything_an_hour_late_and_all_of_it_twice(cohort: Cohort, travel: Travel) -> None:
    cohort.begin([SILENCE, SILENCE], trial=False)
    travel.on(hours=1)
    for life in cohort.lives:
        for _ in range(2):
            for events in reversed(life.events.values()):
                for event in reversed(events):
                    assert post(cohort.client, event).status_code == 200
    jobs.run_all()
    check(cohort, BOUGHT, BOUGHT_MAILS)
