"""The pages of add-ons: what can be had, what it costs before it is paid, and what becomes of it."""

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from portal.addons.models import VendorAddon
from portal.addons.rules import AddonStatus
from portal.billing.models import Invoice
from portal.catalog.models import AddonProduct
from portal.checkout.models import Order
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import rendering
from portal.notifications.models import SentMail
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Status
from tests.addons.buying import price_of
from tests.support import people
from tests.support.people import Someone, post, text_of
from tests.support.servers import Sandbox
from tests.support.stories import own_card, pays, settle, stripe_post
from tests.web.test_vendor_change import paying
from tests.web.test_vendor_checkout import PARTIAL, member, owner
from tests.web.test_vendor_queries import statements  # noqa: F401 - a fixture

__all__ = ["paying"]
pytestmark = pytest.mark.usefixtures("unscoped")
DOMAIN = {"domain": "www.myshop.de"}


def product(code: str) -> int:
    found = db.session.scalar(db.select(AddonProduct.id).where(AddonProduct.code == code))
    assert found is not None
    return found


def way(who: Someone, code: str, kind: str = "add") -> str:
    return f"/vendor/{who.code}/addons/{kind}/{product(code)}"


def hidden(html: str) -> dict[str, str]:
    """The hidden fields of a form, as a browser would send them."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', html)
    return dict(found)


def buys_domain(client: FlaskClient, who: Someone) -> str:
    """Through the form and its confirmation; gives Stripe's address."""
    shown = post(client, way(who, "custom-domain"), DOMAIN)
    assert shown.status_code == 200
    sent = hidden(shown.get_data(as_text=True))
    left = post(client, way(who, "custom-domain"), {**sent, **DOMAIN})
    assert left.status_code == 303, text_of(left)
    return str(left.location)


def test_cards_say_what_is_sold_and_what_the_plan_brings(client: FlaskClient) -> None:
    who = people.sign_up(client, tier="professional")
    for path in (f"/vendor/{who.code}/addons", f"/vendor/{who.code}/billing"):
        words = text_of(client.get(path))
        assert "Custom domain Included in Professional" in words and "€15 per year" in words
        assert "Email package From €5 per month · 5, 10, 25 email addresses" in words
        assert "Set it up now" in words and "Add to plan" in words
        assert "None yet. What you add to your plan is listed here" in words


def test_a_domain_from_the_form_to_the_list(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client, tier="essential")
    form = client.get(way(who, "custom-domain"), headers=PARTIAL)
    assert 'name="domain"' in form.get_data(as_text=True)
    shown = post(client, way(who, "custom-domain"), DOMAIN)
    words = text_of(shown)
    assert "www.myshop.de" in words and "Due today €15.00" in words and "Pay €15.00 at Stripe" in words
    assert db.session.query(Order).count() == 0, "looking buys nothing"
    url = buys_domain(client, who)
    paid = pays(url, own_card(3))
    back = urlsplit(str(paid.headers["Location"]))
    settle(sandbox, client)
    done = client.get(f"{back.path}?{back.query}")
    assert "It is yours" in text_of(done)
    mine = text_of(client.get(f"/vendor/{who.code}/addons"))
    assert "Custom domain www.myshop.de" in mine and "€15 per year" in mine and "Next billing" in mine
    (addon,) = db.session.query(VendorAddon)
    manage = text_of(client.get(f"/vendor/{who.code}/addons/{addon.id}"))
    assert "Cancel for" in manage and ", for €15 per year" in manage and "€15.00" in manage


def test_storage_from_the_form_to_stripe(client: FlaskClient, sandbox: Sandbox) -> None:
    """One is entered already; three times 5.00 are asked for, and the size is said in gigabytes."""
    who = owner(client, tier="essential")
    form = client.get(way(who, "extra-storage"), headers=PARTIAL).get_data(as_text=True)
    assert re.search(r'<input[^>]*name="quantity"[^>]*value="1"', form)
    shown = post(client, way(who, "extra-storage"), {"quantity": "3"})
    words = text_of(shown)
    assert shown.status_code == 200 and "For 30 GB" in words and "Due today €15.00" in words
    left = post(client, way(who, "extra-storage"), {**hidden(shown.get_data(as_text=True)), "quantity": "3"})
    assert left.status_code == 303 and str(left.location).startswith(sandbox.url)


def test_more_storage_is_said_to_be_there_at_once(client: FlaskClient, sandbox: Sandbox, paying: Someone) -> None:
    """Nothing is set up for storage, so nobody is told to wait for it."""
    shown = post(client, way(paying, "extra-storage"), {"quantity": "1"})
    sent = hidden(shown.get_data(as_text=True)) | {"quantity": "1"}
    assert post(client, way(paying, "extra-storage"), sent).status_code == 303
    assert "Extra storage is yours and can be used at once." in text_of(client.get(f"/vendor/{paying.code}/addons"))
    settle(sandbox, client)
    change = f"/vendor/{paying.code}/addons/{db.session.query(VendorAddon.id).scalar()}/change"
    shown = post(client, change, {"quantity": "3"})
    assert "Then 30 GB · €15 per month" in text_of(shown)
    assert post(client, change, hidden(shown.get_data(as_text=True))).status_code == 303
    told = text_of(client.get(f"/vendor/{paying.code}/addons"))
    assert "Done. You have 30 GB now." in told and "being set up" not in told
    mail = rendering.render(db.session.scalars(db.select(SentMail).filter_by(kind="addon_changed")).one())
    assert mail.subject == "Extra storage changes to 30 GB" and "Before: 10 GB\nAfter: 30 GB\n" in mail.text
    mail = rendering.render(db.session.scalars(db.select(SentMail).filter_by(kind="addon_added")).one())
    assert "Details: 10 GB\n" in mail.text


def test_a_plan_that_has_ended_brings_nothing(client: FlaskClient) -> None:
    who = people.sign_up(client, tier="professional")
    version = subscriptions.held(who.vendor_id).version
    db.session.rollback()
    assert post(client, f"/vendor/{who.code}/cancel", {"base_version": version}).status_code == 303
    told = text_of(client.get(f"/vendor/{who.code}/addons"))
    assert "Included" not in told and "Add-ons come on top of an active plan." in told


def test_the_success_page_is_true_before_the_event(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client, tier="essential")
    paid = pays(buys_domain(client, who), own_card(3))
    back = urlsplit(str(paid.headers["Location"]))
    for _look in range(2):
        assert "It is yours" in text_of(client.get(f"{back.path}?{back.query}"))
    settle(sandbox, client)
    assert db.session.query(VendorAddon).count() == 1


@pytest.mark.parametrize(
    ("code", "sent", "says"),
    [
        ("custom-domain", {"domain": ""}, "Enter the domain"),
        ("custom-domain", {"domain": "192.168.1.1"}, ""),
        ("custom-domain", {"domain": "x" * 300 + ".com"}, ""),
        ("extra-storage", {"quantity": "0"}, "at least 1"),
        ("extra-storage", {"quantity": "-3"}, "at least 1"),
        ("extra-storage", {"quantity": "lots"}, "at least 1"),
        ("extra-storage", {"quantity": "101"}, "You can have at most 100 of it."),
        ("premium-ssl", {"domain": "www.myshop.de", "company": "", "country": "DE"}, "as it is registered"),
        ("premium-ssl", {"domain": "www.myshop.de", "company": "Ada", "country": "Germany"}, "Choose the country."),
    ],
)
def test_what_does_not_fit_comes_back_at_its_field(
    client: FlaskClient, sandbox: Sandbox, code: str, sent: dict[str, str], says: str
) -> None:
    who = owner(client, tier="essential")
    if "price" not in sent:
        sent = {**sent, "price": str(price_of(code))}
    answer = post(client, way(who, code), sent)
    assert answer.status_code == 422
    assert says in text_of(answer) and 'class="error"' in answer.get_data(as_text=True)
    assert (db.session.query(Order).count(), db.session.query(VendorAddon).count()) == (0, 0)


def test_another_amount_than_shown_is_shown_again(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client, tier="essential")
    sent = hidden(post(client, way(who, "custom-domain"), DOMAIN).get_data(as_text=True))
    answer = post(client, way(who, "custom-domain"), {**sent, **DOMAIN, "due_minor": "1"})
    assert answer.status_code == 409
    assert "Nothing was charged" in text_of(answer) and db.session.query(Order).count() == 0


def test_who_owes_is_told_to_pay_first(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client, tier="essential")
    with unit_of_work():
        subscription = lock(who.vendor_id)
        subscription.status, subscription.past_due_since = Status.PAST_DUE, clock.business()
    answer = post(client, way(who, "custom-domain"), DOMAIN)
    assert answer.status_code == 402 and "Pay it first" in text_of(answer)
    to_pay = f'<a href="/vendor/{who.code}/billing#pay">To the open invoice</a>'
    assert to_pay in answer.get_data(as_text=True)


def test_a_card_that_must_be_confirmed_leads_to_billing_which_explains_it(
    client: FlaskClient, sandbox: Sandbox, paying: Someone
) -> None:
    """Stripe's page of an invoice has no way back."""
    held = subscriptions.held(paying.vendor_id)
    attached = "payment_methods/pm_card_authenticationRequired/attach"
    card = stripe_post(sandbox, attached, customer=str(held.stripe_customer_id))["id"]
    stripe_post(sandbox, f"subscriptions/{held.stripe_subscription_id}", default_payment_method=card)
    settle(sandbox, client)
    wish = {"price": str(price_of("extra-storage")), "quantity": "1"}
    shown = post(client, way(paying, "extra-storage"), wish)
    assert shown.status_code == 200, text_of(shown)
    left = post(client, way(paying, "extra-storage"), {**wish, **hidden(shown.get_data(as_text=True))})
    assert (left.status_code, left.location) == (303, f"/vendor/{paying.code}/billing#pay")
    page = client.get(f"/vendor/{paying.code}/billing")
    said = text_of(page)
    assert "Your card must be confirmed first." in said and "Your bank wants you to confirm the payment" in said
    assert "come back here afterwards" in said and "Confirm and pay €" in said
    hosted = db.session.scalars(db.select(Invoice.hosted_url).where(Invoice.status == "open")).one()
    assert hosted is not None and f'href="{hosted}"' in page.get_data(as_text=True).replace("&amp;", "&")


def test_included_is_set_up_without_payment_once_there_is_a_way_to_pay(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client, tier="professional")
    refused = post(client, way(who, "custom-domain", "included"), {**DOMAIN, "how": "register"})
    assert refused.status_code == 402 and "as soon as there is a way to pay" in text_of(refused)
    with unit_of_work():
        subscription = lock(who.vendor_id)
        subscription.status, subscription.provider = Status.ACTIVE, "transfer"
    for _click in range(2):
        assert post(client, way(who, "custom-domain", "included"), DOMAIN).status_code == 303
    jobs.run_all()
    assert db.session.query(VendorAddon).count() == 1
    words = text_of(client.get(f"/vendor/{who.code}/addons"))
    assert "Custom domain www.myshop.de" in words and "Included" in words
    shelf = f"/vendor/{who.code}/addons/available"
    assert "Set it up now" not in text_of(client.get(shelf, headers=PARTIAL))
    (addon,) = db.session.scalars(db.select(VendorAddon.id)).all()
    assert post(client, f"/vendor/{who.code}/addons/{addon}/cancel", {}).status_code == 303
    assert "Set it up now" in text_of(client.get(shelf, headers=PARTIAL)), "it is still included"
    assert client.get(shelf).status_code == 303
    assert client.get(way(who, "premium-ssl", "included")).status_code == 404


def test_anothers_is_not_there_and_members_only_look(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client, tier="essential")
    other = people.register("bob@example.com", business="Bobs Books")
    with unit_of_work() as session:
        session.add(made_addon(other.vendor_id))
    theirs = db.session.query(VendorAddon).one().id
    for path in ("", "/change"):
        assert client.get(f"/vendor/{who.code}/addons/{theirs}{path}").status_code == 404
    for path in ("/cancel", "/keep", "/change"):
        assert post(client, f"/vendor/{who.code}/addons/{theirs}{path}", {}).status_code == 404
    helper = member(client, who.vendor_id)
    page = text_of(helper.get(f"/vendor/{who.code}/addons"))
    assert "The owner or a manager" in page and "Add to plan" not in page
    assert helper.get(way(who, "custom-domain")).status_code == 403


def made_addon(vendor_id: int, number: int = 0) -> VendorAddon:
    now = clock.business()
    return VendorAddon(
        vendor_id=vendor_id, addon_id=product("custom-domain"), variant="", price_id=price_of("custom-domain"),
        origin="bought", provider="transfer", status=AddonStatus.ACTIVE, quantity=1,
        config={"name": f"shop{number}.de", "shown": f"shop{number}.de"}, period_start=now,
        period_end=now + timedelta(days=365), version=1, created_at=now,
    )  # fmt: skip


@pytest.mark.parametrize("number", [1, 25, 100])
def test_the_list_takes_the_same_statements_whatever_its_length(
    client: FlaskClient,
    statements: Callable[..., int],  # noqa: F811
    number: int,
) -> None:
    who = people.sign_up(client, tier="essential")
    with unit_of_work() as session:
        session.add_all([made_addon(who.vendor_id, i) for i in range(number)])
    # Who is at the door; the plan; what it has; what it can add.
    assert statements(f"/vendor/{who.code}/addons") == 4


def test_cancelled_and_kept_on_the_page(client: FlaskClient, sandbox: Sandbox) -> None:
    who = owner(client, tier="essential")
    with unit_of_work() as session:
        session.add(made_addon(who.vendor_id))
    addon = db.session.query(VendorAddon).one().id
    here = f"/vendor/{who.code}/addons/{addon}"
    assert post(client, f"{here}/cancel", {}).status_code == 303
    assert "Cancelled" in text_of(client.get(f"/vendor/{who.code}/addons")) and "Keep it as it is" in text_of(
        client.get(here)
    )
    assert post(client, f"{here}/keep", {}).status_code == 303
    assert "Next billing" in text_of(client.get(f"/vendor/{who.code}/addons"))
