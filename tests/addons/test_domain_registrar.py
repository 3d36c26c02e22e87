"""A name is registered for the vendor: a guard on price, never twice, and what is not ours stays untouched."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.addons import availability
from portal.addons.domain_names import known
from portal.addons.models import Domain, ProvisioningRun, VendorAddon
from portal.addons.providers.registrar import add_hosts
from portal.addons.rules import RunKind
from portal.gateways import registrar
from portal.gateways.registrar import Host
from portal.kit import jobs
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.addons import factory
from tests.support import people
from tests.support.far_servers import Namecheap
from tests.support.name_server import NameServer
from tests.support.people import Someone
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
TARGET = "kilim-house.lumashop.com"
STEPS = ["note_domain", "check_name", "register_name", "set_records", "see_it_work"]


@pytest.fixture
def ada(client: FlaskClient) -> Someone:
    """A vendor."""
    return people.register("ada@example.com", business="Kilim House")


@pytest.fixture(autouse=True)
def _world(names: NameServer, account: Namecheap) -> Iterator[None]:
    """The registrar's zones are what DNS says."""
    account.taken.add("apple.com")
    yield


def buys(who: Someone, name: str = "myshop.com", how: str = "register") -> tuple[int, int]:
    product = factory.product("domain", grants={"domains": 1})
    addon = factory.addon(who.vendor_id, product, name=name, shown=name, how=how)
    run = factory.begin(addon)
    jobs.run_all()
    return addon, run


def publish(account: Namecheap, names: NameServer, name: str = "myshop.com") -> None:
    """The registrar's name servers say what is in the zone; an ALIAS is resolved to addresses."""
    for host in account.zones[name]:
        full = name if host["HostName"] == "@" else f"{host['HostName']}.{name}"
        if host["RecordType"] == "ALIAS":
            names.set(full, "A", *names.records[host["Address"].rstrip("."), "A"])
        elif host["RecordType"] in ("A", "TXT", "CNAME"):
            names.set(full, host["RecordType"], host["Address"].rstrip("."))


def retry(travel: Travel, **gap: float) -> None:
    travel.on(**gap)
    factory.tend()


def domain() -> Domain:
    db.session.rollback()
    return db.session.scalars(select(Domain).execution_options(populate_existing=True)).one()


def newest_run(addon: int, kind: RunKind) -> int:
    db.session.rollback()
    wanted = select(ProvisioningRun.id).where(ProvisioningRun.vendor_addon_id == addon, ProvisioningRun.kind == kind)
    return db.session.scalars(wanted.order_by(ProvisioningRun.id.desc())).first() or 0


def shown(run: int) -> dict[str, str]:
    return {step.code: step.state for step in factory.steps(run)}


def test_a_name_is_bought_pointed_here_and_works(
    ada: Someone, account: Namecheap, names: NameServer, travel: Travel
) -> None:
    addon, run = buys(ada)
    assert list(shown(run)) == STEPS and factory.states(run) == ["done", "done", "done", "done", "retrying"]
    assert account.count("domains.create") == 1
    assert domain().state == "registering" and domain().registered_until == datetime(2028, 1, 15, tzinfo=UTC)
    zone = {(h["HostName"], h["RecordType"]): h["Address"] for h in account.zones["myshop.com"]}
    assert zone["@", "ALIAS"] == f"{TARGET}." and zone["www", "CNAME"] == f"{TARGET}."
    assert zone["_vendor-portal", "TXT"].endswith(domain().token)
    assert not any("parking" in address for address in zone.values()), "the registrar's parking page is gone"
    publish(account, names)
    retry(travel, minutes=11)
    assert factory.states(run) == ["done"] * 5 and factory.addon_row(addon).status == "active"
    assert (domain().state, domain().is_primary) == ("active", True)


@pytest.mark.parametrize("what", ["lost", "junk", "down"])
def test_a_registrar_whose_answer_is_lost_after_registering_does_not_register_twice(
    ada: Someone, account: Namecheap, travel: Travel, what: str
) -> None:
    """Tried once with a ``find`` that never finds: the registrar then refuses the second one as taken."""
    account.mischief["domains.create"] = what
    _addon, run = buys(ada)
    assert shown(run)["register_name"] == "retrying"
    retry(travel, minutes=2)
    assert shown(run)["register_name"] == "done"
    # The work was done once before the answer was lost; when the server was down, it was done by the second call.
    assert account.count("domains.create") == 1 and list(account.owned) == ["myshop.com"]
    assert account.commands().count("domains.getInfo") >= 2


def test_a_name_that_is_taken_meanwhile_is_not_bought(ada: Someone, account: Namecheap) -> None:
    _addon, run = buys(ada, "apple.com")
    assert shown(run)["check_name"] == "failed" and account.count("domains.create") == 0
    assert factory.run_row(run).state == "failed" and domain().state == "pending"
    assert "taken" in factory.logged(run)[-1] or any("taken" in line for line in factory.logged(run))


def test_a_name_that_somebody_takes_between_question_and_purchase(ada: Someone, account: Namecheap) -> None:
    real = account.answer

    def snatched(fields: dict[str, str]) -> str:
        if fields["Command"] == "namecheap.domains.create":
            account.taken.add("myshop.com")
        return real(fields)

    account.answer = snatched  # type: ignore[method-assign]
    _addon, run = buys(ada)
    assert shown(run)["register_name"] == "failed" and account.owned == {}


@pytest.mark.parametrize(
    ("price", "bought"),
    [
        # With 0.20 on top: 20.00 is what the operator allows, 20.01 is more.
        ("19.80", 1),
        ("19.81", 0),
        ("1200.00", 0),
    ],
)
def test_a_name_above_the_operators_highest_price_is_not_bought(
    ada: Someone, account: Namecheap, price: str, bought: int
) -> None:
    account.prices["com"] = price
    buys(ada)
    assert account.count("domains.create") == bought


def test_a_price_that_rises_between_question_and_purchase_is_refused(ada: Someone, account: Namecheap) -> None:
    real, asked = account.answer, []

    def rising(fields: dict[str, str]) -> str:
        if fields["Command"] == "namecheap.users.getPricing":
            asked.append(1)
            account.prices["com"] = "10.28" if len(asked) == 1 else "99.00"
        return real(fields)

    account.answer = rising  # type: ignore[method-assign]
    _addon, run = buys(ada)
    assert shown(run)["check_name"] == "done" and shown(run)["register_name"] == "failed"
    assert account.count("domains.create") == 0


def test_a_premium_name_is_refused(ada: Someone, account: Namecheap) -> None:
    account.premium.add("shop.com")
    _addon, run = buys(ada, "shop.com")
    assert shown(run)["check_name"] == "failed" and account.count("domains.create") == 0


def test_a_name_that_is_in_the_account_before_is_nobodys_to_hand_out(ada: Someone, account: Namecheap) -> None:
    account.owned["myshop.com"] = "01/15/2028"
    _addon, run = buys(ada)
    assert shown(run)["check_name"] == "waiting_staff" and account.count("domains.create") == 0


def test_two_vendors_want_one_name_and_one_gets_it(ada: Someone, account: Namecheap) -> None:
    bob = people.register("bob@example.com", business="Bob's Bikes", name="Bob")
    buys(ada)
    _addon, run = buys(bob)
    assert shown(run)["check_name"] in ("waiting_staff", "failed") and account.count("domains.create") == 1
    with unit_of_work():
        held = db.session.scalars(select(Domain.vendor_id).where(Domain.state == "registering")).all()
    assert held == [ada.vendor_id]


def test_a_provider_that_is_down_for_a_day_is_met_again(ada: Someone, account: Namecheap, travel: Travel) -> None:
    account.error = ("5050900", "Unhandled exceptions")
    _addon, run = buys(ada)
    for hours in (1, 4, 8, 12):
        retry(travel, hours=hours)
    assert shown(run)["check_name"] == "retrying"
    account.error = None
    retry(travel, hours=13)
    assert shown(run)["register_name"] == "done" and account.count("domains.create") == 1


def test_records_of_others_in_the_zone_stay(ada: Someone, account: Namecheap) -> None:
    buys(ada)
    account.zones["myshop.com"] = [
        {"HostName": "@", "RecordType": "MX", "Address": "mx.other.com.", "MXPref": "10"},
        {"HostName": "www", "RecordType": "A", "Address": "198.51.100.1", "MXPref": "10"},
    ]
    found = registrar.current()
    assert found is not None
    add_hosts(found, known("myshop.com"), [Host("CNAME", "www", TARGET), Host("TXT", "@", "hello")])
    there = {(h["HostName"], h["RecordType"]) for h in account.zones["myshop.com"]}
    assert there == {("www", "CNAME"), ("@", "TXT"), ("@", "MX")}


def test_what_the_vendor_has_already_is_not_registered(ada: Someone, account: Namecheap) -> None:
    _addon, run = buys(ada, how="own")
    assert list(shown(run)) == ["note_domain", "prove_and_point"] and account.calls == []


def test_an_international_name_is_registered_by_hand(ada: Someone, account: Namecheap) -> None:
    _addon, run = buys(ada, "xn--bcher-kva.de")
    assert list(shown(run)) == ["by_hand"] and account.calls == []


def test_only_the_registered_part_is_bought(ada: Someone, account: Namecheap) -> None:
    buys(ada, "www.myshop.com")
    assert list(account.owned) == ["myshop.com"]
    zone = {(h["HostName"], h["RecordType"]) for h in account.zones["myshop.com"]}
    assert ("www", "CNAME") in zone and ("_vendor-portal.www", "TXT") in zone


def renewed(account: Namecheap, names: NameServer, travel: Travel, who: Someone) -> tuple[int, int]:
    addon, run = buys(who)
    publish(account, names)
    retry(travel, minutes=11)
    assert factory.addon_row(addon).status == "active"
    return addon, run


@pytest.mark.thorough
def test_a_name_is_renewed_before_its_year_ends_and_only_once(
    ada: Someone, account: Namecheap, names: NameServer, travel: Travel
) -> None:
    renewed(account, names, travel, ada)
    account.mischief["domains.renew"] = "lost"
    # Paid for until 15 January 2028; thirty days before that is 16 December 2027.
    travel.to(datetime(2027, 12, 15, tzinfo=UTC))
    factory.tend()
    assert account.count("domains.renew") == 0
    travel.to(datetime(2027, 12, 17, tzinfo=UTC))
    factory.tend()
    for _ in range(4):
        retry(travel, hours=6)
    assert account.count("domains.renew") == 1 and account.owned["myshop.com"] == "01/15/2029"
    assert domain().registered_until == datetime(2029, 1, 15, tzinfo=UTC)
    retry(travel, days=2)
    assert account.count("domains.renew") == 1


def test_a_name_whose_add_on_ends_before_is_not_renewed(
    ada: Someone, account: Namecheap, names: NameServer, travel: Travel
) -> None:
    addon, _run = renewed(account, names, travel, ada)
    with unit_of_work() as session:
        row = session.get_one(VendorAddon, addon)
        row.cancel_at_period_end, row.ends_at = True, datetime(2028, 1, 15, tzinfo=UTC)
    travel.to(datetime(2027, 12, 17, tzinfo=UTC))
    factory.tend()
    assert account.count("domains.renew") == 0


def test_a_renewal_above_the_highest_price_waits_for_a_person(
    ada: Someone, account: Namecheap, names: NameServer, travel: Travel
) -> None:
    addon, _run = renewed(account, names, travel, ada)
    account.renewals["com"] = "80.00"
    travel.to(datetime(2027, 12, 17, tzinfo=UTC))
    factory.tend()
    retry(travel, minutes=2)
    assert account.count("domains.renew") == 0
    newest = newest_run(addon, RunKind.CHANGE)
    assert factory.states(newest) == ["waiting_staff"]


# Availability ---------------------------------------------------------------------------------------------------------
def answer(who: Someone, typed: str) -> str:
    return availability.ask(who.vendor_id, typed).answer


def test_what_is_known_of_a_name_while_somebody_types(ada: Someone, account: Namecheap) -> None:
    account.premium.add("shop.com")
    account.prices["net"] = "80.00"
    assert answer(ada, "myshop.com") == "free"
    assert answer(ada, "apple.com") == "taken"
    assert answer(ada, "shop.com") == "special"
    assert answer(ada, "myshop.net") == "too_dear"
    assert answer(ada, "myshop.museum") == "by_hand"
    assert answer(ada, "bücher.de") == "by_hand"


def test_an_answer_is_believed_for_a_while(ada: Someone, account: Namecheap) -> None:
    for _ in range(5):
        answer(ada, "myshop.com")
        answer(ada, "www.myshop.com")
    assert account.count("domains.check") == 1


def test_a_registrar_that_is_away_leaves_it_unknown(ada: Someone, account: Namecheap) -> None:
    account.mischief["domains.check"] = "down"
    assert answer(ada, "myshop.com") == "unknown"
    assert answer(ada, "myshop.com") == "free", "silence is not remembered"


def test_what_is_mine_or_held_here_needs_no_registrar(ada: Someone, account: Namecheap) -> None:
    buys(ada, "myshop.com")
    account.calls.clear()
    bob = people.register("bob@example.com", business="Bob's Bikes", name="Bob")
    assert answer(ada, "myshop.com") == "mine" and answer(bob, "myshop.com") == "held"
    assert account.calls == []


def test_without_a_registrar_names_are_asked_for_by_hand(ada: Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar, "_current", None)
    assert answer(ada, "myshop.com") == "by_hand"
    _addon, run = buys(ada)
    assert list(shown(run)) == ["by_hand"]
