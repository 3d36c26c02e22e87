"""The registrar's API over real HTTP: its shapes, its refusals, and answers that never come."""

import logging
from datetime import UTC, datetime

import pytest

from portal.gateways.registrar import Host, NameTaken, Registrar, RegistrarRefused
from portal.kit.errors import Unavailable
from portal.kit.money import Money
from portal.kit.unit_of_work import UnitOfWorkError, unit_of_work
from tests.support import far_servers
from tests.support.far_servers import Namecheap
from tests.support.outside import registrar_config


def test_a_free_name_has_a_price_with_what_comes_on_top(registrar: Registrar, account: Namecheap) -> None:
    quote = registrar.quote("myshop.com", "com")
    # 10.28 for the year and 0.20 for ICANN: 10.48 dollars.
    assert (quote.available, quote.premium, quote.price) == (True, False, Money(1048, "USD"))
    _, asked = account.calls[-1]
    assert (asked["ProductType"], asked["ActionName"], asked["ProductName"]) == ("DOMAIN", "REGISTER", "COM")
    assert (asked["ApiUser"], asked["UserName"], asked["ClientIp"]) == ("shop", "shop", "203.0.113.5")


def test_a_taken_name_and_one_at_a_special_price_have_none(registrar: Registrar, account: Namecheap) -> None:
    account.taken.add("apple.com")
    account.premium.add("shop.com")
    assert registrar.quote("apple.com", "com").price is None
    special = registrar.quote("shop.com", "com")
    assert (special.available, special.premium, special.price) == (True, True, None)
    assert account.count("users.getPricing") == 0


def test_a_price_is_rounded_up(registrar: Registrar, account: Namecheap) -> None:
    account.prices["com"] = "10.2834"
    # 10.2834 + 0.20 = 10.4834, and a guard must not think a name cheaper than it is: 10.49.
    assert registrar.quote("myshop.com", "com").price == Money(1049, "USD")


def test_an_end_that_is_not_sold_is_refused(registrar: Registrar) -> None:
    with pytest.raises(RegistrarRefused) as refused:
        registrar.quote("myshop.museum", "museum")
    assert refused.value.params["number"] == "2011298"


def test_registering_names_the_operator_in_every_role(registrar: Registrar, account: Namecheap) -> None:
    made = registrar.create("myshop.com")
    assert (made.name, made.reference, made.charged) == ("myshop.com", "57582", Money(1048, "USD"))
    _, sent = account.calls[-1]
    for role in ("Registrant", "Tech", "Admin", "AuxBilling"):
        assert sent[f"{role}EmailAddress"] == "names@platform.example" and sent[f"{role}Country"] == "AT"
    assert (sent["Years"], sent["AddFreeWhoisguard"], sent["WGEnabled"]) == ("1", "yes", "yes")
    there = registrar.registered("myshop.com")
    assert there is not None and there.until == datetime(2028, 1, 15, tzinfo=UTC)


def test_a_name_of_somebody_else_cannot_be_had(registrar: Registrar, account: Namecheap) -> None:
    account.taken.add("apple.com")
    assert registrar.registered("apple.com") is None
    with pytest.raises(NameTaken):
        registrar.create("apple.com")


@pytest.mark.parametrize("number", ["2019166", "2016166", "2030166"])
def test_what_is_not_in_our_account_is_not_ours(registrar: Registrar, account: Namecheap, number: str) -> None:
    account.error = (number, "no")
    assert registrar.registered("myshop.com") is None


def test_records_are_set_and_read_again(registrar: Registrar, account: Namecheap) -> None:
    registrar.create("myshop.com")
    assert [h.kind for h in registrar.hosts("myshop.com", "com")] == ["CNAME", "URL"]
    wanted = [
        Host("A", "@", "203.0.113.9"),
        Host("CNAME", "www", "myshop.platform.example"),
        Host("TXT", "_proof", 'v="1"; a=b & <c>'),
        Host("MX", "@", "mail.platform.example", 10),
    ]
    registrar.set_hosts("myshop.com", "com", wanted)
    assert registrar.hosts("myshop.com", "com") == wanted
    _, sent = account.calls[-2]
    assert sent["Address2"] == "myshop.platform.example." and sent["EmailType"] == "MX"
    assert (sent["SLD"], sent["TLD"]) == ("myshop", "com")


def test_a_suffix_of_two_words_is_split_where_it_begins(registrar: Registrar, account: Namecheap) -> None:
    with pytest.raises(RegistrarRefused):
        registrar.hosts("myshop.co.uk", "co.uk")
    _, sent = account.calls[-1]
    assert (sent["SLD"], sent["TLD"]) == ("myshop", "co.uk")


def test_renewing_asks_for_the_price_of_renewing(registrar: Registrar, account: Namecheap) -> None:
    registrar.create("myshop.com")
    # 14.98 and 0.20.
    assert registrar.renewal_price("com") == Money(1518, "USD")
    registrar.renew("myshop.com")
    there = registrar.registered("myshop.com")
    assert there is not None and there.until == datetime(2029, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize("what", ["lost", "down", "junk"])
def test_an_answer_that_is_lost_or_spoiled_leaves_the_outcome_open(
    registrar: Registrar, account: Namecheap, what: str
) -> None:
    account.mischief["domains.create"] = what
    with pytest.raises(Unavailable):
        registrar.create("myshop.com")
    assert ("myshop.com" in account.owned) is (what != "down")


def test_nobody_there_is_unavailable() -> None:
    nobody = Registrar(registrar_config(Namecheap(url="http://127.0.0.1:9/xml.response")))
    with pytest.raises(Unavailable):
        nobody.quote("myshop.com", "com")


@pytest.mark.parametrize(("number", "code"), [("1011150", "registrar_key"), ("5050900", "registrar_unavailable")])
def test_a_refused_key_and_their_own_faults_are_tried_again(
    registrar: Registrar, account: Namecheap, number: str, code: str
) -> None:
    account.error = (number, "Invalid request IP: 203.0.113.5")
    with pytest.raises(Unavailable) as refused:
        registrar.quote("myshop.com", "com")
    assert refused.value.code == code


def test_an_entity_in_an_answer_is_not_followed(registrar: Registrar, account: Namecheap) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><ApiResponse Status="OK">&x;</ApiResponse>'
    account.answer = lambda fields: bomb  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        registrar.quote("myshop.com", "com")


def test_the_key_is_in_no_error_and_no_log(
    registrar: Registrar, account: Namecheap, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    account.mischief = {"domains.check": "down"}
    with pytest.raises(Unavailable) as refused:
        registrar.quote("myshop.com", "com")
    told = f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r} {caplog.text}"
    assert far_servers.API_KEY not in told


def test_nobody_waits_for_it_with_a_transaction_open(registrar: Registrar) -> None:
    with unit_of_work(), pytest.raises(UnitOfWorkError):
        registrar.quote("myshop.com", "com")
