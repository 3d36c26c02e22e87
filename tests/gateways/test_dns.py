"""DNS over real UDP and TCP: words and silence are told apart."""

import pytest

from config import Config
from portal.gateways import dns
from portal.gateways.dns import Answer, Dns, RecordType, Word
from tests.support import name_server
from tests.support.name_server import NameServer


def test_every_kind_of_record_is_written_as_people_write_it(resolver: Dns, names: NameServer) -> None:
    names.set("myshop.test", "A", "203.0.113.9", "203.0.113.10")
    names.set("myshop.test", "AAAA", "2001:db8::9")
    names.set("myshop.test", "MX", "10 Mail.Platform.Test")
    names.set("www.myshop.test", "CNAME", "MyShop.Platform.Test")
    names.set("_proof.myshop.test", "TXT", "vendor=abc", "x" * 450)
    said = {kind: resolver.ask("myshop.test", kind)[0].values for kind in ("A", "AAAA", "MX")}
    assert sorted(said["A"]) == ["203.0.113.10", "203.0.113.9"]
    assert (said["AAAA"], said["MX"]) == (("2001:db8::9",), ("10 mail.platform.test",))
    assert resolver.ask("www.myshop.test", "CNAME") == (Answer(Word.FOUND, ("myshop.platform.test",)),)
    # A text longer than 255 bytes comes in pieces and is one text again.
    assert sorted(resolver.ask("_proof.myshop.test", "TXT")[0].values) == ["vendor=abc", "x" * 450]


def test_a_cname_is_followed_to_its_addresses(resolver: Dns, names: NameServer) -> None:
    names.set("www.myshop.test", "CNAME", "shop.platform.test")
    names.set("shop.platform.test", "A", "203.0.113.9")
    assert resolver.ask("www.myshop.test", "A")[0].values == ("203.0.113.9",)


def test_no_name_and_no_record_are_words(resolver: Dns, names: NameServer) -> None:
    names.set("myshop.test", "A", "203.0.113.9")
    assert resolver.ask("nothing.test", "A") == (Answer(Word.NONE, why="nxdomain"),)
    assert resolver.ask("myshop.test", "TXT") == (Answer(Word.NONE, why="no_records"),)


@pytest.mark.parametrize(("says", "why"), [("SERVFAIL", "servfail"), ("REFUSED", "refused")])
def test_a_resolver_that_fails_says_nothing(resolver: Dns, names: NameServer, says: str, why: str) -> None:
    names.set("myshop.test", "A", "203.0.113.9")
    names.says = says
    assert resolver.ask("myshop.test", "A") == (Answer(Word.SILENT, why=why),)


def test_a_resolver_that_does_not_answer_says_nothing(
    resolver: Dns, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns, "PATIENCE", 0.3)
    names.says = "silence"
    assert resolver.ask("myshop.test", "A") == (Answer(Word.SILENT, why="timeout"),)


def test_silence_costs_one_patience_however_much_is_asked(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried once with a pool of one: of the questions, those after the deadline are never asked."""
    monkeypatch.setattr(dns, "PATIENCE", 0.6)
    monkeypatch.setattr(dns, "DEADLINE", 0.8)
    names.says = "silence"
    kinds: tuple[RecordType, ...] = ("A", "AAAA")
    questions = [(f"n{number}.test", kind) for number in range(5) for kind in kinds]
    told = Dns((names.address, names.address)).ask_all(questions)
    assert told == dict.fromkeys(questions, (Answer(Word.SILENT, why="timeout"),) * 2)
    assert {(name, kind) for name, kind, _ in names.asked} == set(questions), "all at the same time"


def test_what_was_not_asked_by_the_deadline_is_a_time_out_and_not_an_answer(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried once without a deadline: all ten are asked, one after another."""
    monkeypatch.setattr(dns, "AT_ONCE", 1)
    monkeypatch.setattr(dns, "PATIENCE", 0.2)
    monkeypatch.setattr(dns, "DEADLINE", 0.3)
    names.says = "silence"
    told = Dns((names.address,)).ask_all([(f"n{number}.test", "A") for number in range(10)])
    assert set(told.values()) == {(Answer(Word.SILENT, why="timeout"),)}
    assert len({name for name, _, _ in names.asked}) <= 2, "the first for 0.2 s, the second for what is left"


def test_each_question_that_is_asked_together_gets_its_own_answer(resolver: Dns, names: NameServer) -> None:
    names.set("myshop.test", "A", "203.0.113.9")
    told = resolver.ask_all([("myshop.test", "A"), ("myshop.test", "TXT"), ("nothing.test", "A")])
    assert told == {
        ("myshop.test", "A"): (Answer(Word.FOUND, ("203.0.113.9",)),),
        ("myshop.test", "TXT"): (Answer(Word.NONE, why="no_records"),),
        ("nothing.test", "A"): (Answer(Word.NONE, why="nxdomain"),),
    }


def test_an_answer_too_long_for_udp_is_asked_for_by_tcp(resolver: Dns, names: NameServer) -> None:
    names.set("myshop.test", "A", "203.0.113.9")
    names.says = "truncate"
    assert resolver.ask("myshop.test", "A")[0].values == ("203.0.113.9",)
    assert [over for _, _, over in names.asked] == ["udp", "tcp"]


def test_each_resolver_has_its_own_word(names: NameServer) -> None:
    names.set("myshop.test", "A", "203.0.113.9")
    with name_server.serving() as other:
        both = Dns((names.address, other.address)).ask("myshop.test", "A")
    assert [answer.word for answer in both] == [Word.FOUND, Word.NONE]


def test_a_search_domain_of_the_machine_is_not_appended(resolver: Dns, names: NameServer) -> None:
    resolver.ask("nothing.test", "A")
    assert {name for name, _, _ in names.asked} == {"nothing.test"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("[::1]", ("::1", 53)),
    ],
)
def test_a_resolvers_address(written: str, read: tuple[str, int]) -> None:
    assert dns.split(written) == read


@pytest.mark.parametrize("written", ["dns.example", "127.0.0.1:0", "127.0.0.1:99999", "9.9.9.9:x", ""])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        dns.split(written)


def test_resolvers_come_from_the_settings() -> None:
    config = Config(app_env="test", dns_resolvers=" 127.0.0.1:5353, 9.9.9.9 ,")
    assert config.resolvers == ("127.0.0.1:5353", "9.9.9.9")
