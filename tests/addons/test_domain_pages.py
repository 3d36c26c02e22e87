"""The pages of domains and mailboxes: states in words, refusals at their fields, and how many statements they take."""

import re
from time import monotonic

import pytest
from flask.testing import FlaskClient

from portal.addons import domain_names, domains, provisioning_staff
from portal.addons.models import Domain, VendorAddon
from portal.gateways import dns
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.addons import factory
from tests.addons.test_domains import active, add, row, set_records, with_places
from tests.addons.test_mailboxes import SECRET, make, ready
from tests.addons.test_mailboxes import package as mail_package
from tests.support import people
from tests.support.far_servers import Mailcow, Namecheap
from tests.support.name_server import NameServer
from tests.support.people import Someone, post, text_of
from tests.support.travel import Travel
from tests.web.test_vendor_checkout import PARTIAL
from tests.web.test_vendor_queries import counted

pytestmark = pytest.mark.usefixtures("unscoped", "names")


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    """An owner with places for names, signed in."""
    return with_places(people.sign_up(client, email="ada@example.com", business="Kilim House"), 9)


def page(client: FlaskClient, who: Someone, path: str = "domains") -> str:
    answer = client.get(f"/vendor/{who.code}/{path}")
    assert answer.status_code == 200
    return text_of(answer)


def test_where_there_is_no_name_one_is_offered_as_it_was_drawn(client: FlaskClient) -> None:
    who = people.sign_up(client, tier="essential", business="Kilim House")
    told = page(client, who)
    assert "Your shop is available at: kilim-house.lumashop.com" in told
    assert "Want to use your own domain like www.myshop.com?" in told
    assert "Add the Custom Domain add-on for just €15 per year" in told and "Add Custom Domain" in told


def test_the_offer_is_dismissed_by_each_person_for_good(client: FlaskClient) -> None:
    who = people.sign_up(client, tier="essential", business="Kilim House")
    assert post(client, f"/vendor/{who.code}/domains/dismiss-offer", {}).status_code == 303
    told = page(client, who)
    assert "Want to use" not in told and "Use a domain of your own" in told


def test_a_plan_that_includes_one_says_so(client: FlaskClient) -> None:
    who = people.sign_up(client, tier="professional", business="Kilim House")
    told = page(client, who)
    assert "Your plan includes one." in told and "Set it up now" in told and "€15" not in told


def test_the_included_one_is_set_up_from_there_and_offered_once(client: FlaskClient) -> None:
    who = people.sign_up(client, tier="professional", business="Kilim House")
    html = client.get(f"/vendor/{who.code}/domains").get_data(as_text=True)
    found = re.search(r'href="([^"]*/addons/included/\d+)"', html)
    assert found, "the button leads to the form, not to the list of everything"
    form = text_of(client.get(found.group(1), headers=PARTIAL))
    assert "For a name that you have already" in form and "registered and renewed" not in form
    full = text_of(client.get(f"/vendor/{who.code}/domains/new", headers=PARTIAL))
    assert "Your plan includes a domain that is not set up yet" in full and "no place" not in full
    assert post(client, found.group(1), {"domain": "www.myshop.com"}).status_code == 303
    jobs.run_all()
    full = text_of(client.get(f"/vendor/{who.code}/domains/new", headers=PARTIAL))
    assert "not set up yet" not in full and "All places for domains of your own are taken" in full
    assert "Each further domain is an add-on for €15 per year." in full
    steps = text_of(client.get(f"/vendor/{who.code}/addons/{db.session.query(VendorAddon.id).scalar()}/steps"))
    assert "Custom domain" in steps and "www.myshop.com" in steps, "of several add-ons it says which one"


def test_a_name_is_added_and_its_records_are_shown(client: FlaskClient, ada: Someone, names: NameServer) -> None:
    answer = post(client, f"/vendor/{ada.code}/domains", {"domain": "https://WWW.MyShop.com/"})
    assert answer.status_code == 303, text_of(answer)
    told = page(client, ada)
    for words in ("www.myshop.com", "Waits for its records", "_vendor-portal.www", "kilim-house.lumashop.com", "CNAME"):
        assert words in told
    jobs.run_all()
    names.set("www.myshop.com", "CNAME", "shops.elsewhere.com")
    domain_id = db.session.query(Domain.id).scalar()
    answer = post(client, f"/vendor/{ada.code}/domains/{domain_id}/check", {})
    assert answer.status_code == 429, "the job has looked a moment ago"


def test_what_stands_there_instead_is_named(
    client: FlaskClient, ada: Someone, names: NameServer, travel: Travel
) -> None:
    domain_id = add(ada)
    set_records(names, domain_id, "shops.elsewhere.com")
    answer = post(client, f"/vendor/{ada.code}/domains/{domain_id}/check", {})
    assert answer.status_code == 303
    told = page(client, ada)
    assert "There stands: shops.elsewhere.com" in told and "Something else" in told and "Found" in told
    set_records(names, domain_id)
    travel.on(minutes=1)
    assert post(client, f"/vendor/{ada.code}/domains/{domain_id}/check", {}).status_code == 303
    told = page(client, ada)
    assert "Works" in told and "Main address" in told and "There stands" not in told


def test_silence_is_not_told_as_something_missing(client: FlaskClient, ada: Someone, names: NameServer) -> None:
    domain_id = add(ada)
    names.says = "SERVFAIL"
    told = post(client, f"/vendor/{ada.code}/domains/{domain_id}/check", {}, follow_redirects=True)
    assert "DNS did not answer, so nothing has changed." in text_of(told) and "still missing" not in text_of(told)


def test_a_look_waits_for_a_silent_name_server_once(
    client: FlaskClient, ada: Someone, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All questions arrive before the first is given up. Tried once one after another: they take six patiences."""
    monkeypatch.setattr(dns, "PATIENCE", 1.0)
    domain_id = add(ada)
    names.says = "silence"
    heard: list[float] = []
    answer = names.answer

    def noting(wire: bytes, over: str) -> bytes | None:
        heard.append(monotonic())
        return answer(wire, over)

    monkeypatch.setattr(names, "answer", noting)
    told = post(client, f"/vendor/{ada.code}/domains/{domain_id}/check", {}, follow_redirects=True)
    assert "DNS did not answer, so nothing has changed." in text_of(told)
    # The proof; the alias, the addresses of the name and those of the shop, of both kinds each.
    assert len({(name, kind) for name, kind, _ in names.asked}) == 1 + 1 + 2 + 2
    assert max(heard) - min(heard) < dns.PATIENCE


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "Enter a domain name, such as myshop.com."),
        ("192.168.0.1", "This is an IP address."),
        ("x" * 300, "A domain name has at most 253 characters."),
        ("alice.lumashop.com", "This name is the platform's own."),
        ("lumаshop.com", "Letters of several scripts stand in one word"),
        ("a\0b.com", "A domain name has no spaces."),
        ("<script>.com", "This has characters that a domain name cannot have."),
    ],
)
def test_what_is_no_name_is_told_at_its_field(client: FlaskClient, ada: Someone, typed: str, says: str) -> None:
    sent = {"csrf_token": people.csrf_token(client), "domain": typed}
    answer = client.post(f"/vendor/{ada.code}/domains", data=sent, headers=PARTIAL)
    html = answer.get_data(as_text=True)
    assert answer.status_code == 422 and says in text_of(answer)
    assert 'id="domain-error"' in html and 'aria-invalid="true"' in html and "<script>" not in html


def test_without_a_place_the_add_on_is_offered(client: FlaskClient) -> None:
    who = people.sign_up(client, tier="essential", business="Kilim House")
    asked = client.get(f"/vendor/{who.code}/domains/new", headers=PARTIAL)
    assert asked.status_code == 200 and "Your plan has no place for a domain of your own yet" in text_of(asked)
    answer = post(client, f"/vendor/{who.code}/domains", {"domain": "www.myshop.com"})
    assert answer.status_code == 403 and "Add Custom Domain" in text_of(answer)
    assert db.session.query(Domain.id).count() == 0


def test_a_name_is_given_up_after_saying_what_that_does(client: FlaskClient, ada: Someone, names: NameServer) -> None:
    domain_id = active(names, ada)
    way = f"/vendor/{ada.code}/domains/{domain_id}/remove"
    assert "It stays open at its other addresses." in text_of(client.get(way, headers=PARTIAL))
    assert post(client, way, {}).status_code == 303
    assert row(domain_id).state == "removed" and client.get(way).status_code == 404


def test_the_main_address_can_be_chosen(client: FlaskClient, ada: Someone, names: NameServer) -> None:
    domain_id = active(names, ada)
    assert post(client, f"/vendor/{ada.code}/domains/platform-address", {}).status_code == 303
    assert not row(domain_id).is_primary
    assert post(client, f"/vendor/{ada.code}/domains/{domain_id}/primary", {}).status_code == 303
    assert row(domain_id).is_primary


def test_another_vendors_name_is_nothing_here(client: FlaskClient, ada: Someone) -> None:
    bob = with_places(people.register("bob@example.com", business="Bob's Bikes", name="Bob"), 1)
    foreign = add(bob)
    for way in ("", "/remove"):
        assert client.get(f"/vendor/{ada.code}/domains/{foreign}{way}").status_code == 404
    for way in ("/check", "/primary", "/remove"):
        assert post(client, f"/vendor/{ada.code}/domains/{foreign}{way}", {}).status_code == 404


def test_availability_answers_while_one_types(client: FlaskClient, ada: Someone, account: Namecheap) -> None:
    account.taken.add("apple.com")
    way = f"/vendor/{ada.code}/domains/availability"
    free = client.get(way, query_string={"domain": "MyShop.com"}, headers=PARTIAL)
    assert free.status_code == 200 and "myshop.com is free" in text_of(free)
    assert "We read this as myshop.com" in text_of(free)
    assert "apple.com is taken" in text_of(client.get(way, query_string={"domain": "apple.com"}, headers=PARTIAL))
    wrong = client.get(way, query_string={"domain": "my shop"}, headers=PARTIAL)
    assert wrong.status_code == 422 and "A domain name has no spaces." in text_of(wrong)
    assert text_of(client.get(way, query_string={"domain": ""}, headers=PARTIAL)) == ""
    asked = account.count("domains.check")
    own = client.get(way, query_string={"domain": "other.com", "own": "1"}, headers=PARTIAL)
    assert "is free" not in text_of(own) and account.count("domains.check") == asked


def test_without_a_registrar_it_says_so(client: FlaskClient, ada: Someone) -> None:
    way = f"/vendor/{ada.code}/domains/availability"
    told = text_of(client.get(way, query_string={"domain": "myshop.com"}, headers=PARTIAL))
    assert "We ask for this name by hand" in told


def test_mailboxes_are_made_by_the_page_and_no_password_comes_back(
    client: FlaskClient, ada: Someone, names: NameServer, mailcow: Mailcow, travel: Travel
) -> None:
    active(names, ada)
    ready(ada, names, travel)
    way = f"/vendor/{ada.code}/mailboxes"
    weak = post(client, way, {"local": "in fo", "password": "short"})
    assert weak.status_code == 422 and "Use at least 10 characters." in text_of(weak)
    made = post(client, way, {"local": "info", "name": "Info", "password": SECRET})
    assert made.status_code == 303, text_of(made)
    assert "Being made" in page(client, ada, "mailboxes")
    jobs.run_all()
    html = client.get(way).get_data(as_text=True)
    assert "info@www.myshop.com" in html and "Works" in html and SECRET not in html
    assert '<span id="mailboxes-used">1</span> of 2 addresses used' in html
    make(ada, "sales")
    part = client.get(way, headers=PARTIAL).get_data(as_text=True)
    assert 'innerHTML:#mailboxes-used">2<' in part, "the number above the list moves along with it"
    full = post(client, way, {"local": "third", "password": SECRET})
    assert full.status_code == 403 and "A larger email package has room for more." in text_of(full)
    assert "All addresses of your email package are taken" in text_of(full)
    assert SECRET not in full.get_data(as_text=True)


def test_mail_that_staff_set_up_waits_for_the_name_and_says_so(client: FlaskClient, ada: Someone) -> None:
    """Without a mail server the package is done by hand; until the name works the page leads to its records."""
    add(ada)
    _package, run = mail_package(ada)
    (task,) = factory.steps(run)
    with unit_of_work():
        provisioning_staff.complete(task.id, note="Made", actor=SYSTEM, now=clock.business())
    told = page(client, ada, "mailboxes")
    assert "www.myshop.com does not work yet" in told and "See its records" in told
    assert "is being set up" not in told and "in a minute" not in told and "We make your addresses by hand" not in told
    part = text_of(client.get(f"/vendor/{ada.code}/mailboxes", headers=PARTIAL))
    assert "No mailboxes yet" in part and "See the add-ons" not in part, "the list alone says the same"


def statements(client: FlaskClient, path: str, **headers: str) -> int:
    client.get(path, headers=headers)
    with counted(db.engine) as seen:
        assert client.get(path, headers=headers).status_code == 200
    return len(seen)


@pytest.mark.parametrize("number", [1, 25, 100])
def test_the_pages_take_few_statements_whatever_their_number(client: FlaskClient, ada: Someone, number: int) -> None:
    with_places(ada, 100)
    now = clock.business()
    with unit_of_work():
        for i in range(number):
            domains.add_own(ada.vendor_id, domain_names.parse(f"www.shop{i}.com"), actor=SYSTEM, now=now)
    # Who is at the door; the domains; the packages for mail.
    assert statements(client, f"/vendor/{ada.code}/domains") == 3
    assert statements(client, f"/vendor/{ada.code}/domains", **PARTIAL) == 2


def test_the_page_without_a_name_takes_few_statements(client: FlaskClient) -> None:
    who = people.sign_up(client, tier="essential")
    # Who is at the door; the domains; the plan; what is sold; what was dismissed.
    assert statements(client, f"/vendor/{who.code}/domains") <= 6
    # Who is at the door; the mailboxes; the packages; what is used.
    assert statements(client, f"/vendor/{who.code}/mailboxes") <= 6


def test_members_look_and_managers_do(client: FlaskClient, ada: Someone, names: NameServer) -> None:
    """Who may do what is declared at the routes and tried for each in test_routes; here that the page agrees."""
    from portal.identity.models import Membership

    active(names, ada)
    with unit_of_work() as session:
        session.query(Membership).filter_by(vendor_id=ada.vendor_id).update({"role": "member"})
    told = page(client, ada)
    assert "Check now" in told and "Remove…" not in told and "Add a domain" not in told
