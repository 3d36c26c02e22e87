"""A vendor's domains: added within its places, proven by real DNS, watched, fought over, given up."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.addons import domain_checks, domain_names, domains
from portal.addons.domain_rules import Standing
from portal.addons.models import Domain
from portal.addons.rules import DomainState, RunKind
from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.entitlements import service as entitlements
from portal.entitlements.refusals import LimitReached
from portal.gateways import dns, outgoing
from portal.gateways.dns import Dns
from portal.kit import clock, jobs, tenancy
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound, TooMany
from portal.kit.periodic import insert_due
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhooks
from portal.notifications.models import SentMail, WebhookDelivery
from tests.addons import factory
from tests.support import name_server, people
from tests.support.name_server import NameServer
from tests.support.people import Someone
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
TARGET = "kilim-house.lumashop.com"


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    """A vendor with two places for names of its own."""
    return with_places(people.register("ada@example.com", business="Kilim House"), 2)


@pytest.fixture
def bob(client: FlaskClient) -> Someone:
    """Another one."""
    return with_places(people.register("bob@example.com", business="Bob's Bikes", name="Bob"), 2)


def with_places(who: Someone, places: int) -> Someone:
    with unit_of_work():
        entitlements.grant_addon(who.vendor_id, f"test:{places}", {"domains": places}, now=clock.business())
    return who


def add(who: Someone, name: str = "www.myshop.com") -> int:
    with unit_of_work():
        parsed = domain_names.parse(name)
        return domains.add_own(who.vendor_id, parsed, actor=SYSTEM, now=clock.business()).id


def row(domain_id: int) -> Domain:
    db.session.rollback()
    return db.session.scalars(
        select(Domain).where(Domain.id == domain_id).execution_options(populate_existing=True)
    ).one()


def set_records(names: NameServer, domain_id: int, target: str = TARGET) -> None:
    """What the vendor sets at its own registrar."""
    domain = row(domain_id)
    names.set(f"_vendor-portal.{domain.name}", "TXT", f"vendor-portal-verification={domain.token}")
    names.set(domain.name, "CNAME", target)


def look(domain_id: int) -> str:
    domain = row(domain_id)
    return domain_checks.look(domain.vendor_id, domain_id, now=clock.business()).state


def active(names: NameServer, who: Someone, name: str = "www.myshop.com") -> int:
    domain_id = add(who, name)
    set_records(names, domain_id, f"{who.code}.lumashop.com")
    assert look(domain_id) == "active"
    jobs.run_all()
    return domain_id


def used(who: Someone) -> int:
    return gate.check(who.vendor_id, Metric.DOMAINS, 0, now=clock.business()).used


def mails(kind: str) -> list[SentMail]:
    return list(db.session.scalars(select(SentMail).where(SentMail.kind == kind)))


def pass_time(travel: Travel, until: timedelta, step: timedelta = timedelta(hours=2)) -> None:
    """Let the periodic looks, and no other periodic task, happen while time goes on."""
    end = clock.business() + until
    while clock.business() < end:
        travel.on(seconds=step.total_seconds())
        with unit_of_work():
            domain_checks.enqueue_due(now=clock.business())
        jobs.run_all()


def test_a_name_takes_a_place_and_gives_it_back(
    ada: Someone, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "fault", lambda _url: None)
    first, _second = add(ada), add(ada, "myshop.de")
    assert used(ada) == 2
    with pytest.raises(LimitReached):
        add(ada, "myshop.at")
    with unit_of_work():
        webhooks.add(None, "https://shop.example/hooks", ["domain.changed"], actor=SYSTEM, now=clock.business())
        domains.remove(ada.vendor_id, first, actor=SYSTEM, now=clock.business())
    with unit_of_work():
        domains.remove(ada.vendor_id, first, actor=SYSTEM, now=clock.business())
    assert used(ada) == 1 and row(first).state == "removed"
    assert [told.payload["data"]["change"] for told in db.session.query(WebhookDelivery)] == ["removed"]
    add(ada, "myshop.at")
    assert used(ada) == 2


def test_a_name_that_was_removed_can_be_added_again_with_another_proof(ada: Someone, names: NameServer) -> None:
    first = add(ada)
    with unit_of_work():
        domains.remove(ada.vendor_id, first, actor=SYSTEM, now=clock.business())
    second = add(ada)
    assert second != first and row(second).token != row(first).token and used(ada) == 1


def test_the_same_name_twice_is_refused_at_its_field(ada: Someone, names: NameServer) -> None:
    add(ada)
    with pytest.raises(Invalid) as refused:
        add(ada, "WWW.MyShop.com.")
    assert list(refused.value.fields) == ["domain"] and used(ada) == 1


def test_a_name_works_when_its_proof_stands_and_it_leads_here(ada: Someone, names: NameServer) -> None:
    domain_id = add(ada)
    assert look(domain_id) == "pending"
    names.set("www.myshop.com", "CNAME", TARGET)
    assert look(domain_id) == "pending"
    assert [r["verdict"] for r in (row(domain_id).checks or {})["records"]] == ["missing", "found"]
    set_records(names, domain_id)
    assert look(domain_id) == "active"
    found = row(domain_id)
    assert found.is_primary and found.verified_at is not None
    (mail,) = mails("domain_active")
    assert mail.recipient == "ada@example.com" and mail.params["domain"] == "www.myshop.com"


def test_the_look_happens_by_itself(ada: Someone, names: NameServer, travel: Travel) -> None:
    domain_id = add(ada)
    jobs.run_all()
    assert row(domain_id).state == "pending"
    set_records(names, domain_id)
    travel.on(minutes=3)
    with unit_of_work():
        insert_due()
    jobs.run_all()
    jobs.run_all()
    assert row(domain_id).state == "active"


@pytest.mark.parametrize("says", ["SERVFAIL", "silence"])
def test_dns_that_does_not_answer_moves_nothing(
    ada: Someone, names: NameServer, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    monkeypatch.setattr(dns, "PATIENCE", 0.2)
    domain_id = active(names, ada)
    names.says = says
    assert look(domain_id) == "active"
    found = row(domain_id)
    assert found.failing_since is None
    assert {r["why"] for r in (found.checks or {})["records"]} == {"timeout" if says == "silence" else "servfail"}


def test_one_resolver_that_lies_for_an_hour_changes_nothing(
    ada: Someone, names: NameServer, travel: Travel, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain_id = active(names, ada)
    travel.on(days=1)
    with name_server.serving() as liar:  # it knows of nothing
        monkeypatch.setattr(dns, "_current", Dns((liar.address, names.address)))
        assert look(domain_id) == "active" and row(domain_id).failing_since is None
        # Even when it is the only one: an hour of misses is not enough (tried with MISSES = 1 and no hours: it fails).
        monkeypatch.setattr(dns, "_current", Dns((liar.address,)))
        for _ in range(4):
            assert look(domain_id) == "active"
            travel.on(minutes=20)
    monkeypatch.setattr(dns, "_current", Dns((names.address,)))
    assert look(domain_id) == "active" and row(domain_id).failing_since is None
    assert mails("domain_failing") == []


def test_records_that_are_gone_are_told_after_two_days_and_so_is_their_return(
    ada: Someone, names: NameServer, travel: Travel
) -> None:
    domain_id = active(names, ada)
    names.forget("www.myshop.com")
    names.set("www.myshop.com", "CNAME", "parking.elsewhere.com")
    # The daily look comes within a day; from the first miss six hours until it is failing.
    pass_time(travel, timedelta(hours=34))
    assert row(domain_id).state == "failing" and mails("domain_failing") == []
    pass_time(travel, timedelta(hours=48))
    (mail,) = mails("domain_failing")
    assert mail.params["domain"] == "www.myshop.com"
    pass_time(travel, timedelta(days=3), timedelta(hours=6))
    assert len(mails("domain_failing")) == 1, "told once"
    set_records(names, domain_id)
    pass_time(travel, timedelta(days=1, hours=2))
    assert row(domain_id).state == "active" and row(domain_id).failing_since is None
    assert len(mails("domain_back")) == 1


def test_a_name_is_held_by_who_proves_it_and_nobody_learns_of_others_before(
    ada: Someone, bob: Someone, names: NameServer
) -> None:
    bobs, adas = add(bob), add(ada)  # a mere claim keeps nobody out
    set_records(names, adas)
    assert look(adas) == "active"
    assert look(bobs) == "pending" and not (row(bobs).checks or {}).get("held")
    names.set("_vendor-portal.www.myshop.com", "TXT", f"vendor-portal-verification={row(bobs).token}",
              f"vendor-portal-verification={row(adas).token}")  # fmt: skip
    names.set("www.myshop.com", "A", "203.0.113.9")
    names.set(f"{bob.code}.lumashop.com", "A", "203.0.113.9")
    names.records.pop(("www.myshop.com", "CNAME"))
    assert look(bobs) == "pending" and (row(bobs).checks or {})["held"] is True
    assert row(adas).state == "active"


def test_a_name_that_its_holder_lets_go_is_taken_over_by_its_new_owner(
    ada: Someone, bob: Someone, names: NameServer, travel: Travel
) -> None:
    adas, bobs = active(names, ada), add(bob)
    set_records(names, bobs, f"{bob.code}.lumashop.com")  # the name was sold: its records are Bob's now
    assert look(bobs) == "pending" and (row(bobs).checks or {})["held"] is True
    # Ada's is failing within 33 hours; Bob's proven claim is looked at daily: at 24 hours in vain, at 48 it is his.
    pass_time(travel, timedelta(hours=50))
    assert row(adas).state == "failed" and (row(adas).checks or {})["lost"] is True and not row(adas).is_primary
    assert row(bobs).state == "active" and row(bobs).is_primary
    (mail,) = mails("domain_lost")
    assert mail.recipient == "ada@example.com"


def test_a_look_that_is_older_than_what_happened_since_changes_nothing(ada: Someone, names: NameServer) -> None:
    domain_id = add(ada)
    standing = Standing(DomainState.PENDING, None)
    set_records(names, domain_id)
    look(domain_id)
    with unit_of_work():
        domains.record_look(domain_id, ada.vendor_id, [], DomainState.PENDING, standing, now=clock.business())
    assert row(domain_id).state == "active"


def test_only_a_name_that_works_can_be_the_main_one(ada: Someone, names: NameServer) -> None:
    first, second = active(names, ada), add(ada, "www.myshop.de")
    now = clock.business()
    with pytest.raises(Conflict), unit_of_work():
        domains.choose_primary(ada.vendor_id, second, actor=SYSTEM, now=now)
    assert row(first).is_primary
    set_records(names, second)
    assert look(second) == "active" and not row(second).is_primary
    with unit_of_work():
        domains.choose_primary(ada.vendor_id, second, actor=SYSTEM, now=now)
    assert (row(first).is_primary, row(second).is_primary) == (False, True)
    with unit_of_work():
        domains.choose_primary(ada.vendor_id, None, actor=SYSTEM, now=now)
    assert (row(first).is_primary, row(second).is_primary) == (False, False)


def test_another_vendors_domain_is_nothing_here(ada: Someone, bob: Someone, names: NameServer) -> None:
    domain_id = add(ada)
    now = clock.business()
    for act in (
        lambda: domains.remove(bob.vendor_id, domain_id, actor=SYSTEM, now=now),
        lambda: domains.choose_primary(bob.vendor_id, domain_id, actor=SYSTEM, now=now),
    ):
        with pytest.raises(NotFound), unit_of_work():
            act()
    with pytest.raises(NotFound):
        domain_checks.look(bob.vendor_id, domain_id, now=now)


def test_clicks_on_check_now_are_limited(ada: Someone, names: NameServer, travel: Travel) -> None:
    domain_id = add(ada)
    domain_checks.look_by_hand(ada.vendor_id, domain_id, now=clock.business())
    asked = len(names.asked)
    with pytest.raises(TooMany):
        domain_checks.look_by_hand(ada.vendor_id, domain_id, now=clock.business())
    assert len(names.asked) == asked
    travel.on(seconds=16)
    domain_checks.look_by_hand(ada.vendor_id, domain_id, now=clock.business())


def test_an_international_name_is_asked_for_as_dns_knows_it(ada: Someone, names: NameServer) -> None:
    domain_id = active(names, ada, "www.BÜCHER.de")
    assert (row(domain_id).name, row(domain_id).shown) == ("www.xn--bcher-kva.de", "www.bücher.de")
    assert ("www.xn--bcher-kva.de", "CNAME", "udp") in names.asked


# The add-on -----------------------------------------------------------------------------------------------------------
def bought(who: Someone, name: str = "www.myshop.com", **config: Any) -> tuple[int, int]:
    """A domain add-on with its run."""
    product = factory.product("domain", grants={"domains": 1})
    addon = factory.addon(who.vendor_id, product, name=name, shown=name, **config)
    run = factory.begin(addon)
    jobs.run_all()
    return addon, run


def only_domain() -> Domain:
    db.session.rollback()
    alive = select(Domain).where(Domain.removed_at.is_(None))
    return db.session.scalars(alive.execution_options(populate_existing=True)).one()


def test_an_add_on_waits_for_the_vendor_and_goes_on_by_itself(
    client: FlaskClient, names: NameServer, travel: Travel
) -> None:
    who = people.register("ada@example.com")
    addon, run = bought(who)
    assert factory.states(run) == ["done", "waiting_vendor"]
    assert only_domain().vendor_addon_id == addon and only_domain().state == "pending"
    set_records(names, only_domain().id)
    pass_time(travel, timedelta(minutes=5), timedelta(minutes=1))
    assert factory.states(run) == ["done", "done"] and factory.addon_row(addon).status == "active"
    assert only_domain().state == "active"
    # Its place came with it, and it is in it: one of one.
    verdict = gate.check(who.vendor_id, Metric.DOMAINS, 0, now=clock.business())
    assert (verdict.used, verdict.limit) == (1, 1)
    assert mails("domain_active") == [], "the add-on's own mail tells"
    assert len(mails("addon_ready")) == 1


def test_an_add_on_that_ends_takes_its_name_with_it(client: FlaskClient, names: NameServer, travel: Travel) -> None:
    who = people.register("ada@example.com")
    addon, _run = bought(who)
    set_records(names, only_domain().id)
    pass_time(travel, timedelta(minutes=5), timedelta(minutes=1))
    domain_id = only_domain().id
    with pytest.raises(Conflict), unit_of_work():
        domains.remove(who.vendor_id, domain_id, actor=SYSTEM, now=clock.business())
    factory.begin(addon, RunKind.TEARDOWN)
    jobs.run_all()
    assert row(domain_id).state == "removed" and used(who) == 0


def test_an_add_on_that_was_never_ready_gives_nothing_back(client: FlaskClient, names: NameServer) -> None:
    # One name of its own is counted; the add-on's was not, so that ending it must leave the count at one.
    who = with_places(people.register("ada@example.com"), 1)
    add(who, "www.other.de")
    addon, _run = bought(who)
    factory.begin(addon, RunKind.TEARDOWN)
    jobs.run_all()
    assert used(who) == 1


def test_a_name_that_was_added_before_becomes_the_add_ons(ada: Someone, names: NameServer, travel: Travel) -> None:
    domain_id = active(names, ada)
    assert used(ada) == 1
    addon, run = bought(ada)
    assert row(domain_id).vendor_addon_id == addon
    assert factory.states(run) == ["done", "done"] and used(ada) == 1


def test_two_vendors_who_prove_one_name_in_the_same_moment(ada: Someone, bob: Someone, names: NameServer) -> None:
    """The database lets one hold it; the other one's look is recorded once more (tried without: IntegrityError)."""
    adas, bobs = add(ada), add(bob)
    set_records(names, adas)
    names.set("_vendor-portal.www.myshop.com", "TXT", f"vendor-portal-verification={row(bobs).token}",
              f"vendor-portal-verification={row(adas).token}")  # fmt: skip
    names.set("www.myshop.com", "A", "203.0.113.9")
    names.set(f"{bob.code}.lumashop.com", "A", "203.0.113.9")
    names.records.pop(("www.myshop.com", "CNAME"))
    real, seen = domains._holder, []

    def blind_once(domain: Domain) -> Domain | None:
        """What the second of two at once sees: nobody, since the first has not committed."""
        seen.append(domain.id)
        return None if seen.count(bobs) == 1 and domain.id == bobs else real(domain)

    assert look(adas) == "active"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(domains, "_holder", blind_once)
        assert look(bobs) == "pending"
    assert seen.count(bobs) == 2 and (row(bobs).checks or {})["held"] is True
    with tenancy.unscoped("a test"):
        held = select(Domain.id).where(Domain.name == "www.myshop.com", Domain.state == "active")
        assert db.session.scalars(held).all() == [adas]
