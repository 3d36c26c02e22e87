"""The vendor watches an add-on being set up, and does its part where a step waits for it."""

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.addons import certificates
from portal.addons import provisioning_queries as queries
from portal.audit.models import AuditEntry
from portal.identity.models import Membership, User
from portal.identity.rules import Role
from portal.kit import clock, jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.addons import factory
from tests.addons.provider import Provider
from tests.support import people
from tests.support.people import Someone, post, text_of
from tests.support.travel import Travel
from tests.web.test_vendor_checkout import PARTIAL
from tests.web.test_vendor_queries import counted

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.stop()


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    who = people.sign_up(client)
    jobs.run_all()
    return who


def remote(who: Someone, provider: Provider) -> tuple[int, str]:
    """An add-on that the provider makes, begun; its id and the address of its steps."""
    addon_id = factory.addon(who.vendor_id, factory.product(), url=provider.url)
    factory.begin(addon_id)
    return addon_id, f"/vendor/{who.code}/addons/{addon_id}/steps"


def mark(who: Someone, addon_id: int) -> str:
    db.session.rollback()
    return queries.of_addon(who.vendor_id, addon_id).mark


def test_it_is_watched_like_a_parcel(client: FlaskClient, ada: Someone, provider: Provider, travel: Travel) -> None:
    _addon_id, page = remote(ada, provider)
    provider.down = True
    words = text_of(client.get(page))
    assert "Ready by 17 January 2027, 12:0" in words
    assert "Now: Making it This is being done now." in words
    assert "To come: Trying it" in words
    jobs.run_all()
    words = text_of(client.get(page))
    # A minute after noon on 15 January.
    assert "Now: Making it The provider does not answer. We try again by ourselves on 15 January 2027, 12:01" in words
    provider.down = False
    travel.on(minutes=2)
    factory.tend()
    words = text_of(client.get(page))
    assert "Everything is set up." in words
    for line in ("Done: Added for you", "Done: Making it", "Done: Trying it", "Done: Ready"):
        assert line in words
    assert "every " not in client.get(page).get_data(as_text=True), "nothing moves any more"


def test_a_look_answers_only_when_there_is_something_new(client: FlaskClient, ada: Someone, provider: Provider) -> None:
    addon_id, page = remote(ada, provider)
    first = client.get(page, headers=PARTIAL).get_data(as_text=True)
    assert 'role="status"' in first and "every 5s" in first
    seen = mark(ada, addon_id)
    assert client.get(page, query_string={"seen": seen}, headers=PARTIAL).status_code == 204
    jobs.run_all()
    answer = client.get(page, query_string={"seen": seen}, headers=PARTIAL)
    news = answer.get_data(as_text=True)
    assert re.search(rf'hx-swap-oob="innerHTML:#setup-said-{addon_id}">Everything is set up\.<', news)
    # The badge beside the heading and the log of what happened move along.
    assert re.search(rf'hx-swap-oob="innerHTML:#setup-status-{addon_id}">.*Active', news)
    assert f"setup-{addon_id}-moved" in answer.headers["HX-Trigger"]
    whole = client.get(page).get_data(as_text=True)
    assert f'id="setup-status-{addon_id}"' in whole and f"setup-{addon_id}-moved from:body" in whole
    assert "<html" not in news and 'role="status"' not in news


def test_what_staff_writes_down_for_itself_is_not_shown(client: FlaskClient, ada: Someone) -> None:
    from portal.addons import provisioning_staff as staff
    from portal.kit import actor

    addon_id = factory.addon(ada.vendor_id, factory.product())
    run_id = factory.begin(addon_id)
    jobs.run_all()
    with unit_of_work():
        step_id = queries.of_run(run_id).steps[0].id
        staff.complete(step_id, note="The vendor was rude", actor=actor.staff(9, "Sam Staff"), now=clock.business())
    page = f"/vendor/{ada.code}/addons/{addon_id}/steps"
    for answer in (client.get(page), client.get(f"{page}/log", headers=PARTIAL)):
        words = text_of(answer)
        assert "Completed by hand." in words and "our staff" in words
        assert "rude" not in words and "Sam" not in words


def test_late_or_stopped_no_step_promises_what_has_passed(client: FlaskClient, ada: Someone, travel: Travel) -> None:
    """Promised within 48 hours of noon on 15 January; then staff stops the run."""
    from portal.addons import provisioning_staff as staff
    from portal.kit import actor

    addon_id = factory.addon(ada.vendor_id, factory.product())
    run_id = factory.begin(addon_id)
    jobs.run_all()
    page = f"/vendor/{ada.code}/addons/{addon_id}/steps"
    assert "We do this by hand. There is nothing for you to do. By 17 January 2027" in text_of(client.get(page))
    travel.on(days=3)
    late = text_of(client.get(page))
    assert "This takes longer than we said." in late and "By 17 January 2027" not in late
    with unit_of_work():
        staff.cancel(run_id, note="No longer made", actor=actor.staff(9, "Sam Staff"), now=clock.business())
    stopped = text_of(client.get(page)).split("What happened so far")[0]
    assert "Setting up was stopped." in stopped and "Ask a question" in stopped
    assert "We do this by hand." not in stopped, "nobody does it any more"


def test_a_retry_can_be_asked_for_at_once(client: FlaskClient, ada: Someone, provider: Provider) -> None:
    _addon_id, page = remote(ada, provider)
    provider.down = True
    jobs.run_all()
    provider.down = False
    assert post(client, f"{page}/look", {}, page=page).status_code == 303
    jobs.run_all()
    assert "Everything is set up." in text_of(client.get(page))
    again = post(client, f"{page}/look", {}, page=page, headers=PARTIAL)
    assert "Nothing is waiting at the moment." in again.headers["HX-Trigger"]


def test_foreign_add_ons_are_not_there(client: FlaskClient, ada: Someone, provider: Provider) -> None:
    other = people.register("bob@example.com", business="Bobs Books")
    foreign, _ = remote(other, provider)
    page = f"/vendor/{ada.code}/addons/{foreign}/steps"
    assert client.get(page).status_code == 404
    assert post(client, f"{page}/look", {}, page="/pricing").status_code == 404
    certificate = f"/vendor/{ada.code}/addons/{foreign}/certificate"
    assert client.get(certificate).status_code == 404


def test_the_page_takes_three_statements_and_a_look_two(
    catalog: Flask, client: FlaskClient, ada: Someone, provider: Provider
) -> None:
    _, page = remote(ada, provider)
    client.get(page)
    with counted(db.engine) as seen:
        client.get(page)
    assert len(seen) == 3, "who is at the door, the steps, the log"
    with counted(db.engine) as seen:
        client.get(page, query_string={"seen": "x"}, headers=PARTIAL)
    assert len(seen) == 2


class TestCertificate:
    """Its page: details, a request of one's own, and what may be taken away."""

    @pytest.fixture
    def addon_id(self, ada: Someone) -> int:
        product = factory.product("certificate", grants={"certificates": 1})
        addon_id = factory.addon(ada.vendor_id, product)
        factory.begin(addon_id)
        jobs.run_all()
        return addon_id

    def test_the_steps_lead_to_the_details(self, client: FlaskClient, ada: Someone, addon_id: int) -> None:
        steps, page = (f"/vendor/{ada.code}/addons/{addon_id}/{name}" for name in ("steps", "certificate"))
        shown = client.get(steps).get_data(as_text=True)
        assert f'href="{page}"' in shown and "Do this now" in shown
        assert "It waits for you: Company and domain." in text_of(client.get(steps))
        sent = {"company": "Kilim GmbH", "country": "DE", "domain": "Kilim-House.com"}
        answer = post(client, page, sent, page=page)
        assert (answer.status_code, answer.location) == (303, steps)
        jobs.run_all()
        assert "Now: The certificate is being issued" in text_of(client.get(steps))
        words = text_of(client.get(page))
        assert "kilim-house.com" in words and "Download the private key" in words
        again = post(client, page, sent, page=page)
        assert again.status_code == 409

    @pytest.mark.parametrize(("language", "named"), [("en", "Austria"), ("de", "Österreich")])
    def test_the_country_is_chosen_by_its_name(
        self, client: FlaskClient, ada: Someone, addon_id: int, language: str, named: str
    ) -> None:
        with unit_of_work() as session:
            session.get_one(User, ada.user_id).locale = language
        page = client.get(f"/vendor/{ada.code}/addons/{addon_id}/certificate").get_data(as_text=True)
        assert re.search(rf'<option value="AT"[^>]*>{named}</option>', page)
        assert 'value="EU"' not in page, "a union is no country"

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("company", "", "as it is registered"),
            ("company", "x" * 65, "at most 64 characters"),
            ("country", "QQ", "Choose a country."),
            ("domain", "", "Enter the domain"),
            ("domain", "10.0.0.1", "address"),
        ],
    )
    def test_wrong_details_come_back_at_their_field(
        self, client: FlaskClient, ada: Someone, addon_id: int, field: str, value: str, words: str
    ) -> None:
        page = f"/vendor/{ada.code}/addons/{addon_id}/certificate"
        sent = {"company": "Kilim GmbH", "country": "DE", "domain": "kilim-house.com", field: value}
        answer = post(client, page, sent, page=page)
        assert answer.status_code == 422
        error = re.search(rf'id="{field}-error">.*?</p>', answer.get_data(as_text=True), re.S)
        assert error is not None and words in error[0]
        assert certificates.of_addon(ada.vendor_id, addon_id) == []

    def test_a_file_that_is_no_request_is_refused(self, client: FlaskClient, ada: Someone, addon_id: int) -> None:
        import io

        page = f"/vendor/{ada.code}/addons/{addon_id}/certificate"
        for content in (b"", b"hello", b"\xff\xfe\x00", b"x" * 70_000):
            sent = {"own_domain": "kilim-house.com", "request": (io.BytesIO(content), "shop.csr")}
            answer = post(client, f"{page}/request", sent, page=page, content_type="multipart/form-data")
            assert answer.status_code == 422
            assert 'id="request-error"' in answer.get_data(as_text=True)
        assert certificates.of_addon(ada.vendor_id, addon_id) == []

    def test_the_key_is_for_the_owner_alone(self, client: FlaskClient, ada: Someone, addon_id: int) -> None:
        page = f"/vendor/{ada.code}/addons/{addon_id}/certificate"
        post(client, page, {"company": "Kilim GmbH", "country": "DE", "domain": "kilim-house.com"}, page=page)
        jobs.run_all()
        (found,) = certificates.of_addon(ada.vendor_id, addon_id)
        taken = post(client, f"{page}/{found.id}/key", {}, page=page)
        assert taken.get_data(as_text=True).startswith("-----BEGIN PRIVATE KEY-----")
        assert taken.headers["Content-Disposition"] == 'attachment; filename="kilim-house.com.key"'
        assert taken.headers["Cache-Control"] == "no-store"
        assert db.session.query(AuditEntry).filter_by(action="certificate.key_taken").count() == 1
        assert client.get(f"{page}/{found.id}/chain").status_code == 404, "not issued yet"
        with unit_of_work() as session:
            session.query(Membership).filter_by(user_id=ada.user_id).one().role = Role.MANAGER
        assert post(client, f"{page}/{found.id}/key", {}, page=page).status_code == 403
        assert "Only the owner of Kilim House" in text_of(client.get(page))
