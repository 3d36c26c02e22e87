"""One vendor in the back office (ADM-2): card, meters, history, audit log."""

import re
from datetime import timedelta

import pytest

from portal.addons.models import VendorAddon
from portal.catalog.models import AddonProduct
from portal.catalog.rules import Metric
from portal.entitlements.models import EntitlementGrant
from portal.identity.models import Invitation
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.actor import STRIPE, SYSTEM, staff
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock, note
from portal.subscriptions.models import SubscriptionEvent
from portal.subscriptions.queries import overview
from portal.subscriptions.rules import usage_window
from portal.usage import service as usage
from tests.addons.buying import price_of
from tests.reporting import factory, paid
from tests.reporting.paid import PARTIAL
from tests.support import people
from tests.support.people import text_of
from tests.web.test_admin_vendors import queries_of

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def admin(client):
    return paid.staff_client(client)


def count(vendor_id, metric, quantity):
    held = overview(vendor_id)
    with unit_of_work():
        start = usage_window(held.period_start, clock.business())
        usage.record(vendor_id, metric, quantity, key=str(metric), at=clock.business(), period_start=start)


def test_the_card_is_as_drawn(client, admin, sandbox, travel):
    vendor = paid.pays_for(sandbox, client, travel)
    count(vendor.id, Metric.ORDERS, 234)
    count(vendor.id, Metric.PRODUCTS, 156)
    count(vendor.id, Metric.TEAM_MEMBERS, 1)  # beside the owner
    words = text_of(admin.get(f"/admin/vendors/{vendor.id}"))
    assert "Tier Professional Status Active Price €99/month Since 1 February 2027" in words
    assert "Next billing 16 March 2027" in words and "Payment method Visa ending in 4242" in words
    # 234 of 500 = 46.8 %, shown without a fraction; products are unlimited; 2 of 3 = 66.7 %.
    assert "Orders 46 % 234 of 500" in words and "Products 156 · ∞ unlimited" in words
    assert "Team members 66 % 2 of 3" in words
    assert "Add-ons: none yet Included add-ons: Custom domain" in words and "Edit" in words
    assert "ada@shop.example" in words and "€99.00" in words and "Paid" in words


def test_what_was_never_counted_is_not_shown_as_zero(client, admin):
    trial = people.register()
    words = text_of(admin.get(f"/admin/vendors/{trial.vendor_id}"))
    assert "Nothing counted yet · 500 included" in words and "0 of 500" not in words
    assert "No invoices yet" in words


def test_the_owner_can_be_written_to(client, admin):
    trial = people.register()
    assert 'href="mailto:alice@example.com"' in admin.get(f"/admin/vendors/{trial.vendor_id}").get_data(as_text=True)


def test_a_vendor_without_a_tier_is_shown_as_such(client, admin):
    nobody = people.register(tier=None)
    words = text_of(admin.get(f"/admin/vendors/{nobody.vendor_id}"))
    assert "No tier chosen yet" in words and "No plan" in words and "No credits were granted yet." in words
    assert admin.get(f"/admin/vendors/{nobody.vendor_id}/card", headers=PARTIAL).status_code == 200


def test_each_region_fetches_itself_when_the_subscription_changes(client, admin):
    trial = people.register()
    page = admin.get(f"/admin/vendors/{trial.vendor_id}").get_data(as_text=True)
    base = f"/admin/vendors/{trial.vendor_id}"
    for region, part, events in (
        ("vendor-card", "card", "subscription-changed from:body"),
        ("vendor-meters", "meters", "subscription-changed from:body, usage-changed from:body"),
        ("vendor-money", "money", "subscription-changed from:body, credits-changed from:body"),
    ):
        opening = f'<div id="{region}" hx-get="{base}/{part}" hx-trigger="{events}" hx-swap="outerHTML">'
        assert opening in page
        assert admin.get(f"{base}/{part}", headers=PARTIAL).get_data(as_text=True).strip().startswith(opening)
        assert admin.get(f"{base}/{part}").location == base


def test_each_tab_has_an_address_and_fetches_itself(client, admin):
    trial = people.register()
    base = f"/admin/vendors/{trial.vendor_id}"
    for name, words in TABS.items():
        page, part = admin.get(f"{base}?tab={name}"), admin.get(f"{base}/tabs/{name}", headers=PARTIAL)
        assert (page.status_code, part.status_code) == (200, 200)
        assert words in text_of(page) and words in text_of(part)
        assert f'href="{base}?tab={name}#vendor-tabs" aria-current="page"' in page.get_data(as_text=True)
        assert "Kilim House" in text_of(page) and "Status" in text_of(page), "the head and the card stay above"
        assert part.get_data(as_text=True).strip().startswith('<section class="stack" id="vendor-tabs"')
        assert admin.get(f"{base}/tabs/{name}").location == f"{base}?tab={name}"
    for path in (f"{base}?tab=nothing", f"{base}/tabs/nothing"):
        assert admin.get(path).status_code == 404
    for name in TABS:
        assert admin.get(f"/admin/vendors/987654/tabs/{name}", headers=PARTIAL).status_code == 404


#: What each tab says of a vendor that has only registered.
TABS = {
    "history": "Trial of Professional started",
    "usage": "500 from Professional",
    "credits": "Credits",
    "invoices": "No invoices yet",
    "add-ons": "No add-ons yet",
    "team": "Alice Owner alice@example.com Owner",
    "purchases": "Nothing was bought yet",
    "tickets": "No questions yet",
    "audit": "Account opened",
}


def test_tabs_count_what_stands_behind_them(client, admin, sandbox, travel):
    vendor = paid.pays_for(sandbox, client, travel)
    words = text_of(admin.get(f"/admin/vendors/{vendor.id}"))
    # One owner; one order, whose invoice is the only one.
    assert "Invoices 1 Add-ons 0 Team 1 Purchases 1 Tickets 0 Audit log" in words
    assert "€99.00" in text_of(admin.get(f"/admin/vendors/{vendor.id}?tab=purchases"))


def test_usage_says_why_and_draws_the_month(client, admin):
    trial = people.register()
    count(trial.vendor_id, Metric.ORDERS, 234)
    now = clock.business()
    with unit_of_work() as session:
        session.add(
            EntitlementGrant(
                vendor_id=trial.vendor_id, source="override", source_ref="override:1", kind="limit", key="orders",
                amount=250, valid_from=now, valid_until=now + timedelta(days=16), version=2,
            )
        )  # fmt: skip
    base = f"/admin/vendors/{trial.vendor_id}"
    words = text_of(admin.get(f"{base}?tab=usage"))
    # 234 of 250 are 93.6 %; 15 January and 16 days: 31 January.
    assert "Orders 234 nearly full 250 500 from Professional set to 250 by override until 31 January" in words
    assert "Orders by day 234 from 15 January 2027 to 15 February 2027" in words
    part = admin.get(f"{base}/usage-graph?what=orders", headers=PARTIAL)
    assert part.get_data(as_text=True).strip().startswith('<div id="usage-graph"')
    assert admin.get(f"{base}/usage-graph?what=orders").location == f"{base}?tab=usage&what=orders"
    assert queries_of(admin, f"{base}/usage-graph?what=orders", headers=PARTIAL) == 3
    # Without a script the graph comes along with the tab; with one it fetches itself.
    assert "usage-chart" not in admin.get(f"{base}/tabs/usage", headers=PARTIAL).get_data(as_text=True)


def test_the_price_of_an_add_on_is_that_of_all_pieces(client, admin):
    """Three times 5.00, as the vendor reads it."""
    trial = people.register()
    with unit_of_work() as session:
        product = session.query(AddonProduct).filter_by(code="extra-storage").one()
        session.add(
            VendorAddon(
                vendor_id=trial.vendor_id, addon_id=product.id, origin="bought", provider="stripe", status="active",
                price_id=price_of("extra-storage"), quantity=3, config={}, created_at=clock.business(),
            )
        )  # fmt: skip
    words = text_of(admin.get(f"/admin/vendors/{trial.vendor_id}?tab=add-ons"))
    assert "Extra storage × 3" in words and "€15/month" in words and "€5/month" not in words


def test_an_add_on_and_an_invitation_are_listed(client, admin):
    trial = people.register()
    now = clock.business()
    with unit_of_work() as session:
        product = session.query(AddonProduct).filter_by(code="custom-domain").one()
        session.add(
            VendorAddon(
                vendor_id=trial.vendor_id, addon_id=product.id, origin="given", provider="none", status="active",
                config={"name": "kilim.example"}, created_at=now,
            )
        )  # fmt: skip
        session.add(
            Invitation(
                vendor_id=trial.vendor_id, email="carol@kilim.example", email_key="carol@kilim.example", role="manager",
                token_hash="x" * 64, invited_by="Alice", created_at=now, expires_at=now + timedelta(days=7),
            )
        )  # fmt: skip
    base = f"/admin/vendors/{trial.vendor_id}"
    words = text_of(admin.get(f"{base}?tab=add-ons"))
    assert "Add-ons 1" in words and "kilim.example Active Given by staff" in words
    assert "Add-ons: Custom domain (kilim.example) Included add-ons:" in words, "as the card is drawn"
    # Noon of 15 January and seven days.
    assert "carol@kilim.example Manager Invited invited, until 22 Jan 2027" in text_of(admin.get(f"{base}?tab=team"))


EVENTS = (
    ("trial_started", {"tier": "professional", "ends": "2027-01-29T12:00:00+00:00"}, None, SYSTEM,
     "Trial of Professional started, until 29 January 2027"),
    ("trial_refused", {}, "same person", SYSTEM, "No trial given"),
    ("trial_extended", {"days": 1, "ends": "2027-01-30T12:00:00+00:00"}, "Kind", staff(1, "Sam"),
     "Trial extended by 1 day, until 30 January 2027"),
    ("trial_ended", {}, None, SYSTEM, "Trial ended"),
    ("tier_changed", {"before": "essential", "after": "business"}, None, STRIPE,
     "Tier changed from Essential to Business"),
    ("tier_changed", {"before": "business", "after": "business"}, None, STRIPE, "Price of Business changed"),
    ("change_scheduled", {"after": "Essential", "at": "2027-03-01T00:00:00+00:00"}, None, staff(1, "Sam"),
     "Change to Essential planned for 1 March 2027"),
    ("change_undone", {}, "released in Stripe", STRIPE, "Planned change taken back"),
    ("change_refused", {}, "not paid in time", STRIPE, "Change refused; the tier stayed as it was"),
    ("change_awaits_payment", {}, None, STRIPE, "Change waits for the vendor to confirm the payment"),
    ("change_applied", {"due": 5000}, None, staff(1, "Sam"), "Change carried out"),
    ("payment_added", {"free_until": None}, None, STRIPE, "Payment method added"),
    ("period_started", {"start": "2027-02-01T00:00:00+00:00", "end": "2027-03-01T00:00:00+00:00"}, None, STRIPE,
     "New period from 1 February 2027 to 1 March 2027"),
    ("period_paid", {"tier": "business", "invoice": "A-1", "start": "2027-02-01T00:00:00+00:00",
                     "end": "2027-03-01T00:00:00+00:00"}, None, STRIPE,
     "Business paid from 1 February 2027 to 1 March 2027 (invoice A-1)"),
    ("status_changed", {"before": "trial", "after": "past_due"}, None, STRIPE,
     "Standing changed from Trial to Past due"),
    ("cancellation_changed", {"at_period_end": True}, None, STRIPE, "Cancelled to the end of the period"),
    ("cancellation_changed", {"at_period_end": False}, None, STRIPE, "Cancellation taken back"),
    ("cancel_requested", {"at_once": False, "ends": "2027-02-15T12:00:00+00:00", "feedback": "unused"}, "Quiet year",
     staff(1, "Sam"), "Cancelled for 15 February 2027 (Not used enough)"),
    ("cancel_requested", {"at_once": True, "ends": "2027-02-15T12:00:00+00:00", "feedback": None}, None,
     staff(1, "Sam"), "Ended at once"),
    ("cancel_refused", {}, "Not now", SYSTEM, "Cancellation refused; the subscription goes on"),
    ("resumed", {"continues": "2027-02-15T12:00:00+00:00"}, None, staff(1, "Sam"), "Cancellation taken back"),
    ("something_new", {}, None, SYSTEM, "Something new"),
)  # fmt: skip


def write_down(vendor_id, events):
    for kind, data, reason, actor, *_ in events:
        with unit_of_work():
            note(lock(vendor_id), kind, actor=actor, now=clock.business(), reason=reason, **data)


def test_every_kind_of_event_is_told_in_words(client, admin):
    words = ""
    for name, events in (("oak-iron", EVENTS[:12]), ("elm-brass", EVENTS[12:])):  # a page tells of twenty
        vendor_id = factory.vendor(name.title(), name)
        write_down(vendor_id, events)
        words += text_of(admin.get(f"/admin/vendors/{vendor_id}"))
    for *_, expected in EVENTS:
        assert expected in words
    assert "Reason: Kind" in words and "Sam, staff" in words
    assert "Because this person had a trial before." in words and "Because it was not paid in time." in words


def test_a_request_for_a_change_names_tier_and_price(client, admin):
    trial = people.register()
    price = overview(trial.vendor_id).price_id
    write_down(trial.vendor_id, [("change_requested", {"price": price, "when": "next"}, None, staff(1, "Sam"))])
    words = text_of(admin.get(f"/admin/vendors/{trial.vendor_id}"))
    assert "Change to Professional at €99/month at the next billing cycle asked for" in words


def test_older_events_are_fetched_twenty_at_a_time_and_each_is_met_once(client, admin):
    vendor_id = factory.vendor("Oak & Iron", "oak-iron")
    events = [("trial_extended", {"days": i, "ends": "2027-02-01T00:00:00+00:00"}, None, SYSTEM) for i in range(2, 47)]
    write_down(vendor_id, events)
    path, told = f"/admin/vendors/{vendor_id}/history", []
    while path:
        body = admin.get(path, headers=PARTIAL)
        found = [int(n) for n in re.findall(r"extended by (\d+) days", text_of(body))]
        assert len(found) <= 20
        told += found
        more = re.search(r'hx-get="([^"]+page=[^"]+)"', body.get_data(as_text=True))
        path = more[1].replace("&amp;", "&") if more else ""
    assert told == list(range(46, 1, -1))


@pytest.mark.parametrize("number", [1, 25, 100])
def test_the_cost_does_not_grow_with_the_history(client, admin, number):
    trial = people.register()
    with unit_of_work() as session:
        held = overview(trial.vendor_id)
        session.add_all(
            SubscriptionEvent(
                vendor_id=trial.vendor_id, subscription_id=held.id, kind="tier_changed", reason=None,
                data={"before": "essential", "after": "business"}, actor_kind="system", actor_id=None,
                actor_label="system", at=clock.business() + timedelta(seconds=i),
            )
            for i in range(number)
        )  # fmt: skip
    base = f"/admin/vendors/{trial.vendor_id}"
    # One for who is at the door; vendor, subscription, add-ons, meters, history, its names and invoices.
    assert queries_of(admin, base) == 8
    # A fragment: one for who is at the door and two of its own.
    for part in ("card", "meters", "money", "history"):
        assert queries_of(admin, f"{base}/{part}", headers=PARTIAL) == 3
    # A tab: who is at the door, the vendor with the counts of all tabs, and its rows (history, team and usage: in two).
    for part in TABS:
        assert queries_of(admin, f"{base}/tabs/{part}", headers=PARTIAL) == (
            4 if part in ("history", "team", "usage") else 3
        )


def test_the_audit_log_says_who_did_what(client, admin):
    trial = people.register()
    fields = paid.tier_form(admin, trial.vendor_id)
    assert paid.apply(admin, trial.vendor_id, fields).status_code == 200
    words = text_of(admin.get(f"/admin/vendors/{trial.vendor_id}?tab=audit"))
    assert "Tier changed subscription.tier_changed Sam Staff, staff" in words
    assert "Before: professional" in words and "After: business" in words
    assert "Account opened" in words


def test_pages_of_history_and_audit_that_nobody_made_are_not_found(client, admin):
    trial = people.register()
    for part in ("history", "tabs/history", "tabs/audit", "tabs/tickets", "tabs/purchases"):
        for cursor in ("x", "W2ZhbHNlLCBbMSwgMV1d", "W2ZhbHNlLCBbbnVsbCwgbnVsbF1d"):
            answer = admin.get(f"/admin/vendors/{trial.vendor_id}/{part}?page={cursor}", headers=PARTIAL)
            assert answer.status_code == 404


def test_support_sees_everything_and_changes_nothing(client):
    trial = people.register()
    support = paid.staff_client(client, StaffKind.SUPPORT, "Sue Support")
    words = text_of(support.get(f"/admin/vendors/{trial.vendor_id}"))
    assert "Professional" in words and "Extend trial" not in words and "Edit" not in words.split()
    token = people.csrf_token(support)
    undo = support.post(f"/admin/vendors/{trial.vendor_id}/undo-change", data={"csrf_token": token})
    assert undo.status_code == 403
    assert db.session.query(SubscriptionEvent).count() == 1
