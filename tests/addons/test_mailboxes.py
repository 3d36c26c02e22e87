"""Mail at a vendor's domain: the package is set up at the host, then mailboxes are made one by one."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.addons import mailbox_queries, mailboxes
from portal.addons.models import Domain, Mailbox, VendorAddon
from portal.addons.rules import RunKind
from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.entitlements import service as entitlements
from portal.entitlements.refusals import LimitReached
from portal.gateways import mailboxes as gateway
from portal.kit import clock, crypto, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from tests.addons import factory
from tests.addons.test_domains import active, with_places
from tests.support import people
from tests.support.far_servers import Mailcow
from tests.support.name_server import NameServer
from tests.support.people import Someone
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
SECRET = "violet-harbour-quartz-4711"


@pytest.fixture
def ada(client: FlaskClient, names: NameServer, mailcow: Mailcow) -> Someone:
    """A vendor whose own domain works."""
    who = with_places(people.register("ada@example.com", business="Kilim House"), 1)
    active(names, who)
    return who


def domain_of(who: Someone) -> Domain:
    db.session.rollback()
    alive = (Domain.vendor_id == who.vendor_id, Domain.removed_at.is_(None))
    return db.session.scalars(select(Domain).where(*alive).execution_options(populate_existing=True)).one()


def package(who: Someone, size: int = 2) -> tuple[int, int]:
    """An email package for that many, with its run."""
    product = factory.product("mailboxes", grants={"mailboxes": size})
    domain = domain_of(who)
    addon = factory.addon(who.vendor_id, product, domain_id=domain.id, name=domain.name, shown=domain.shown)
    run = factory.begin(addon)
    jobs.run_all()
    return addon, run


def set_mail_records(names: NameServer, who: Someone) -> None:
    """What the vendor sets for mail."""
    domain = domain_of(who)
    mail = (domain.checks or {})["mail"]
    names.records.pop((domain.name, "CNAME"), None)  # beside a CNAME nothing may stand
    names.set(domain.name, "A", "203.0.113.9")
    names.set(domain.name, "MX", f"10 {mail['host']}")
    names.set(domain.name, "TXT", "v=spf1 mx ~all")
    names.set(f"{mail['selector']}._domainkey.{domain.name}", "TXT", mail["text"])


def ready(who: Someone, names: NameServer, travel: Travel, size: int = 2) -> int:
    """A package that is set up."""
    addon, run = package(who, size)
    set_mail_records(names, who)
    travel.on(hours=2)
    factory.tend()
    assert factory.states(run) == ["done"] * 3 and factory.addon_row(addon).status == "active"
    return addon


def make(who: Someone, local: str = "info", password: str = SECRET) -> int:
    wish = mailboxes.wish(local, "Info", password)
    with unit_of_work():
        return mailboxes.create(who.vendor_id, domain_of(who).id, wish, actor=SYSTEM, now=clock.business()).id


def box(mailbox_id: int) -> Mailbox:
    db.session.rollback()
    return db.session.scalars(
        select(Mailbox).where(Mailbox.id == mailbox_id).execution_options(populate_existing=True)
    ).one()


def used(who: Someone) -> int:
    return gate.check(who.vendor_id, Metric.MAILBOXES, 0, now=clock.business()).used


def test_a_package_is_set_up_step_by_step(ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel) -> None:
    addon, run = package(ada)
    assert factory.states(run) == ["done", "done", "waiting_vendor"]
    assert mailcow.domains == {"www.myshop.com": {"max_num_mboxes_for_domain": 2}}
    mail = (domain_of(ada).checks or {})["mail"]
    assert mail["host"] == "mail.platform.example" and mail["text"].startswith("v=DKIM1;")
    set_mail_records(names, ada)
    travel.on(hours=2)
    factory.tend()
    assert factory.states(run) == ["done"] * 3 and factory.addon_row(addon).status == "active"
    kept = {r["purpose"]: r["verdict"] for r in (domain_of(ada).checks or {})["records"]}
    assert kept == {"proof": "found", "point": "found", "mail": "found", "sender": "found", "signature": "found"}


@pytest.mark.parametrize("call", ["add/domain", "add/dkim"])
def test_an_answer_that_is_lost_makes_nothing_twice(ada: Someone, mailcow: Mailcow, travel: Travel, call: str) -> None:
    mailcow.mischief[call] = "lost"
    _addon, run = package(ada)
    assert "retrying" in factory.states(run)
    travel.on(minutes=2)
    factory.tend()
    assert factory.states(run)[:2] == ["done", "done"] and mailcow.count(call) == 1


def test_without_a_mail_server_the_package_is_a_task_for_staff(ada: Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_current", None)
    _addon, run = package(ada)
    assert factory.states(run) == ["waiting_staff"]


def test_mail_waits_for_a_domain_that_works(client: FlaskClient, names: NameServer, mailcow: Mailcow) -> None:
    from tests.addons.test_domains import add

    who = with_places(people.register("ada@example.com", business="Kilim House"), 1)
    add(who)
    _addon, run = package(who)
    assert factory.states(run)[0] == "waiting_vendor" and mailcow.calls == []


def test_a_mailbox_is_made_and_its_password_forgotten(
    ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel
) -> None:
    ready(ada, names, travel)
    made = make(ada)
    sealed = box(made).password
    assert box(made).state == "pending" and sealed and SECRET not in sealed
    jobs.run_all()
    assert (box(made).state, box(made).password) == ("active", None)
    assert mailcow.mailboxes["info@www.myshop.com"]["password"] == SECRET
    assert used(ada) == 1


def test_a_password_is_in_no_job_and_opens_nowhere_else(ada: Someone, names: NameServer, travel: Travel) -> None:
    ready(ada, names, travel)
    made = make(ada)
    told = [str(job.args) for job in db.session.scalars(select(OutboxJob))]
    assert not any(SECRET in args for args in told)
    sealed = box(made).password or ""
    with pytest.raises(crypto.CannotOpenError):
        crypto.unseal(sealed, bound_to=f"mailboxes.password:{made + 1}")


@pytest.mark.parametrize("what", ["lost", "down"])
def test_a_mailbox_is_never_made_twice(
    ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel, what: str
) -> None:
    ready(ada, names, travel)
    mailcow.mischief["add/mailbox"] = what
    made = make(ada)
    jobs.run_all()
    assert box(made).state == "pending" and box(made).password
    due_again(made)
    jobs.run_all()
    assert box(made).state == "active" and list(mailcow.mailboxes) == ["info@www.myshop.com"]
    assert mailcow.count("add/mailbox") == 1


def due_again(mailbox_id: int) -> None:
    """The job's gap is over."""
    with unit_of_work() as session:
        for job in session.scalars(select(OutboxJob).where(OutboxJob.state == "pending")):
            job.run_at = clock.wall() - timedelta(seconds=1)


def test_what_the_host_refuses_is_told_and_can_be_tried_again(
    ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(ada, names, travel)
    strict = [{"type": "danger", "msg": "password_complexity", "log": []}]
    real = mailcow._add_mailbox
    monkeypatch.setattr(mailcow, "_add_mailbox", lambda body: strict)
    made = make(ada)
    jobs.run_all()
    assert (box(made).state, box(made).password) == ("failed", None)
    assert box(made).error == "The mail server finds this password too weak."
    monkeypatch.setattr(mailcow, "_add_mailbox", real)
    with unit_of_work():
        mailboxes.new_password(ada.vendor_id, made, SECRET + "-2", actor=SYSTEM, now=clock.business())
    jobs.run_all()
    assert (box(made).state, box(made).error) == ("active", None)


def test_a_new_password_reaches_the_host(ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel) -> None:
    ready(ada, names, travel)
    made = make(ada)
    jobs.run_all()
    travel.on(minutes=1)
    with unit_of_work():
        mailboxes.new_password(ada.vendor_id, made, SECRET + "-2", actor=SYSTEM, now=clock.business())
    assert box(made).state == "active" and box(made).password
    jobs.run_all()
    assert mailcow.mailboxes["info@www.myshop.com"]["password"] == SECRET + "-2" and box(made).password is None


def test_a_full_package_makes_no_more_and_a_deleted_one_makes_room(
    ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel
) -> None:
    ready(ada, names, travel)
    first = make(ada, "info")
    make(ada, "sales")
    with pytest.raises(LimitReached):
        make(ada, "third")
    with unit_of_work():
        mailboxes.remove(ada.vendor_id, first, actor=SYSTEM, now=clock.business())
    assert used(ada) == 1
    # Its place is free, its address only when the host has deleted it: else the new one would be deleted.
    with pytest.raises(Invalid) as refused:
        make(ada, "info")
    assert refused.value.code == "mailbox_leaving" and used(ada) == 1
    jobs.run_all()
    assert list(mailcow.mailboxes) == ["sales@www.myshop.com"]
    make(ada, "info")
    jobs.run_all()
    assert sorted(mailcow.mailboxes) == ["info@www.myshop.com", "sales@www.myshop.com"]


def test_an_override_makes_room_at_the_host_too(
    ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel
) -> None:
    ready(ada, names, travel, size=1)
    with unit_of_work():
        entitlements.grant_addon(ada.vendor_id, "test:more", {"mailboxes": 1}, now=clock.business())
    make(ada, "info"), make(ada, "sales")
    jobs.run_all()
    assert len(mailcow.mailboxes) == 2 and mailcow.domains["www.myshop.com"]["max_num_mboxes_for_domain"] == 2


@pytest.mark.parametrize(
    ("local", "password", "field"),
    [
        ("", SECRET, "local"),
        ("in fo", SECRET, "local"),
        ("in@fo", SECRET, "local"),
        (".info", SECRET, "local"),
        ("in..fo", SECRET, "local"),
        ("info.", SECRET, "local"),
        ("ünfo", SECRET, "local"),
        ("x" * 65, SECRET, "local"),
        ("info", "short", "password"),
        ("info", "password123", "password"),
        ("info", "x" * 201, "password"),
    ],
)
def test_what_cannot_be_a_mailbox_is_refused_at_its_field(local: str, password: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        mailboxes.wish(local, "Info", password)
    assert list(refused.value.fields) == [field]


def test_the_same_address_twice_is_refused(ada: Someone, names: NameServer, travel: Travel) -> None:
    ready(ada, names, travel)
    make(ada, "Info")
    with pytest.raises(Invalid) as refused:
        make(ada, "info")
    assert list(refused.value.fields) == ["local"] and used(ada) == 1


def test_there_is_nothing_without_a_package(ada: Someone) -> None:
    with pytest.raises(Conflict):
        make(ada)


def test_another_vendors_mailbox_is_nothing_here(ada: Someone, names: NameServer, travel: Travel) -> None:
    ready(ada, names, travel)
    made = make(ada)
    bob = people.register("bob@example.com", business="Bob's Bikes", name="Bob")
    with pytest.raises(NotFound), unit_of_work():
        mailboxes.remove(bob.vendor_id, made, actor=SYSTEM, now=clock.business())
    with pytest.raises(NotFound), unit_of_work():
        mailboxes.new_password(bob.vendor_id, made, SECRET, actor=SYSTEM, now=clock.business())
    assert mailbox_queries.of_vendor(bob.vendor_id) == []


def test_a_larger_package_gets_more_room(ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel) -> None:
    addon = ready(ada, names, travel)
    with unit_of_work() as session:
        session.get_one(VendorAddon, addon).quantity = 3
    factory.begin(addon, RunKind.CHANGE)
    jobs.run_all()
    # Two mailboxes, three times.
    assert mailcow.domains["www.myshop.com"]["max_num_mboxes_for_domain"] == 6
    assert gate.check(ada.vendor_id, Metric.MAILBOXES, 0, now=clock.business()).limit == 6


def test_when_the_package_ends_its_mailboxes_go(
    ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel
) -> None:
    addon = ready(ada, names, travel)
    make(ada, "info"), make(ada, "sales")
    jobs.run_all()
    factory.begin(addon, RunKind.TEARDOWN)
    jobs.run_all()
    assert mailcow.mailboxes == {} and mailcow.domains == {}
    assert mailbox_queries.of_vendor(ada.vendor_id) == [] and used(ada) == 0
    assert "mail" not in (domain_of(ada).checks or {}) and domain_of(ada).state == "active"


def test_of_two_packages_the_other_one_stays(ada: Someone, mailcow: Mailcow, names: NameServer, travel: Travel) -> None:
    first = ready(ada, names, travel)
    second, run = package(ada)
    travel.on(hours=2)
    factory.tend()
    assert factory.states(run) == ["done"] * 3 and mailcow.domains["www.myshop.com"]["max_num_mboxes_for_domain"] == 4
    made = [make(ada, "info"), make(ada, "sales")]
    assert {box(each).vendor_addon_id for each in made} == {first, second}, "the emptier package takes it"
    jobs.run_all()
    factory.begin(first, RunKind.TEARDOWN)
    jobs.run_all()
    assert len(mailcow.mailboxes) == 1 and mailcow.domains["www.myshop.com"]["max_num_mboxes_for_domain"] == 2


def test_passwords_that_wait_are_sealed_anew(
    ada: Someone, client: FlaskClient, names: NameServer, travel: Travel
) -> None:
    ready(ada, names, travel)
    made = make(ada)
    before, old = box(made).password, client.application.extensions["portal_config"].sealing_keys
    crypto.configure([b"n" * 32, *old])
    try:
        with unit_of_work():
            assert mailboxes.reseal(0, 100) == (1, None)
        with unit_of_work():
            assert mailboxes.reseal(0, 100) == (0, None)
        assert box(made).password != before and mailboxes.password_of(box(made)) == SECRET
    finally:
        crypto.configure(old)
