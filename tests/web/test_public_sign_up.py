"""Signing up in a browser: the chosen tier in view, faults at their fields, nothing half done (ACC-2, SUB-1)."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from portal.catalog.models import SubscriptionTier
from portal.identity.models import User, Vendor
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service as settings
from tests.support import people
from tests.support.people import PASSWORD, post, text_of

ENTERED = {
    "business_name": "Kilim House",
    "name": "Alice Owner",
    "email": "alice@example.com",
    "password": PASSWORD,
    "tier": "professional",
    "cycle": "yearly",
}


def send(client: FlaskClient, **changed: str) -> TestResponse:
    """The form as it is sent, with some fields changed."""
    return post(client, "/sign-up", {**ENTERED, **changed}, page="/sign-up?tier=professional")


def users() -> int:
    """How many accounts there are."""
    return int(db.session.scalar(select(func.count()).select_from(User)) or 0)


def set_verification(value: str) -> None:
    """The operator's choice."""
    with unit_of_work():
        settings.change("email_verification", value, actor=SYSTEM, now=clock.business())


def test_the_chosen_tier_is_in_view(client: FlaskClient) -> None:
    words = text_of(client.get("/sign-up?tier=professional&cycle=yearly"))
    # Professional costs 99 a month; a year is ten months: 990.
    assert "Professional" in words and "14 days free" in words and "€990 per year" in words
    assert "€99 per month" in text_of(client.get("/sign-up?tier=professional"))


def test_without_a_tier_the_choice_comes_first(client: FlaskClient) -> None:
    assert client.get("/sign-up").location == "/pricing"


@pytest.mark.parametrize("code", ["platinum", "enterprise", "x" * 300, "es%00sential", "%ff"])
def test_a_tier_that_cannot_be_chosen_is_not_found(client: FlaskClient, code: str) -> None:
    assert client.get(f"/sign-up?tier={code}").status_code == 404


def test_a_hidden_tier_is_not_found(client: FlaskClient) -> None:
    with unit_of_work() as session:
        session.scalars(select(SubscriptionTier).where(SubscriptionTier.code == "business")).one().is_public = False
    assert client.get("/sign-up?tier=business").status_code == 404


def test_signing_up_signs_in_and_asks_to_confirm_the_address(client: FlaskClient) -> None:
    assert send(client).location == "/verify"
    words = text_of(client.get("/verify"))
    assert "We sent a link to alice@example.com." in words
    vendor = db.session.scalars(select(Vendor)).one()
    assert (vendor.code, vendor.name) == ("kilim-house", "Kilim House")


@pytest.mark.parametrize("value", ["optional", "off"])
def test_where_no_confirmation_is_asked_for_the_dashboard_comes_next(client: FlaskClient, value: str) -> None:
    set_verification(value)
    assert send(client).location == "/dashboard"


def test_a_second_trial_is_refused_and_the_person_is_told_why(client: FlaskClient) -> None:
    people.register("alice@example.com", business="First")
    answer = send(client, email="alice+again@example.com", business_name="Second")
    assert answer.location == "/vendor/second/plans?why=trial_used"
    with client.session_transaction() as browser:
        assert any("free trial before" in message for _, message in browser["_flashes"])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("business_name", "", "Enter the name of your business."),
        ("business_name", "x" * 10_000, "Use at most 120 characters."),
        ("business_name", "Kilim\x00", "characters that cannot be used"),
        ("name", " ", "Enter your name."),
        ("email", "nobody", "Enter an email address such as name@example.com."),
        ("email", "ä@example.com", "Enter an email address such as name@example.com."),
        ("email", "a@example.com\r\nBcc: x@example.com", "Enter an email address"),
        ("email", "x" * 10_000, "Use at most 254 characters."),
        ("password", "short", "Use at least 10 characters."),
        ("password", "qwertyuiop12", "easy to guess"),
        ("password", "Kilim House 1", "easy to guess"),
        ("password", "x" * 10_000, "Use at most 200 characters."),
        ("tier", "platinum", "This plan is not offered."),
        ("tier", "enterprise", "This plan is not offered."),
        ("tier", "", "Choose a plan"),
    ],
)
def test_what_does_not_fit_is_said_and_the_rest_stays(
    client: FlaskClient, field: str, value: str, message: str
) -> None:
    answer = send(client, **{field: value})
    assert answer.status_code == 422
    assert message in text_of(answer)
    page = answer.get_data(as_text=True)
    assert PASSWORD not in page and (field == "password" or 'value="kilim' in page.lower() or field == "business_name")
    if field not in ("tier",):
        assert f'id="{field}-error"' in page and 'aria-invalid="true"' in page
    assert users() == 0
    assert client.get("/profile").status_code == 303


def test_all_faults_are_said_at_once(client: FlaskClient) -> None:
    words = text_of(send(client, name="", email="nobody", password="short"))
    for message in ("Enter your name.", "Enter an email address", "Use at least 10 characters."):
        assert message in words


def test_an_address_that_is_taken_is_said_at_the_field(client: FlaskClient) -> None:
    people.register("alice@example.com")
    answer = send(client, email="ALICE@example.com", business_name="Other")
    assert answer.status_code == 422
    assert "There is an account with this address already." in text_of(answer)
    assert users() == 1


def test_hostile_words_are_shown_as_words(client: FlaskClient) -> None:
    answer = send(client, business_name='"><script>alert(1)</script>', email="nobody")
    page = answer.get_data(as_text=True)
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page


def test_fields_that_the_form_does_not_have_change_nothing(client: FlaskClient) -> None:
    send(client, email_verified_at="2020-01-01", blocked_at="2020-01-01", code="other", stage="active", role="member")
    user, vendor = db.session.scalars(select(User)).one(), db.session.scalars(select(Vendor)).one()
    assert (user.email_verified_at, user.blocked_at, vendor.code, vendor.stage) == (
        None,
        None,
        "kilim-house",
        "onboarding",
    )


def test_somebody_signed_in_is_led_on(client: FlaskClient) -> None:
    people.sign_up(client)
    assert client.get("/sign-up?tier=professional").location == "/dashboard"


def test_without_the_csrf_token_no_account_is_opened(client: FlaskClient) -> None:
    assert client.post("/sign-up", data=ENTERED).status_code == 400
    assert users() == 0
