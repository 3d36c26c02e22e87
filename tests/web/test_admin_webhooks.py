"""Stripe's events in the back office (ADM-5): found, read, understood, handled once more and never applied twice."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.identity.rules import StaffKind
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import queries, replay
from portal.stripe_events.models import WebhookEvent
from tests.stripe_events.life import post as deliver_event
from tests.support import people
from tests.support.people import post, text_of
from tests.support.servers import Sandbox, deliver
from tests.support.stories import Somebody, opens_checkout, pays, portrait, push_catalog, signs_up
from tests.support.travel import Travel
from tests.web.test_vendor_queries import statements  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("unscoped")
LIST = "/admin/webhooks"
PARTIAL = {"HX-Request-Type": "partial"}


@pytest.fixture
def staff(client: FlaskClient) -> FlaskClient:
    """A browser of an admin."""
    people.sign_in(client, people.staff().email)
    return client


def event(ident: str, kind: str = "customer.subscription.updated", **about: Any) -> dict[str, Any]:
    return {"id": ident, "object": "event", "type": kind, "data": {"object": {"id": f"sub_{ident}", **about}}}


def came(client: FlaskClient, ident: str, kind: str = "customer.subscription.updated", **about: Any) -> int:
    """Deliver an event; its job waits. Gives its id here."""
    assert deliver_event(client, event(ident, kind, **about)).status_code == 200
    return id_of(ident)


def id_of(ident: str) -> int:
    return db.session.scalars(select(WebhookEvent.id).where(WebhookEvent.stripe_event_id == ident)).one()


def state_of(event_id: int) -> tuple[str, int]:
    db.session.expire_all()
    row = db.session.get_one(WebhookEvent, event_id)
    return row.state, row.attempts


def set_state(event_id: int, state: str, error: str | None, *, job: str = "dead", attempts: int = 12) -> None:
    """As if it had been tried so often."""
    with unit_of_work() as session:
        row = session.get_one(WebhookEvent, event_id)
        row.state, row.error, row.attempts = state, error, attempts
        for each in session.scalars(
            select(OutboxJob).where(OutboxJob.dedupe_key == f"stripe-event:{row.stripe_event_id}")
        ):
            each.state, each.attempts = job, attempts


def test_an_empty_inbox_says_what_it_is_for(staff: FlaskClient) -> None:
    assert "No events yet" in text_of(staff.get(LIST))


def test_events_are_listed_with_what_became_of_them(staff: FlaskClient) -> None:
    came(staff, "evt_1")
    came(staff, "evt_2", "product.created")
    jobs.run_all()
    set_state(came(staff, "evt_3", "invoice.paid"), "failed", "Unavailable: stripe_unavailable: x")
    words = text_of(staff.get(LIST))
    assert "customer.subscription.updated evt_1" in words and "No vendor here has this Stripe customer." in words
    assert "The portal does not follow events of this type." in words
    assert "Stripe did not answer in time. It is tried again by itself." in words


def test_the_list_is_filtered(staff: FlaskClient) -> None:
    for ident, kind in (("evt_1", "invoice.paid"), ("evt_2", "invoice_payment.paid"), ("evt_3", "invoice.paid")):
        came(staff, ident, kind)
    set_state(id_of("evt_3"), "failed", "Conflict: conflict: x")

    def seen(**query: str) -> list[str]:
        answer = staff.get(LIST, query_string=query, headers=PARTIAL)
        assert answer.status_code == 200
        return [ident for ident in ("evt_1", "evt_2", "evt_3") if f">{ident}<" in answer.get_data(as_text=True)]

    assert seen() == ["evt_1", "evt_2", "evt_3"]
    assert seen(state="failed") == ["evt_3"]
    assert seen(state="received") == ["evt_1", "evt_2"]
    assert seen(type="invoice") == ["evt_1", "evt_3"]  # not invoice_payment
    assert seen(type="invoice.paid", state="failed") == ["evt_3"]
    assert seen(q="evt_2") == ["evt_2"]
    assert seen(q="sub_evt_1") == ["evt_1"]
    assert seen(q="nobody") == []
    assert seen(q="evt_%", state="nonsense", type="';--") == []
    assert "No event matches" in text_of(staff.get(LIST, query_string={"q": "nobody"}))
    assert staff.get(LIST, query_string={"q": "\x00" + "x" * 1000, "page": "spoilt"}).status_code == 404


def test_events_are_found_by_their_vendor(staff: FlaskClient, sandbox: Sandbox) -> None:
    push_catalog()
    ada = signs_up()
    assert pays(opens_checkout(ada)).status_code == 303
    deliver(sandbox, staff)
    came(staff, "evt_other")
    jobs.run_all()
    words = text_of(staff.get(LIST, query_string={"q": ada.code}))
    assert "checkout.session.completed" in words and "Ada's Shop" in words and "evt_other" not in words


def test_a_page_takes_three_statements_and_its_parts_two(
    staff: FlaskClient,
    statements: Callable[..., int],  # noqa: F811
) -> None:
    """Who is at the door, the figures (whole page only), the rows."""
    for number in range(30):
        came(staff, f"evt_{number}")
    assert statements(LIST) == 3
    headers = {"HX-Request-Type": "partial"}
    assert statements(LIST, **headers) == 2
    assert statements(f"{LIST}/figures", **headers) == 2
    # The event with its vendor, and its job.
    assert statements(f"{LIST}/{id_of('evt_0')}") == 3


def test_pages_hang_together(staff: FlaskClient) -> None:
    for number in range(60):
        came(staff, f"evt_{number:02}")
    seen: list[str] = []
    address = LIST
    for _ in range(3):
        page = staff.get(address).get_data(as_text=True)
        seen += re.findall(r">(evt_\d\d)<", page)
        following = re.search(r'rel="next" href="([^"]+)"', page) or re.search(r'href="([^"]+)" rel="next"', page)
        address = following[1].replace("&amp;", "&") if following else ""
    assert seen == [f"evt_{number:02}" for number in reversed(range(60))]
    assert address == ""


def test_an_event_is_shown_with_its_payload_but_no_secret(staff: FlaskClient) -> None:
    ident = came(staff, "evt_1", client_secret="seti_1_secret_canary", note="<script>alert(1)</script>")
    page = staff.get(f"{LIST}/{ident}")
    html = page.get_data(as_text=True)
    assert "seti_1_secret_canary" not in html and "client_secret" in html
    assert "<script>alert(1)" not in html and "&lt;script&gt;alert(1)" in html
    assert "Waits for its turn." in text_of(page)
    assert staff.get(f"{LIST}/987654").status_code == 404
    assert staff.get(f"{LIST}/{2**70}").status_code == 404


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("Unavailable: stripe_key: x", "Check STRIPE_SECRET_KEY, then replay."),
        (
            "Conflict: conflict: Stripe names a price that the catalog does not have: price_9",
            "Stripe names a price that the catalog does not have: price_9. Add it, then replay.",
        ),
        ("KeyError: 'items'", "KeyError: 'items'"),
    ],
)
def test_a_failure_is_told_in_words(staff: FlaskClient, error: str, words: str) -> None:
    ident = came(staff, "evt_1")
    set_state(ident, "failed", error)
    said = text_of(staff.get(f"{LIST}/{ident}"))
    assert words in said
    assert "Given up after 12 tries." in said


def test_a_replay_is_confirmed_audited_and_done(staff: FlaskClient) -> None:
    ident = came(staff, "evt_1")
    set_state(ident, "failed", "Unavailable: stripe_unavailable: x")
    asked = staff.get(f"{LIST}/{ident}/replay", headers=PARTIAL)
    assert "Nothing happens twice" in text_of(asked)
    assert state_of(ident) == ("failed", 12)
    answer = post(staff, f"{LIST}/{ident}/replay", {}, page=f"{LIST}/{ident}")
    assert answer.location == f"{LIST}/{ident}"
    assert state_of(ident) == ("received", 12)
    jobs.run_all()
    assert state_of(ident) == ("ignored", 13)  # "sub_evt_1" is nobody's
    acts = db.session.execute(select(AuditEntry.action, AuditEntry.actor_label, AuditEntry.data)).all()
    assert ("webhook.replayed", "Sam Staff") in [(a.action, a.actor_label) for a in acts]


def test_a_replay_asked_for_ten_times_happens_once(staff: FlaskClient) -> None:
    ident = came(staff, "evt_1")
    jobs.run_all()
    before = state_of(ident)
    for _ in range(10):
        post(staff, f"{LIST}/{ident}/replay", {}, page=LIST)
    assert jobs.run_all() == 1
    assert state_of(ident) == (before[0], before[1] + 1)
    post(staff, f"{LIST}/{ident}/replay", {}, page=LIST)
    assert jobs.run_all() == 1


def test_a_paid_event_replayed_grants_and_mails_nothing_again(
    staff: FlaskClient, sandbox: Sandbox, travel: Travel
) -> None:
    push_catalog()
    ada: Somebody = signs_up()
    assert pays(opens_checkout(ada)).status_code == 303
    deliver(sandbox, staff)
    jobs.run_all()
    travel.on(days=14, hours=3)
    sandbox.run_due()
    deliver(sandbox, staff)
    jobs.run_all()
    before = portrait(ada)
    assert [i[1] for i in before["invoices"]] == ["paid", "paid"]
    handled = list(db.session.scalars(select(WebhookEvent.id)))
    for ident in handled:
        assert post(staff, f"{LIST}/{ident}/replay", {}, page=LIST).status_code == 303
    assert jobs.run_all() == len(handled)
    assert portrait(ada) == before


def test_a_retry_that_waits_is_brought_forward(staff: FlaskClient) -> None:
    ident = came(staff, "evt_1")
    set_state(ident, "failed", "x", job="pending", attempts=3)
    with unit_of_work() as session:
        session.scalars(select(OutboxJob)).one().run_at = clock.wall() + timedelta(hours=1)
    assert "Tried 3 times; the next try comes at" in text_of(staff.get(f"{LIST}/{ident}"))
    assert jobs.run_all() == 0
    post(staff, f"{LIST}/{ident}/replay", {}, page=LIST)
    assert jobs.run_all() == 1
    assert state_of(ident)[0] == "ignored"


def test_all_that_failed_is_replayed_in_steps_with_progress(
    staff: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "BATCH", 3)
    idents = [came(staff, f"evt_{number}") for number in range(8)]
    jobs.run_all()
    for ident in idents[:7]:
        set_state(ident, "failed", "Unavailable: stripe_unavailable: x")
    assert (queries.attention().failed, queries.attention().waiting) == (7, 0)
    asked = staff.get(f"{LIST}/replay-failed")
    assert "Handle 7 events again" in text_of(asked)
    for _ in range(2):  # a double click
        answer = post(staff, f"{LIST}/replay-failed", {}, page=LIST, headers=PARTIAL)
        assert "7 events are being handled again." in answer.headers["HX-Trigger"]
    figures = staff.get(f"{LIST}/figures", headers=PARTIAL)
    assert "every 2s" in figures.get_data(as_text=True) and "being handled now" in text_of(figures)
    # 3 + 3 + 1 events in three steps, and 7 of their jobs.
    assert jobs.run_all() == 3 + 7
    assert {state_of(ident) for ident in idents[:7]} == {("ignored", 13)}
    assert state_of(idents[7]) == ("ignored", 1)
    figures = staff.get(f"{LIST}/figures", headers=PARTIAL)
    assert "every 2s" not in figures.get_data(as_text=True)
    assert "webhooks-changed" in figures.headers["HX-Trigger"]
    assert db.session.scalars(
        select(AuditEntry.data).where(AuditEntry.action == "webhook.all_failed_replayed")
    ).all() == [{"count": 7}]


def test_nothing_failed_is_said(staff: FlaskClient) -> None:
    assert "No event has failed." in text_of(staff.get(f"{LIST}/replay-failed"))
    assert post(staff, f"{LIST}/replay-failed", {}, page=LIST).location == LIST
    assert "Nothing has failed" in text_of(staff.get(LIST, query_string={"state": "failed"}))


def test_support_looks_and_does_not_replay(client: FlaskClient) -> None:
    ident = came(client, "evt_1")
    people.sign_in(client, people.staff("sue@example.com", StaffKind.SUPPORT).email)
    assert "Replay" not in text_of(client.get(f"{LIST}/{ident}"))
    assert post(client, f"{LIST}/{ident}/replay", {}, page=LIST).status_code == 403
    assert post(client, f"{LIST}/replay-failed", {}, page=LIST).status_code == 403
