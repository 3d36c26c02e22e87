"""A vendor that pays, for tests of the back office: half of its period lies behind it."""

import re
from datetime import UTC, datetime
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.identity.rules import StaffKind
from portal.kit.db import db
from portal.subscriptions import queries
from portal.subscriptions.queries import Overview
from tests.support import people, stories
from tests.support.servers import Sandbox
from tests.support.stories import Somebody
from tests.support.travel import Travel

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
#: Signed up on 1 February, the trial over on the 15th, paid on the 16th: the first period has 28 days.
PAID = datetime(2027, 2, 16, 12, 0, tzinfo=UTC)
HALFWAY = datetime(2027, 3, 2, 12, 0, tzinfo=UTC)


def pays_for(sandbox: Sandbox, client: FlaskClient, travel: Travel, tier: str = "professional") -> Somebody:
    """A vendor that has paid for a month of which exactly half is left."""
    stories.push_catalog()
    travel.to(datetime(2027, 2, 1, 12, 0, tzinfo=UTC))
    who = stories.signs_up(tier)
    travel.to(PAID)
    stories.pays(stories.opens_checkout(who, tier))
    stories.settle(sandbox, client)
    travel.to(HALFWAY)
    return who


def staff_client(client: FlaskClient, kind: StaffKind = StaffKind.ADMIN, name: str = "Sam Staff") -> FlaskClient:
    """A browser in which one of the operator's people is signed in."""
    browser = client.application.test_client()
    email = f"{name.split()[0].lower()}-{kind}@example.com"
    people.staff(email, kind, name)
    people.sign_in(browser, email)
    return browser


def overview(who: Somebody) -> Overview:
    """The subscription as committed now."""
    db.session.rollback()
    found = queries.overview(who.id)
    assert found is not None
    return found


def tier_form(admin: FlaskClient, vendor_id: int, **query: str) -> dict[str, str]:
    """What the modal would send as it opens: its hidden fields and checked choices."""
    answer = admin.get(f"/admin/vendors/{vendor_id}/tier-change", query_string=query, headers=PARTIAL)
    assert answer.status_code == 200
    return sent(answer)


def sent(answer: TestResponse) -> dict[str, str]:
    """The fields of an answer's form with the values that a browser would send."""
    fields = {}
    for tag in re.findall(r"<input\b[^>]*>", answer.get_data(as_text=True)):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        chooses = attributes.get("type") in ("radio", "checkbox")
        if "name" in attributes and (not chooses or re.search(r"\bchecked\b", tag)):
            fields[attributes["name"]] = attributes.get("value", "y")
    return fields


def price_of(answer: TestResponse, tier: str) -> str:
    """The value of the choice that carries this tier's name."""
    page = answer.get_data(as_text=True)
    for value, label in re.findall(r'name="price" value="([^"]+)"[^>]*>\s*<span class="choice-label">([^<]+)', page):
        if label.strip() == tier:
            return str(value)
    raise AssertionError(f"no choice {tier}")


def apply(admin: FlaskClient, vendor_id: int, fields: dict[str, Any]) -> TestResponse:
    """Send the modal's form as htmx does."""
    return admin.post(f"/admin/vendors/{vendor_id}/tier-change", data=fields, headers=PARTIAL)
