"""Staff sees what is on its way and what is stuck, and steps in with a reason."""

import io
import re
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.addons import certificates
from portal.addons.providers import Step, certificate, mailboxes, manual, own_domain, registrar, storage
from portal.addons.rules import AddonStatus
from portal.identity.rules import StaffKind
from portal.kit import jobs
from portal.kit.db import db
from portal.web.admin.provisioning_words import TO_STAFF
from tests.addons import factory
from tests.addons.provider import Provider
from tests.addons.test_certificate import KILIM, NOW, Authority
from tests.support import people
from tests.support.people import Someone, post, text_of
from tests.support.travel import Travel
from tests.web.test_vendor_checkout import PARTIAL
from tests.web.test_vendor_queries import counted

pytestmark = pytest.mark.usefixtures("unscoped")
LIST = "/admin/provisioning"


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.stop()


@pytest.fixture
def ada(catalog: Flask) -> Someone:
    who = people.register(tier=None)
    jobs.run_all()
    return who


@pytest.fixture
def sam(client: FlaskClient) -> FlaskClient:
    people.sign_in(client, people.staff().email)
    return client


def by_hand(who: Someone, number: int = 1) -> int:
    """So many add-ons that wait for staff; the last one's run."""
    for _ in range(number):
        run_id = factory.begin(factory.addon(who.vendor_id, factory.product()))
    jobs.run_all()
    return run_id


def refused(who: Someone, provider: Provider) -> int:
    run_id = factory.begin(factory.addon(who.vendor_id, factory.product(), url=provider.url))
    provider.refuses = True
    jobs.run_all()
    provider.refuses = False
    return run_id


def shown(client: FlaskClient, which: str) -> list[int]:
    """The runs that a filter shows."""
    page = client.get(LIST, query_string={"show": which}).get_data(as_text=True)
    return [int(number) for number in re.findall(rf'href="{LIST}/(\d+)"', page)]


def test_nothing_is_on_its_way(sam: FlaskClient) -> None:
    assert "Nothing is on its way" in text_of(sam.get(LIST))
    assert "No add-on was set up yet" in text_of(sam.get(LIST, query_string={"show": "all"}))
    assert "None of these" in text_of(sam.get(LIST, query_string={"show": "late"}))


def test_each_filter_shows_its_own(sam: FlaskClient, ada: Someone, provider: Provider, travel: Travel) -> None:
    done = factory.begin(factory.addon(ada.vendor_id, factory.product(), url=provider.url))
    jobs.run_all()
    waiting, failed = by_hand(ada), refused(ada, provider)
    vendor = factory.begin(factory.addon(ada.vendor_id, factory.product("certificate")))
    jobs.run_all()
    provider.down = True
    retrying = factory.begin(factory.addon(ada.vendor_id, factory.product(), url=provider.url))
    jobs.run_all()
    assert shown(sam, "open") == [retrying, vendor, failed, waiting]
    assert shown(sam, "staff") == [waiting]
    assert shown(sam, "failed") == [failed]
    assert shown(sam, "running") == [retrying]
    assert shown(sam, "vendor") == [vendor]
    assert shown(sam, "all") == [retrying, vendor, failed, waiting, done]
    assert shown(sam, "late") == []
    travel.on(hours=49)
    assert shown(sam, "late") == [retrying, failed, waiting], "the vendor's own part does not make us late"
    assert shown(sam, "nonsense") == shown(sam, "open")
    words = text_of(sam.get(LIST))
    assert "The provider refuses this." in words
    assert "Waiting for staff 1" in words and "Late 3" in words


def test_pages_follow_each_other_and_take_three_statements(sam: FlaskClient, ada: Someone) -> None:
    numbers = []
    for more in (1, 24, 35):
        by_hand(ada, more)
        sam.get(LIST)
        with counted(db.engine) as seen:
            first = sam.get(LIST)
        numbers.append(len(seen))
    assert numbers == [3, 3, 3], "who is at the door, the counts, the rows"
    following = re.search(r'rel="next" href="([^"]+)"', first.get_data(as_text=True))
    assert following is not None
    second = sam.get(following[1].replace("&amp;", "&"))
    both = [re.findall(rf'href="{LIST}/(\d+)"', page.get_data(as_text=True)) for page in (first, second)]
    assert [len(page) for page in both] == [25, 25]
    assert not set(both[0]) & set(both[1])
    assert sam.get(LIST, query_string={"page": "nonsense"}).status_code == 404


def test_a_run_shows_its_task_and_takes_four_statements(sam: FlaskClient, ada: Someone) -> None:
    run_id = by_hand(ada)
    words = text_of(sam.get(f"{LIST}/{run_id}"))
    for line in ("Set it up by hand", "Waits for staff", "Set it up at the provider.", "Complete by hand"):
        assert line in words
    with counted(db.engine) as seen:
        sam.get(f"{LIST}/{run_id}")
    assert len(seen) == 3, "who is at the door, the run with its steps, the log"


def test_staff_read_of_the_vendor_what_the_vendor_reads_of_itself(sam: FlaskClient, ada: Someone) -> None:
    """Tried once with the vendor's words: they tell staff to hand in a request of their own."""
    run_id = factory.begin(factory.addon(ada.vendor_id, factory.product("certificate")))
    jobs.run_all()
    read = text_of(sam.get(f"{LIST}/{run_id}"))
    assert "The vendor has to name the company and the domain" in read and "Tell us the company" not in read
    assert "The vendor says for whom the certificate is" in read and "Company and domain" not in read
    assert "The vendor has to name the company and the domain" in text_of(sam.get(LIST))
    by_hand_run = text_of(sam.get(f"{LIST}/{by_hand(ada)}"))
    assert "The vendor has nothing to do." in by_hand_run and "We set it up for you" not in by_hand_run


@pytest.mark.parametrize("recipe", [certificate, mailboxes, manual, own_domain, registrar, storage])
def test_nothing_that_speaks_to_the_vendor_is_said_to_staff(recipe: ModuleType) -> None:
    """Messages and steps' titles that say "you" have words of staff's own beside them."""
    to_vendor = re.compile(r"\byou(rs?)?\b|\bus\b|We (order|get)", re.IGNORECASE)
    said = [text for name, text in vars(recipe).items() if name.isupper() and isinstance(text, str)]
    steps = [each for each in vars(recipe).values() if isinstance(each, type) and issubclass(each, Step)]
    titles = [each.staff_title or each.title for each in steps if hasattr(each, "title")]
    read = [TO_STAFF.get(text, text) for text in said] + titles
    assert [text for text in read if to_vendor.search(text.replace("to us", ""))] == []


def test_a_step_is_completed_with_a_note(sam: FlaskClient, ada: Someone) -> None:
    run_id = by_hand(ada)
    here, act = f"{LIST}/{run_id}", f"{LIST}/{run_id}/act"
    step = factory.steps(run_id)[0].id
    assert "You did by hand" in text_of(sam.get(act, query_string={"do": "complete", "step": step}))
    bare = post(sam, act, {"do": "complete", "step": step, "note": " "}, page=here)
    assert bare.status_code == 422 and "Say what was done, or why." in text_of(bare)
    answer = post(sam, act, {"do": "complete", "step": step, "note": "Hung it up"}, page=here)
    assert (answer.status_code, answer.location) == (303, here)
    jobs.run_all()
    assert factory.states(run_id) == ["done"]
    words = text_of(sam.get(here))
    assert "Completed by hand. Hung it up" in words and "Sam Staff" in words
    late = post(sam, act, {"do": "complete", "step": step, "note": "Twice"}, page=here)
    assert late.status_code == 409


@pytest.mark.parametrize(("do", "after"), [("skip", "skipped"), ("retry", "done")])
def test_what_failed_is_left_out_or_tried_again(
    sam: FlaskClient, ada: Someone, provider: Provider, do: str, after: str
) -> None:
    run_id = refused(ada, provider)
    here = f"{LIST}/{run_id}"
    assert "Given up: a person must look" in text_of(sam.get(here))
    sent = {"do": do, "step": factory.steps(run_id)[0].id, "note": "Looked into it"}
    assert post(sam, f"{here}/act", sent, page=here).status_code == 303
    jobs.run_all()
    assert factory.steps(run_id)[0].state == after


def test_undo_stop_and_begin_anew(sam: FlaskClient, ada: Someone, provider: Provider) -> None:
    from portal.addons import runner

    addon_id = factory.addon(ada.vendor_id, factory.product(), url=provider.url)
    run_id = factory.begin(addon_id)
    here, act, step = f"{LIST}/{run_id}", f"{LIST}/{run_id}/act", factory.steps(run_id)[0].id
    runner.run(step)
    assert sum(provider.made.values()) == 1
    assert post(sam, act, {"do": "undo", "step": step, "note": "Wrong"}, page=here).status_code == 303
    assert sum(provider.made.values()) == 0
    assert post(sam, act, {"do": "cancel", "note": "Wrong"}, page=here).status_code == 303
    assert factory.run_row(run_id).state == "cancelled"
    anew = post(sam, act, {"do": "again"}, page=here)
    assert anew.status_code == 303 and anew.location != here
    jobs.run_all()
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE


def test_only_what_is_offered_can_be_done(sam: FlaskClient, ada: Someone) -> None:
    run_id = by_hand(ada)
    other = factory.steps(by_hand(ada))[0].id
    here, act = f"{LIST}/{run_id}", f"{LIST}/{run_id}/act"
    for sent in ({"do": "delete"}, {"do": "complete", "step": other}, {"do": "complete"}, {"do": "skip", "step": "x"}):
        assert post(sam, act, {**sent, "note": "x"}, page=here).status_code == 404
    assert sam.get(act, query_string={"do": "retry"}).status_code == 404
    assert factory.states(run_id) == ["waiting_staff"]


def test_finance_looks_and_does_not_act(client: FlaskClient, ada: Someone) -> None:
    run_id = by_hand(ada)
    people.sign_in(client, people.staff("fay@example.com", StaffKind.FINANCE).email)
    here = f"{LIST}/{run_id}"
    assert "Complete by hand" not in text_of(client.get(here))
    assert post(client, f"{here}/act", {"do": "cancel", "note": "x"}, page=here).status_code == 403


def test_a_certificate_is_ordered_and_handed_in(sam: FlaskClient, ada: Someone) -> None:
    addon_id = factory.addon(ada.vendor_id, factory.product("certificate"), **KILIM)
    run_id = factory.begin(addon_id)
    jobs.run_all()
    here = f"{LIST}/{run_id}"
    request = sam.get(f"{here}/request")
    assert request.headers["Content-Disposition"] == 'attachment; filename="kilim.example.csr"'
    assert "BEGIN CERTIFICATE REQUEST" in request.get_data(as_text=True)
    chain = Authority().issue(request.get_data(as_text=True), ["kilim.example"], NOW, NOW + timedelta(days=365))
    for content, words in ((b"", "Choose a file first."), (b"\xff", "no certificate"), (b"hello", "no certificate")):
        name = "chain.pem" if content else ""
        sent = {"chain": (io.BytesIO(content), name)}
        answer = post(sam, f"{here}/chain", sent, page=here, content_type="multipart/form-data")
        assert answer.status_code == 422 and words in text_of(answer)
    sent = {"chain": (io.BytesIO(chain.encode()), "chain.pem")}
    assert ", every" not in sam.get(here).get_data(as_text=True), "it waits for a person"
    assert post(sam, f"{here}/chain", sent, page=here, content_type="multipart/form-data").status_code == 303
    assert ", every 5s" in sam.get(here).get_data(as_text=True), "what it waited for has come: the page looks again"
    jobs.run_all()
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE
    assert certificates.of_addon(ada.vendor_id, addon_id)[0].chain_pem == chain


def test_other_kinds_have_no_certificate(sam: FlaskClient, ada: Someone) -> None:
    here = f"{LIST}/{by_hand(ada)}"
    assert sam.get(f"{here}/request").status_code == 404
    assert sam.get(f"{here}/chain", headers=PARTIAL).status_code == 404
