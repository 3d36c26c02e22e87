"""Tickets: a vendor asks, staff answers by mail, a visitor asks for an offer (SUB-6)."""

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.identity.rules import StaffKind
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.settings import service as settings
from portal.subscriptions.rules import Status
from portal.support.models import SupportTicket, TicketMessage
from tests.reporting import paid
from tests.reporting.paid import PARTIAL
from tests.support import people
from tests.support.people import Someone, post, text_of
from tests.web.test_vendor_billing import stands
from tests.web.test_vendor_queries import counted

pytestmark = pytest.mark.usefixtures("unscoped")
QUESTION = {"subject": "How do I export?", "body": "I look for the export.\n\nWhere is it?"}


@pytest.fixture
def alice(client: FlaskClient) -> Someone:
    """An owner, signed in."""
    return people.sign_up(client)


@pytest.fixture
def staff(client: FlaskClient) -> FlaskClient:
    """A browser of the operator's support people."""
    return paid.staff_client(client, StaffKind.SUPPORT)


def asks(client: FlaskClient, who: Someone, **more: str) -> str:
    """Ask through the door; gives the address of the ticket."""
    answer = post(client, f"/vendor/{who.code}/support", {**QUESTION, **more})
    assert answer.status_code == 303, text_of(answer)
    return str(answer.location)


def only_ticket() -> SupportTicket:
    return db.session.scalars(select(SupportTicket).execution_options(populate_existing=True)).one()


def mails(kind: str) -> list[SentMail]:
    jobs.run_all()
    return list(db.session.scalars(select(SentMail).where(SentMail.kind == kind)))


def test_a_question_is_asked_answered_by_mail_and_asked_on(
    client: FlaskClient, alice: Someone, staff: FlaskClient
) -> None:
    empty = text_of(client.get(f"/vendor/{alice.code}/support"))
    assert "No questions yet" in empty
    ticket = asks(client, alice)
    page = text_of(client.get(ticket))
    assert "How do I export?" in page and "Where is it?" in page and "Waiting for us" in page
    queue = text_of(staff.get("/admin/support"))
    assert "How do I export?" in queue and "Kilim House" in queue
    here = f"/admin/support/{only_ticket().id}"
    assert post(staff, here, {"body": "Open the menu.\n\nChoose <b>export</b>."}, page=here).status_code == 303
    (mail,) = mails("ticket_answered")
    assert mail.recipient == alice.email and mail.params["body"] == "Open the menu.\n\nChoose <b>export</b>."
    html = client.get(ticket).get_data(as_text=True)
    assert "Choose &lt;b&gt;export&lt;/b&gt;." in html and "Answered" in html
    assert post(client, ticket, {"body": "Thank you, and the import?"}, page=ticket).status_code == 303
    assert only_ticket().state == "open"
    assert "Thank you, and the import?" in text_of(staff.get(here))


def test_a_closed_ticket_is_opened_again_by_a_reply(client: FlaskClient, alice: Someone, staff: FlaskClient) -> None:
    ticket = asks(client, alice)
    here = f"/admin/support/{only_ticket().id}"
    assert post(staff, f"{here}/close", {}, page=here).status_code == 303
    assert post(staff, f"{here}/close", {}, page=here).status_code == 303
    assert only_ticket().state == "closed"
    assert "How do I export?" not in text_of(staff.get("/admin/support"))
    assert "How do I export?" in text_of(staff.get("/admin/support?state=closed"))
    assert "A reply opens it again." in text_of(client.get(ticket))
    post(client, ticket, {"body": "It still fails."}, page=ticket)
    assert (only_ticket().state, only_ticket().closed_at) == ("open", None)


def test_the_same_again_is_one_ticket_and_one_message(client: FlaskClient, alice: Someone, staff: FlaskClient) -> None:
    assert asks(client, alice) == asks(client, alice)
    here = f"/admin/support/{only_ticket().id}"
    for _ in range(2):
        post(staff, here, {"body": "Open the menu."}, page=here)
    assert len(db.session.scalars(select(TicketMessage.id)).all()) == 2
    assert len(mails("ticket_answered")) == 1


def test_the_operator_is_told_where_it_has_an_address(client: FlaskClient, alice: Someone) -> None:
    asks(client, alice)
    assert mails("ticket_for_staff") == []
    with unit_of_work():
        settings.change("support_email", "help@operator.example", actor=SYSTEM, now=clock.business())
    asks(client, alice, subject="Another one")
    (mail,) = mails("ticket_for_staff")
    assert mail.recipient == "help@operator.example" and mail.params["sender"] == f"Alice Owner <{alice.email}>"


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"subject": ""}, "Say in a few words what it is about."),
        ({"body": "   "}, "Write what you need."),
        ({"subject": "x" * 151}, "Use at most 150 characters."),
        ({"body": "x" * 5001}, "Use at most 5,000 characters."),
        ({"body": "a\0b"}, "This contains characters that cannot be used here."),
    ],
)
def test_what_cannot_be_asked_is_told_at_its_field(
    client: FlaskClient, alice: Someone, sent: dict[str, str], says: str
) -> None:
    answer = client.post(
        f"/vendor/{alice.code}/support",
        data={"csrf_token": people.csrf_token(client), **QUESTION, **sent},
        headers=PARTIAL,
    )
    assert answer.status_code == 422 and says in text_of(answer)
    kept = next(value for name, value in QUESTION.items() if name not in sent)
    assert kept.split("\n")[0] in answer.get_data(as_text=True), "what was typed stays"
    assert db.session.scalars(select(SupportTicket.id)).all() == []


def test_another_vendors_ticket_is_nothing_here(client: FlaskClient, alice: Someone) -> None:
    ticket = asks(client, alice)
    browser = client.application.test_client()
    bob = people.sign_up(browser, email="bob@example.com", business="Bob's Bikes", name="Bob")
    foreign = ticket.replace(alice.code, bob.code)
    assert browser.get(foreign).status_code == 404
    assert post(browser, foreign, {"body": "mine?"}).status_code == 404
    assert "How do I export?" not in text_of(browser.get(f"/vendor/{bob.code}/support"))


def test_a_plan_without_a_price_leads_to_an_offer(client: FlaskClient, alice: Someone, staff: FlaskClient) -> None:
    plans = client.get(f"/vendor/{alice.code}/plans")
    assert "Enterprise Custom" in text_of(plans) and "Ask for an offer" in text_of(plans)
    way = f"/vendor/{alice.code}/support/new?tier=enterprise"
    assert way in plans.get_data(as_text=True)
    modal = client.get(way, headers=PARTIAL)
    assert "Enterprise is priced to fit." in text_of(modal)
    assert 'value="An offer for Enterprise"' in modal.get_data(as_text=True)
    asks(client, alice, subject="An offer for Enterprise", tier="enterprise")
    assert (only_ticket().kind, only_ticket().tier_code) == ("sales", "enterprise")
    assert "Offer wanted" in text_of(staff.get("/admin/support"))


def test_a_plan_that_has_a_price_is_no_matter_for_an_offer(client: FlaskClient, alice: Someone) -> None:
    asks(client, alice, tier="business")
    assert (only_ticket().kind, only_ticket().tier_code) == ("question", None)


def test_a_visitor_asks_and_gets_the_answer_by_mail(client: FlaskClient) -> None:
    pricing = client.get("/pricing").get_data(as_text=True)
    assert 'href="/contact?tier=enterprise"' in pricing
    form = {
        "name": "Grace",
        "email": "grace@example.com",
        "subject": "An offer for Enterprise",
        "body": "For ten shops.",
    }
    assert 'name="tier" type="hidden" value="enterprise"' in client.get("/contact?tier=enterprise").get_data(
        as_text=True
    )
    answer = post(client, "/contact", {**form, "tier": "enterprise"})
    assert answer.status_code == 200 and "We answer by mail to grace@example.com." in text_of(answer)
    ticket = only_ticket()
    assert (ticket.scope, ticket.vendor_id, ticket.tier_code) == ("public", None, "enterprise")
    staff = paid.staff_client(client, StaffKind.SUPPORT)
    here = f"/admin/support/{ticket.id}"
    assert "a visitor, no vendor" in text_of(staff.get(here))
    post(staff, here, {"body": "It is €499 a month."}, page=here)
    (mail,) = mails("contact_answered")
    assert (mail.recipient, mail.vendor_id) == ("grace@example.com", None)
    assert mail.body_text and "It is €499 a month." in mail.body_text


def test_a_visitors_mistakes_are_told_and_nothing_is_kept(client: FlaskClient) -> None:
    answer = post(client, "/contact", {"name": "Grace", "email": "nowhere", "subject": "Hello", "body": ""})
    words = text_of(answer)
    assert answer.status_code == 422 and "Enter an email address" in words and "Write what you need." in words
    assert db.session.scalars(select(SupportTicket.id)).all() == []


def test_who_has_a_vendor_asks_from_within_it(client: FlaskClient, alice: Someone) -> None:
    answer = client.get("/contact?tier=enterprise")
    assert (answer.status_code, answer.location) == (303, f"/vendor/{alice.code}/support/new?tier=enterprise")


def test_many_tickets_are_paged_in_three_statements(client: FlaskClient, alice: Someone, staff: FlaskClient) -> None:
    for n in range(23):
        asks(client, alice, subject=f"Question {n:02}")
    staff.get("/admin/support")
    with counted(db.engine) as seen:
        first = staff.get("/admin/support")
    assert len(seen) <= 3, seen
    assert "Question 22" in text_of(first) and "Question 02" not in text_of(first)
    following = re.search(r'rel="next" href="([^"]+)"', first.get_data(as_text=True))
    assert following and "Question 02" in text_of(staff.get(following[1].replace("&amp;", "&")))


def test_a_suspended_vendor_reads_and_asks(client: FlaskClient, alice: Someone) -> None:
    stands(alice, Status.SUSPENDED)
    page = client.get(asks(client, alice))
    assert page.status_code == 200 and "Where is it?" in text_of(page)
    pill = client.get(f"/vendor/{alice.code}/billing/credits", headers=PARTIAL)
    assert pill.status_code == 200
