"""Staff and add-ons: words and prices of products, giving one, taking one away."""

import pytest
from flask.testing import FlaskClient

from portal.addons import queries
from portal.addons.models import VendorAddon
from portal.addons.rules import AddonStatus
from portal.audit.models import AuditEntry
from portal.catalog import addons
from portal.catalog import queries as catalog
from portal.catalog.load_preset import load_preset
from portal.catalog.models import AddonPrice, AddonProduct
from portal.identity.rules import StaffKind
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.subscriptions.models import SubscriptionEvent
from tests.addons.buying import price_of
from tests.reporting import paid
from tests.reporting.paid import PARTIAL
from tests.support import people, stories
from tests.support.people import Someone, text_of
from tests.support.servers import Sandbox

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def vendor(client: FlaskClient) -> Someone:
    return people.register(tier="essential")


@pytest.fixture
def finance(client: FlaskClient, vendor: Someone) -> FlaskClient:
    return paid.staff_client(client, StaffKind.FINANCE)


def sends(staff: FlaskClient, path: str, **data: str):
    return staff.post(path, data={"csrf_token": people.csrf_token(staff), **data}, headers=PARTIAL)


def product(code: str = "custom-domain") -> AddonProduct:
    db.session.rollback()
    return db.session.query(AddonProduct).filter_by(code=code).populate_existing().one()


def test_the_list_names_products_with_their_prices(finance: FlaskClient) -> None:
    words = text_of(finance.get("/admin/addons"))
    assert "Custom domain custom-domain €15/year" in words
    assert "Email package" in words and "48 hours" in words


def test_words_and_promises_are_changed_and_audited(finance: FlaskClient, sandbox: Sandbox) -> None:
    stories.push_catalog()
    path = f"/admin/addons/{product().id}"
    good = {"name": "Own domain", "pitch": "Yours.", "promised_hours": "24", "max_quantity": "3"}
    assert sends(finance, path, **good).status_code == 200
    found = product()
    assert (found.name, found.promised_hours, found.max_quantity) == ("Own domain", 24, 3)
    assert db.session.query(AuditEntry).filter_by(action="catalog.addon_changed").one().data["promised_hours"] == [
        48,
        24,
    ]
    for wrong in ({"name": ""}, {"promised_hours": "-1"}, {"max_quantity": "0"}, {"pitch": "x" * 501}):
        assert sends(finance, path, **{**good, **wrong}).status_code == 422
    assert product().promised_hours == 24


def test_a_new_price_is_a_new_row_and_known_to_stripe(finance: FlaskClient, sandbox: Sandbox) -> None:
    stories.push_catalog()
    old = price_of("custom-domain")
    assert sends(finance, f"/admin/addons/prices/{old}", amount="18.00").status_code == 200
    new = db.session.get_one(AddonPrice, price_of("custom-domain"))
    assert (new.amount_minor, new.id != old, new.stripe_price_id is not None) == (1800, True, True)
    assert db.session.get_one(AddonPrice, old).valid_until is not None
    for wrong in ("", "abc", "1.234,56", "1.999"):
        assert sends(finance, f"/admin/addons/prices/{new.id}", amount=wrong).status_code == 422
    assert sends(finance, f"/admin/addons/prices/{old}", amount="1").status_code == 404, "closed prices are not changed"


def test_retired_is_not_sold_any_more(finance: FlaskClient, sandbox: Sandbox, vendor: Someone) -> None:
    stories.push_catalog()
    assert sends(finance, f"/admin/addons/{product().id}/retire").status_code == 200
    assert product().retired_at is not None
    tier = queries.shelf(None, "EUR")
    assert "custom-domain" not in {card.code for card in tier}


NEW = {
    "name": "Photo shooting", "code": "photo-shooting", "pitch": "Your products in good light.", "kind": "manual",
    "metric": "", "grants": "", "amount": "199,00", "currency": "EUR", "cycle": "yearly", "promised_hours": "240",
    "max_quantity": "2",
}  # fmt: skip


def test_a_new_one_is_sold_with_every_tier_until_staff_say_otherwise(
    finance: FlaskClient, sandbox: Sandbox, vendor: Someone
) -> None:
    """What it is not sold with any more stands on the card of another tier; what a tier brings is said there."""
    stories.push_catalog()
    for wrong in ({"code": "Photo"}, {"code": "custom-domain"}, {"amount": "0"}, {"kind": "storage", "grants": "0"}):
        assert sends(finance, "/admin/addons/new", **{**NEW, **wrong}).status_code == 422
    assert sends(finance, "/admin/addons/new", **NEW).status_code == 200
    made = product("photo-shooting")
    assert db.session.get_one(AddonPrice, price_of("photo-shooting")).stripe_price_id is not None, "Stripe knows it"
    essential, professional = (catalog.tier_by_code(code) for code in ("essential", "professional"))
    assert essential and professional
    sold = {card.code: card for card in queries.shelf(essential.id, "EUR")}
    assert sold["photo-shooting"].is_sold
    assert "Tiers that sell Photo shooting" in text_of(finance.get(f"/admin/addons/{made.id}/tiers"))
    tiers = f"/admin/addons/{made.id}/tiers"
    assert sends(finance, tiers, **{f"tier-{professional.id}": "many"}).status_code == 422
    assert sends(finance, tiers, **{f"tier-{professional.id}": "1"}).status_code == 200
    cards = [{c.code: c for c in queries.shelf(tier.id, "EUR")}["photo-shooting"] for tier in (essential, professional)]
    assert [(card.is_sold, dict(card.included)) for card in cards] == [(False, {}), (True, {"": 1})]


def test_sizes_order_and_coming_back(finance: FlaskClient, sandbox: Sandbox, vendor: Someone) -> None:
    stories.push_catalog()
    mail, path = product("email-package"), f"/admin/addons/{product('email-package').id}"
    fifty = {"grants": "50", "amount": "35", "currency": "EUR", "cycle": "monthly"}
    assert sends(finance, f"{path}/prices/new", **{**fifty, "grants": "0"}).status_code == 422
    assert sends(finance, f"{path}/prices/new", **fifty).status_code == 200
    assert product("email-package").grants["limits"]["50"] == {"mailboxes": 50}
    tier = catalog.tier_by_code("business")
    assert tier is not None
    card = next(card for card in queries.shelf(tier.id, "EUR") if card.id == mail.id)
    assert [option.variant for option in card.options] == ["5", "10", "25", "50"]
    assert "50 addresses: €35/month" in text_of(finance.get("/admin/addons"))
    closed = price_of("email-package", "50")
    assert sends(finance, f"/admin/addons/prices/{closed}/close").status_code == 200
    assert "50 addresses" not in text_of(finance.get("/admin/addons"))
    assert sends(finance, f"{path}/move", to="up").status_code == 200
    assert [row.code for row in addons.products()][:2] == ["email-package", "custom-domain"]
    assert sends(finance, f"{path}/retire").status_code == 200
    assert sends(finance, f"{path}/prices/new", **fifty).status_code == 409
    assert sends(finance, f"{path}/sell-again").status_code == 200
    assert product("email-package").retired_at is None
    report = load_preset("marketplace", actor=SYSTEM, now=clock.business())
    assert report.changes == (), "what staff shaped stays"


def test_given_for_free_with_a_reason_and_taken_away(finance: FlaskClient, vendor: Someone) -> None:
    path = f"/admin/vendors/{vendor.vendor_id}/add-ons/give"
    given = {"price": str(price_of("custom-domain")), "quantity": "1", "domain": "www.ada.de", "reason": "Sorry",
             "notify": "y"}  # fmt: skip
    assert sends(finance, path, **{**given, "reason": ""}).status_code == 422
    assert sends(finance, path, **{**given, "domain": ""}).status_code == 422
    assert db.session.query(VendorAddon).count() == 0
    assert sends(finance, path, **given).status_code == 200
    assert sends(finance, path, **given).status_code == 422, "the same name twice"
    jobs.run_all()
    (addon,) = queries.of_vendor(vendor.vendor_id, clock.business())
    assert (addon.origin, addon.total, addon.shown) == ("given", None, "www.ada.de")
    event = db.session.query(SubscriptionEvent).filter_by(kind="addon_added").one()
    assert (event.reason, event.data["origin"]) == ("Sorry", "given")
    away = f"/admin/vendors/{vendor.vendor_id}/add-ons/{addon.id}/remove"
    assert sends(finance, away, when="now", reason="").status_code == 422
    assert sends(finance, away, when="now", reason="Over").status_code == 200
    assert queries.one(vendor.vendor_id, addon.id).status == AddonStatus.CANCELLED
    assert sends(finance, away, when="now", reason="Over").status_code == 409
    assert {"addon.added", "addon.removal", "addon.ended"} <= {e.action for e in db.session.query(AuditEntry)}


def test_more_than_may_be_had_is_said_with_what_is_left(finance: FlaskClient, vendor: Someone) -> None:
    """100 are the most: 98 are given, so that 2 are left, and then none. Tried once with the most alone."""
    path = f"/admin/vendors/{vendor.vendor_id}/add-ons/give"

    def gives(number: int) -> str:
        given = {"price": str(price_of("extra-storage")), "quantity": str(number), "reason": "Sorry"}
        return text_of(sends(finance, path, **given))

    assert "You can have at most 100 of it." in gives(101)
    gives(98)
    assert "You can have at most 2 more of it." in gives(3)
    gives(2)
    assert "You can have at most 100 of it, and you have as many already." in gives(1)
    assert sum(addon.quantity for addon in queries.of_vendor(vendor.vendor_id, clock.business())) == 100


def test_the_form_asks_for_what_the_chosen_addon_needs(finance: FlaskClient, vendor: Someone) -> None:
    """With JavaScript only its fields are there; without it all of them, since nobody knows yet what is chosen."""
    path = f"/admin/vendors/{vendor.vendor_id}/add-ons/give"
    asked = {code: finance.get(f"{path}?price={price_of(code)}", headers=PARTIAL).get_data(as_text=True)
             for code in ("custom-domain", "premium-ssl", "extra-storage")}  # fmt: skip
    names = ("domain", "company", "quantity")
    found = {code: [name for name in names if f'name="{name}"' in page] for code, page in asked.items()}
    assert found == {"custom-domain": ["domain"], "premium-ssl": ["domain", "company"], "extra-storage": ["quantity"]}
    whole = finance.get(path).get_data(as_text=True)
    assert all(f'name="{name}"' in whole for name in names)


def test_the_vendors_tab_leads_there(finance: FlaskClient, vendor: Someone) -> None:
    words = text_of(finance.get(f"/admin/vendors/{vendor.vendor_id}?tab=add-ons"))
    assert "Add an add-on" in words
    assert finance.get(f"/admin/vendors/{vendor.vendor_id}/add-ons/give").status_code == 200
