"""Changing a vendor's tier from the back office (S4 §3.1, SUB-4, SUB-5), on the real sandbox."""

import json
import re
from types import SimpleNamespace

import pytest
import requests

from portal.billing import queries as billing
from portal.gateways.stripe import CardRefused
from portal.identity.rules import StaffKind
from portal.kit import jobs, tenancy
from portal.kit.db import db
from portal.kit.money import Money
from portal.notifications.models import SentMail
from portal.subscriptions import change_flows
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.models import SubscriptionEvent, TierChange
from portal.subscriptions.rules import ChangeState
from tests.reporting import paid
from tests.reporting.paid import PARTIAL
from tests.support import people, stories
from tests.support.people import text_of
from tests.support.stories import uses_its_domain

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def vendor(client, sandbox, travel, unscoped, scene):
    """Professional, paid, half of the period left."""
    return scene("half a paid period", lambda: paid.pays_for(sandbox, client, travel))


@pytest.fixture
def admin(client, vendor):
    return paid.staff_client(client)


def modal(admin, vendor, **query):
    return admin.get(f"/admin/vendors/{vendor.id}/tier-change", query_string=query, headers=PARTIAL)


def choose(admin, vendor, tier, when, **more):
    """The fields of the modal with another choice made, and the figures that are shown for it."""
    opened = modal(admin, vendor)
    chosen = {**paid.sent(opened), "price": paid.price_of(opened, tier), "when": when, **more}
    figures = re.findall(r'name="(proration_at|due_minor)" value="(\d+)"', preview(admin, vendor, chosen).text)
    return {**chosen, **dict(figures)}


def preview(admin, vendor, fields):
    return admin.get(f"/admin/vendors/{vendor.id}/tier-change/preview", query_string=fields, headers=PARTIAL)


def misbehave(sandbox, **where):
    """Stripe answers 503 three times: as often as the gateway tries."""
    fault = {"kind": "status", "status": 503, "times": 3, **where}
    requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).raise_for_status()


def mails(kind):
    jobs.run_all()
    return db.session.query(SentMail).filter_by(kind=kind).count()


def test_the_modal_is_as_drawn(admin, vendor):
    words = text_of(modal(admin, vendor))
    assert "Current: Professional (€99/month)" in words
    assert "Essential Downgrade €49/month" in words
    assert "Business Upgrade €199/month" in words
    assert "Enterprise Contact required Custom" in words
    # Paid on 16 February for a month.
    assert "At next billing cycle (16 March 2027)" in words
    assert paid.sent(modal(admin, vendor))["when"] == "next"
    assert paid.sent(modal(admin, vendor))["notify"] == "y"


def test_the_same_stands_on_a_page_without_javascript_with_the_preview_behind_a_button(admin, vendor):
    fields = choose(admin, vendor, "Business", "now")
    page = admin.get(f"/admin/vendors/{vendor.id}/tier-change", query_string={**fields, "cycle": "monthly"})
    words = text_of(page)
    assert "<!doctype html>" in page.get_data(as_text=True)
    assert "Show what it costs" in words and "Due today €50.00" in words
    answer = admin.post(f"/admin/vendors/{vendor.id}/tier-change", data=fields)
    assert (answer.status_code, answer.location) == (303, f"/admin/vendors/{vendor.id}")
    assert "is on Business now." in text_of(admin.get(answer.location))


def test_what_the_preview_says_is_what_is_charged(admin, vendor):
    # Half of the 28 days is left. Credit: 9900 / 2 = 4950. Charge: 19900 / 2 = 9950. Due: 9950 - 4950 = 5000.
    fields = choose(admin, vendor, "Business", "now")
    words = text_of(preview(admin, vendor, fields))
    assert "-€49.50" in words and "€99.50" in words and "Due today €50.00" in words
    assert "Then, per month €199.00" in words
    assert "Orders: 500 → 2,000" in words and "API access" in words
    answer = paid.apply(admin, vendor.id, fields)
    assert answer.status_code == 200
    events = json.loads(answer.headers["HX-Trigger"])
    assert {"modal:close", "subscription-changed", "history-changed"} <= events.keys()
    assert events["toast"]["text"] == "Ada's Shop is on Business now."
    assert paid.overview(vendor).tier_code == "business"
    newest = billing.latest(vendor.id)[0]
    assert (newest.total, newest.status) == (Money(5000, "EUR"), "paid")
    assert mails("tier_changed") == 1


def test_a_change_whose_figures_nobody_saw_is_not_charged_but_shown(admin, vendor):
    fields = {
        k: v for k, v in choose(admin, vendor, "Business", "now").items() if k not in ("proration_at", "due_minor")
    }
    answer = paid.apply(admin, vendor.id, fields)
    assert answer.status_code == 409
    assert "Look at what it costs first" in text_of(answer) and "Due today €50.00" in text_of(answer)
    assert paid.overview(vendor).tier_code == "professional"


def test_a_balance_that_changed_since_is_told_and_asked_again(admin, vendor, sandbox):
    fields = choose(admin, vendor, "Business", "now")
    customer = subscriptions.held(vendor.id).stripe_customer_id
    stories.stripe_post(sandbox, f"customers/{customer}", balance="-1200")
    answer = paid.apply(admin, vendor.id, fields)
    assert answer.status_code == 409
    # 9950 - 4950 = 5000, less the credit of 1200: 3800.
    assert "The amount has changed since it was shown." in text_of(answer)
    assert "Due today €38.00" in text_of(answer) and "Paid from the credit balance -€12.00" in text_of(answer)
    assert paid.overview(vendor).tier_code == "professional"


def test_a_vendor_that_is_not_to_be_told_gets_no_mail(admin, vendor):
    fields = choose(admin, vendor, "Business", "now")
    del fields["notify"]
    assert paid.apply(admin, vendor.id, fields).status_code == 200
    assert paid.overview(vendor).tier_code == "business"
    assert mails("tier_changed") == 0


def test_an_immediate_downgrade_credits_the_difference_and_names_what_is_lost(admin, vendor):
    # Credit 4950, charge 4900 / 2 = 2450: 2500 are kept as credit and nothing is due.
    fields = choose(admin, vendor, "Essential", "now")
    words = text_of(preview(admin, vendor, fields))
    assert "Kept as credit for the next invoices €25.00" in words and "Due today €0.00" in words
    assert "Orders: 500 → 100" in words and "Custom domain is no longer included" in words
    assert "Analytics: Advanced → Basic" in words
    assert paid.apply(admin, vendor.id, fields).status_code == 200
    assert paid.overview(vendor).tier_code == "essential"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"addon-custom-domain": "keep"}, {"keep": True, "cycle": "yearly", "minor": 1500, "currency": "EUR"}),
        ({"addon-custom-domain": "end"}, {"keep": False}),
        ({}, {"keep": False}),
        ({"addon-custom-domain": "perhaps"}, {"keep": False}),
    ],
    ids=["kept for its list price", "ended", "nothing said", "nonsense"],
)
def test_staff_who_make_a_plan_smaller_say_what_becomes_of_its_add_ons(admin, vendor, sent, kept):
    """Kept only where that was chosen in so many words: it costs 15.00 a year."""
    uses_its_domain(vendor.id)
    fields = choose(admin, vendor, "Essential", "next")
    shown = preview(admin, vendor, fields)
    assert "Custom domain is not included any more" in text_of(shown) and "€15 per year" in text_of(shown)
    assert paid.sent(shown)["addon-custom-domain"] == "end", "it ends unless staff say otherwise"
    assert 'value="keep"' in preview(admin, vendor, {**fields, **sent}).text
    assert paid.apply(admin, vendor.id, {**fields, **sent}).status_code == 200
    db.session.rollback()
    choices = db.session.query(TierChange).one().choices
    assert choices is not None
    (decided,) = choices["addons"]
    assert decided["code"] == "custom-domain"
    assert {key: decided.get(key) for key in kept} == kept
    assert ("price_id" in decided) is kept["keep"]


def test_what_was_never_set_up_is_not_asked_about(admin, vendor):
    fields = choose(admin, vendor, "Essential", "next")
    shown = preview(admin, vendor, fields)
    assert "Custom domain is no longer included" in text_of(shown) and "addon-custom-domain" not in shown.text


def test_where_nothing_is_lost_nothing_is_asked(admin, vendor):
    fields = choose(admin, vendor, "Business", "now")
    assert "addon-" not in preview(admin, vendor, fields).text
    assert paid.apply(admin, vendor.id, {**fields, "addon-custom-domain": "keep"}).status_code == 200
    assert db.session.query(TierChange).one().choices is None


def test_a_change_at_the_next_cycle_is_shown_on_the_card_and_can_be_undone(admin, vendor):
    fields = choose(admin, vendor, "Essential", "next")
    assert "Essential from 16 March 2027 €49.00" in text_of(preview(admin, vendor, fields))
    answer = paid.apply(admin, vendor.id, fields)
    assert "changes to Essential on 16 March 2027." in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    card = admin.get(f"/admin/vendors/{vendor.id}/card", headers=PARTIAL)
    assert "Essential from 16 March 2027" in text_of(card) and "planned by Sam Staff" in text_of(card)
    undone = admin.post(f"/admin/vendors/{vendor.id}/undo-change", data=paid.sent(card), headers=PARTIAL)
    assert undone.status_code == 200
    now = paid.overview(vendor)
    assert (now.pending, now.tier_code) == (None, "professional")
    again = admin.post(f"/admin/vendors/{vendor.id}/undo-change", data=paid.sent(card), headers=PARTIAL)
    assert again.status_code == 409


def test_of_two_admins_the_second_is_told_and_nothing_changes(client, admin, vendor):
    second = paid.staff_client(client, name="Tess Second")
    theirs = choose(second, vendor, "Essential", "now")
    assert paid.apply(admin, vendor.id, choose(admin, vendor, "Business", "now")).status_code == 200
    before = paid.overview(vendor)
    answer = paid.apply(second, vendor.id, theirs)
    assert answer.status_code == 409
    assert "This was changed meanwhile. Look again, then decide." in text_of(answer)
    assert "Current: Business (€199/month)" in text_of(answer)
    assert paid.overview(vendor) == before
    assert paid.sent(answer)["base_version"] == str(before.version)
    assert len(billing.latest(vendor.id, 10)) == 2
    # Having looked again, the second may decide.
    assert paid.apply(second, vendor.id, {**theirs, **paid.sent(answer)}).status_code == 200
    assert paid.overview(vendor).tier_code == "essential"


def test_a_second_click_charges_once(admin, vendor):
    fields = choose(admin, vendor, "Business", "now")
    assert [paid.apply(admin, vendor.id, fields).status_code for _ in range(2)] == [200, 422]
    assert len(billing.latest(vendor.id, 10)) == 2


def test_a_payment_that_the_card_does_not_give_leaves_the_old_tier(admin, vendor, sandbox):
    sandbox.post("/_sandbox/faults", kind="decline_next")
    answer = paid.apply(admin, vendor.id, choose(admin, vendor, "Business", "now"))
    assert paid.overview(vendor).tier_code == "professional"
    pending = paid.overview(vendor).pending
    assert pending is not None and pending.state == ChangeState.AWAITING_PAYMENT
    assert "must confirm the payment first" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    assert "Business waits for the vendor" in text_of(admin.get(f"/admin/vendors/{vendor.id}"))
    # Until that is settled no other change is offered.
    assert "Another change of the tier is still under way." in text_of(modal(admin, vendor))


def test_stripes_refusal_comes_back_in_the_form(admin, vendor, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise CardRefused(detail="Your card has insufficient funds.")

    fields = choose(admin, vendor, "Business", "now")
    monkeypatch.setattr(change_flows, "change_tier", refuse)
    answer = paid.apply(admin, vendor.id, fields)
    assert answer.status_code == 402
    assert "The card was refused: Your card has insufficient funds. Nothing was changed." in text_of(answer)
    assert paid.sent(answer)["price"] == fields["price"]


def test_an_answer_that_was_lost_after_the_work_was_done_is_found_out_at_once(client, admin, vendor, sandbox):
    fields = choose(admin, vendor, "Business", "now")
    misbehave(sandbox, path="POST /v1/subscriptions/", when="after")
    assert paid.apply(admin, vendor.id, fields).status_code == 200
    stories.settle(sandbox, client)
    assert paid.overview(vendor).tier_code == "business"
    assert [row.total for row in billing.latest(vendor.id, 10)] == [Money(5000, "EUR"), Money(9900, "EUR")]


def test_when_stripe_is_silent_the_change_is_kept_and_finished_once(client, admin, vendor, sandbox):
    fields = choose(admin, vendor, "Business", "now")
    misbehave(sandbox, path="POST /v1/subscriptions/", when="before")
    answer = paid.apply(admin, vendor.id, fields)
    assert answer.status_code == 202
    assert "finishes by itself" in json.loads(answer.headers["HX-Trigger"])["toast"]["text"]
    card = text_of(admin.get(f"/admin/vendors/{vendor.id}/card", headers=PARTIAL))
    assert "The change to Business is under way" in card
    # Nothing reached Stripe. It answers again, and the job does it, half a minute later.
    requests.delete(f"{sandbox.url}/_sandbox/faults", timeout=20).raise_for_status()
    with tenancy.unscoped("what the job does"):
        assert change_flows.carry_on(db.session.query(TierChange).one().id) == ChangeState.APPLIED
    stories.settle(sandbox, client)
    assert paid.overview(vendor).tier_code == "business"
    assert [row.total for row in billing.latest(vendor.id, 10)] == [Money(5000, "EUR"), Money(9900, "EUR")]


def test_the_preview_says_so_when_stripe_cannot_tell(admin, vendor, sandbox):
    fields = choose(admin, vendor, "Business", "now")
    misbehave(sandbox, path="create_preview")
    answer = preview(admin, vendor, fields)
    words = text_of(answer)
    assert answer.status_code == 200
    assert "Stripe cannot tell the amount just now" in words and "Try again" in words and "€0.00" not in words
    assert "API access" in words


def test_the_cycle_can_be_switched_and_the_tier_stays_chosen(admin, vendor):
    yearly = modal(admin, vendor, cycle="yearly", tier="business")
    words = text_of(yearly)
    assert "Professional Same tier, other cycle €990/year" in words and "Business Upgrade €1,990/year" in words
    assert paid.sent(yearly)["price"] == paid.price_of(yearly, "Business")
    fields = {**paid.sent(yearly), "price": paid.price_of(yearly, "Professional"), "when": "next"}
    answer = admin.post(f"/admin/vendors/{vendor.id}/tier-change?cycle=yearly", data=fields, headers=PARTIAL)
    assert answer.status_code == 200
    pending = paid.overview(vendor).pending
    assert pending is not None and (pending.amount, pending.cycle) == (Money(99000, "EUR"), "yearly")


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": ""},
        {"price": "999999"},
        {"price": "9" * 400},
        {"price": "contact-enterprise"},
        {"price": "<script>alert(1)</script>"},
        {"when": "yesterday"},
        {"when": ""},
        {"base_version": ""},
        {"base_version": "-1"},
        {"base_version": "9" * 400},
        {"base_version": "x"},
    ],
)
def test_wrong_input_comes_back_and_changes_nothing(client, admin, wrong):
    trial = people.register()
    fields = paid.tier_form(admin, trial.vendor_id)
    events = db.session.query(SubscriptionEvent).count()
    answer = paid.apply(admin, trial.vendor_id, {**fields, **wrong})
    assert answer.status_code == 422
    assert "alert(1)" not in answer.get_data(as_text=True)
    assert db.session.query(SubscriptionEvent).count() == events
    assert preview(admin, paid_like(trial), {**fields, **wrong}).status_code == 200


def paid_like(person):
    """A person's vendor under the name that the helpers above use."""
    return SimpleNamespace(id=person.vendor_id)


def test_in_a_trial_the_tier_changes_at_once_and_costs_nothing(client, admin):
    trial = people.register()
    opened = modal(admin, paid_like(trial))
    words = text_of(opened)
    assert "costs nothing: no payment method was added yet." in words
    assert "At next billing cycle" not in words and "Notify vendor" not in words
    fields = {**paid.sent(opened), "price": paid.price_of(opened, "Business")}
    assert paid.apply(admin, trial.vendor_id, {**fields, "when": "next"}).status_code == 422
    assert paid.apply(admin, trial.vendor_id, fields).status_code == 200
    card = text_of(admin.get(f"/admin/vendors/{trial.vendor_id}/card", headers=PARTIAL))
    assert "Tier Business" in card and "Price €199/month" in card


def test_a_vendor_without_a_tier_has_none_to_change(client, admin):
    nobody = people.register(tier=None)
    assert "has not chosen a tier yet" in text_of(modal(admin, paid_like(nobody)))
    fields = {"price": "1", "when": "now", "base_version": "1", "csrf_token": people.csrf_token(admin)}
    answer = paid.apply(admin, nobody.vendor_id, fields)
    assert answer.status_code == 409 and "has not chosen a tier yet" in text_of(answer)


@pytest.mark.parametrize(
    ("kind", "status"), [(StaffKind.ADMIN, 200), (StaffKind.FINANCE, 200), (StaffKind.SUPPORT, 403)]
)
def test_admins_and_finance_may_change_support_may_look(client, kind, status):
    trial = people.register()
    admin = paid.staff_client(client, kind)
    fields = paid.tier_form(paid.staff_client(client, name="Olga Other"), trial.vendor_id)
    fields["csrf_token"] = people.csrf_token(admin)
    assert modal(admin, paid_like(trial)).status_code == status
    assert preview(admin, paid_like(trial), fields).status_code == status
    assert paid.apply(admin, trial.vendor_id, fields).status_code == status
    card = text_of(admin.get(f"/admin/vendors/{trial.vendor_id}"))
    assert ("Edit" in card.split()) == (status == 200)


def test_vendors_own_people_and_strangers_find_nothing(client):
    trial = people.sign_up(client)
    path = f"/admin/vendors/{trial.vendor_id}/tier-change"
    assert client.get(path).status_code == 404
    assert people.post(client, path, {"price": "1"}).status_code == 404
    stranger = client.application.test_client()
    assert stranger.get(path).status_code == 303 and "/sign-in" in stranger.get(path).location


@pytest.mark.parametrize("vendor_id", [0, 999_999, 2**63, 10**40])
def test_a_vendor_that_is_not_there(admin, vendor_id):
    for path in ("tier-change", "tier-change/preview", "trial", "card", "meters", "money", "history", "audit"):
        assert admin.get(f"/admin/vendors/{vendor_id}/{path}").status_code in (303, 404)
        if path != "tier-change/preview":
            assert admin.get(f"/admin/vendors/{vendor_id}/{path}", headers=PARTIAL).status_code == 404
    token = people.csrf_token(admin)
    for path in ("tier-change", "trial", "undo-change"):
        assert admin.post(f"/admin/vendors/{vendor_id}/{path}", data={"csrf_token": token}).status_code == 404
