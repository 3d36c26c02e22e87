"""The pages for API keys and webhooks, a vendor's and the platform's: a secret is shown once; what ends has ended."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from config import Config
from portal.gateways import outgoing
from portal.identity import api_keys
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhook_queries, webhooks
from tests.notifications.receiver import Receiver, running
from tests.support import people
from tests.support.people import Someone, post, text_of
from tests.support.programs import bearer, key
from tests.web.test_vendor_checkout import PARTIAL
from tests.web.test_vendor_queries import statements

__all__ = ["statements"]
pytestmark = pytest.mark.usefixtures("unscoped")
WHOLE_KEY = r"vp_live_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"
WHOLE_SECRET = r"whsec_[A-Za-z0-9+/]{43}="


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    return people.sign_up(client, tier="business")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    outgoing.configure(Config(outgoing_private_networks="127.0.0.0/8"))
    with running() as it:
        yield it
    outgoing.configure(Config())


def at(who: Someone, path: str = "") -> str:
    return f"/vendor/{who.code}/api-keys{path}"


KEY = {"name": "shop server", "scopes": ["usage:write", "usage:read"], "days": "90"}


def test_the_key_is_shown_on_the_answer_and_never_again(client: FlaskClient, ada: Someone) -> None:
    """Not in the list, not in the session, not on the way back."""
    answer = post(client, at(ada, "/new"), KEY)
    found = re.findall(WHOLE_KEY, answer.get_data(as_text=True))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    text = found[0]
    assert client.get("/api/v1/usage", headers=bearer(text)).status_code == 200
    with client.session_transaction() as session:
        assert text[21:] not in repr(dict(session))
    for path in (at(ada), at(ada, "/keys"), "/dashboard"):
        assert text[21:] not in client.get(path, headers=PARTIAL if path.endswith("keys") else {}).get_data(
            as_text=True
        )
    page = text_of(client.get(at(ada)))
    assert "shop server" in page and text[:20] in page and "usage:read, usage:write" in page


def test_in_the_modal_the_list_looks_again(client: FlaskClient, ada: Someone) -> None:
    answer = post(client, at(ada, "/new"), KEY, headers=PARTIAL)
    assert re.search(WHOLE_KEY, answer.get_data(as_text=True))
    assert "api-keys-changed" in answer.headers["HX-Trigger"]
    assert "<html" not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": ""}, "Give the key a name"),
        ({"name": "x" * 81}, "too long"),
        ({"scopes": []}, "Choose at least one"),
        ({"scopes": ["everything"]}, "Choose at least one"),
        ({"days": "31"}, "Choose one of the times"),
        ({"days": "soon"}, "Choose one of the times"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    client: FlaskClient, ada: Someone, changed: dict[str, object], words: str
) -> None:
    answer = post(client, at(ada, "/new"), {**KEY, **changed})
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert api_keys.of(ada.vendor_id) == []


def test_revoking_asks_first_and_then_is_at_once(client: FlaskClient, ada: Someone) -> None:
    text = key(ada.vendor_id)
    number = api_keys.of(ada.vendor_id)[0].id
    assert "at once and for good" in text_of(client.get(at(ada, f"/{number}/revoke")))
    assert client.get("/api/v1/usage", headers=bearer(text)).status_code == 200
    assert post(client, at(ada, f"/{number}/revoke"), {}).status_code == 303
    assert client.get("/api/v1/usage", headers=bearer(text)).status_code == 401
    assert "Revoked" in text_of(client.get(at(ada)))


def test_a_plan_without_the_feature_explains_and_still_lets_keys_be_ended(client: FlaskClient, ada: Someone) -> None:
    from portal.catalog import queries as catalog
    from portal.entitlements import service as entitlements

    key(ada.vendor_id)
    essential = catalog.tier_by_code("essential")
    assert essential is not None
    with unit_of_work():
        entitlements.replace_tier_grants(ada.vendor_id, essential, now=clock.business())
    page = text_of(client.get(at(ada)))
    assert "does not include access by API" in page and "Compare the plans" in page and "New key" not in page
    forms: dict[str, dict[str, Any]] = {"/new": KEY, "/webhooks/new": {"url": "https://shop.example.com/"}}
    for path, form in forms.items():
        assert client.get(at(ada, path)).status_code == 403
        assert post(client, at(ada, path), form).status_code == 403
    assert len(api_keys.of(ada.vendor_id)) == 1
    number = api_keys.of(ada.vendor_id)[0].id
    assert post(client, at(ada, f"/{number}/revoke"), {}).status_code == 303


def test_an_endpoint_from_adding_to_removing(client: FlaskClient, ada: Someone, receiver: Receiver) -> None:
    answer = post(client, at(ada, "/webhooks/new"), {"url": receiver.url, "kinds": ["usage.alert"]})
    secret = re.findall(WHOLE_SECRET, answer.get_data(as_text=True))[0]
    assert secret not in client.get(at(ada)).get_data(as_text=True)
    (held,) = webhook_queries.endpoints(ada.vendor_id)
    one = f"/webhooks/{held.id}"
    assert receiver.url in text_of(client.get(at(ada, one)))
    assert post(client, at(ada, f"{one}/test"), {}).status_code == 303
    jobs.run_all()
    assert receiver.got[0].signed_with(secret)
    assert "A test" in text_of(client.get(at(ada))) and "Delivered" in text_of(client.get(at(ada)))
    fresh = re.findall(WHOLE_SECRET, post(client, at(ada, f"{one}/rotate"), {}).get_data(as_text=True))[0]
    assert fresh != secret
    assert "The old secret fits, too, for now" in text_of(client.get(at(ada, one)))
    assert post(client, at(ada, f"{one}/end-old-secret"), {}).status_code == 303
    assert "The old secret fits, too" not in text_of(client.get(at(ada, one)))
    post(client, at(ada, f"{one}/pause"), {})
    assert post(client, at(ada, f"{one}/test"), {}).status_code == 409
    post(client, at(ada, f"{one}/resume"), {})
    assert post(client, at(ada, f"{one}/remove"), {}).status_code == 303
    assert webhook_queries.endpoints(ada.vendor_id) == []
    assert client.get(at(ada, one)).status_code == 404


def test_a_delivery_shows_what_was_sent_and_is_sent_again(
    client: FlaskClient, ada: Someone, receiver: Receiver
) -> None:
    with unit_of_work():
        webhooks.add(ada.vendor_id, receiver.url, (), actor=SYSTEM, now=clock.business())
    with unit_of_work():
        webhooks.publish(
            "usage.alert", vendor_id=ada.vendor_id, event_id="alert:1", data={"metric": "<b>orders"},
            now=clock.business(),
        )  # fmt: skip
    receiver.then(500)
    jobs.run_all()
    number = webhook_queries.deliveries(ada.vendor_id, None).rows[0].id
    page = client.get(at(ada, f"/deliveries/{number}")).get_data(as_text=True)
    assert "&lt;b&gt;orders" in page and "<b>orders" not in page
    assert "alert:1" in page and "Tried, waits" in page and "hello" in page
    assert post(client, at(ada, f"/deliveries/{number}/again"), {}).status_code == 303
    jobs.run_all()
    assert [got.headers["webhook-id"] for got in receiver.got] == ["alert:1", "alert:1"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"url": "http://shop.example.com/"}, "must begin with https://"),
        ({"url": "https://10.0.0.1/"}, "not public"),
        ({"url": "https://localhost:8443/hooks"}, "not public"),
        ({"url": "https://LOCALHOST./hooks"}, "not public"),
        ({"url": "https://shop.localhost/hooks"}, "not public"),
        ({"url": "shop"}, "Enter an address such as"),
        ({"url": ""}, "Enter an address such as"),
        ({"url": "https://shop.example.com/", "kinds": ["no.such"]}, "not one of the values"),
    ],
)
def test_what_is_no_endpoint_is_said_at_its_field(
    client: FlaskClient, ada: Someone, form: dict[str, object], words: str
) -> None:
    answer = post(client, at(ada, "/webhooks/new"), form)
    assert (answer.status_code, words in text_of(answer)) == (422, True), text_of(answer)
    assert webhook_queries.endpoints(ada.vendor_id) == []


def test_the_platforms_page_is_the_admins_alone(client: FlaskClient) -> None:
    owner = people.register()
    people.sign_in(client, people.staff().email)
    answer = post(client, "/admin/api-keys/new", {**KEY, "scopes": ["usage:read"]})
    text = re.findall(WHOLE_KEY, answer.get_data(as_text=True))[0]
    assert client.get("/api/v1/usage", headers=bearer(text, owner.code)).get_json()["vendor"] == owner.code
    page = text_of(client.get("/admin/api-keys"))
    assert "speaks for every vendor" in page and "shop server" in page


@pytest.mark.parametrize("number", [1, 25])
def test_the_page_takes_five_statements_and_a_region_two(
    client: FlaskClient, ada: Someone, statements: Callable[..., int], number: int
) -> None:
    """Who is at the door; the feature; keys; endpoints; deliveries. The same number with one key and with 25."""
    for n in range(number):
        key(ada.vendor_id, name=f"server {n}")
    with unit_of_work():
        webhooks.add(ada.vendor_id, "https://shop.example.com/", (), actor=SYSTEM, now=clock.business())
    for n in range(number):
        with unit_of_work():
            webhooks.publish(
                "usage.alert", vendor_id=ada.vendor_id, event_id=f"alert:{n}", data={}, now=clock.business()
            )
    assert statements(at(ada)) <= 6
    for region in ("/keys", "/webhooks", "/deliveries"):
        assert statements(at(ada, region), **PARTIAL) == 2
