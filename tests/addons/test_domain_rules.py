"""Which records a domain needs, what DNS says of them, and what follows for its state."""

from datetime import UTC, datetime, timedelta

import pytest

from portal.addons import domain_rules
from portal.addons.domain_names import Rules, parse
from portal.addons.domain_rules import Checked, Heard, Purpose, Standing, Verdict, Wanted, after
from portal.addons.platform_address import Platform
from portal.addons.rules import DomainState

NONE = Platform("lumashop.com")
WITH_ADDRESSES = Platform("lumashop.com", ("203.0.113.9", "2001:db8::9"))
TARGET = "kilim-house.lumashop.com"
NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
TRYING = Rules(trying=True)
Answers = dict[tuple[str, str], tuple[str, ...] | None]


def wanted(name: str, platform: Platform = NONE, target: str = TARGET) -> list[Wanted]:
    return domain_rules.wanted(parse(name, TRYING), "abc123", platform, target)


def looked(name: str, *resolvers: Answers, platform: Platform = NONE) -> dict[str, Checked]:
    """What is found, by kind of record, where each resolver knows these answers (None: it is silent)."""

    def ask(asked: str, kind: str) -> list[Heard]:
        said = [known.get((asked, kind), ()) for known in resolvers]
        return [Heard(None, "servfail") if values is None else Heard(values) for values in said]

    return {c.wanted.kind: c for c in domain_rules.check(wanted(name, platform), platform, ask)}


def test_a_name_with_something_before_it_is_an_alias() -> None:
    proof, point = wanted("www.myshop.com")
    assert (proof.kind, proof.name, proof.host) == (
        "TXT", "_vendor-portal.www.myshop.com", "_vendor-portal.www",
    )  # fmt: skip
    assert proof.value == "vendor-portal-verification=abc123"
    assert (point.kind, point.name, point.host, point.value) == ("CNAME", "www.myshop.com", "www", TARGET)


def test_the_registered_name_itself_gets_addresses() -> None:
    _, v4, v6 = wanted("myshop.co.uk", WITH_ADDRESSES)
    assert (v4.kind, v4.host, v4.value) == ("A", "@", "203.0.113.9")
    assert (v6.kind, v6.host, v6.value) == ("AAAA", "@", "2001:db8::9")


def test_without_addresses_it_leads_where_the_platforms_address_leads() -> None:
    _, point = wanted("myshop.com")
    assert (point.kind, point.host, point.value) == ("CNAME", "@", TARGET)


def test_where_the_platform_has_no_address_the_proof_is_all() -> None:
    assert [w.purpose for w in wanted("www.myshop.com", Platform(), "")] == [Purpose.PROOF]
    assert [w.kind for w in wanted("www.myshop.com", WITH_ADDRESSES, "")] == ["TXT", "A", "AAAA"]


PROOF = ("_vendor-portal.www.myshop.com", "TXT")
RIGHT = "vendor-portal-verification=abc123"


@pytest.mark.parametrize(
    ("said", "verdict", "seen"),
    [
        ((RIGHT,), Verdict.FOUND, (RIGHT,)),
        (("something", RIGHT), Verdict.FOUND, ("something", RIGHT)),
        ((f'"{RIGHT}" ',), Verdict.FOUND, (f'"{RIGHT}" ',)),
        (("vendor-portal-verification=other",), Verdict.WRONG, ("vendor-portal-verification=other",)),
        ((), Verdict.MISSING, ()),
        (None, Verdict.UNKNOWN, ()),
    ],
)
def test_the_proof(said: tuple[str, ...] | None, verdict: Verdict, seen: tuple[str, ...]) -> None:
    found = looked("www.myshop.com", {PROOF: said})["TXT"]
    assert (found.verdict, found.seen) == (verdict, seen)


WWW = "www.myshop.com"
OURS = {(TARGET, "A"): ("203.0.113.9",)}


@pytest.mark.parametrize(
    ("answers", "verdict", "seen"),
    [
        ({(WWW, "CNAME"): (TARGET,)}, Verdict.FOUND, (TARGET,)),
        ({(WWW, "CNAME"): ("KILIM-house.LumaShop.com.",)}, Verdict.FOUND, ("KILIM-house.LumaShop.com.",)),
        # DNS that flattens a CNAME shows the addresses behind it.
        ({(WWW, "A"): ("203.0.113.9",)}, Verdict.FOUND, ("203.0.113.9",)),
        ({(WWW, "CNAME"): ("shops.elsewhere.com",)}, Verdict.WRONG, ("shops.elsewhere.com",)),
        ({(WWW, "A"): ("198.51.100.1",)}, Verdict.WRONG, ("198.51.100.1",)),
        # One visitor in two would arrive elsewhere.
        ({(WWW, "A"): ("203.0.113.9", "198.51.100.1")}, Verdict.WRONG, ("198.51.100.1",)),
        ({(WWW, "A"): ("203.0.113.9",), (WWW, "AAAA"): ("2001:db8::1",)}, Verdict.WRONG, ("2001:db8::1",)),
        ({}, Verdict.MISSING, ()),
        ({(WWW, "CNAME"): None, (WWW, "A"): None, (WWW, "AAAA"): None}, Verdict.UNKNOWN, ()),
        # Half an answer that is right does not say that the other half is.
        ({(WWW, "CNAME"): None, (WWW, "A"): None}, Verdict.UNKNOWN, ()),
    ],
)
def test_where_a_name_leads(answers: Answers, verdict: Verdict, seen: tuple[str, ...]) -> None:
    found = looked(WWW, {**OURS, **answers})["CNAME"]
    assert (found.verdict, found.seen) == (verdict, seen)


def test_every_address_of_the_platform_is_wanted_and_no_other() -> None:
    both: Answers = {("myshop.com", "A"): ("203.0.113.9",), ("myshop.com", "AAAA"): ("2001:db8::9",)}
    found = looked("myshop.com", both, platform=WITH_ADDRESSES)
    assert (found["A"].verdict, found["AAAA"].verdict) == (Verdict.FOUND, Verdict.FOUND)
    only: Answers = {("myshop.com", "A"): ("203.0.113.9",)}
    found = looked("myshop.com", only, platform=WITH_ADDRESSES)
    assert (found["A"].verdict, found["AAAA"].verdict) == (Verdict.FOUND, Verdict.MISSING)


def test_of_several_resolvers_one_that_finds_it_is_enough() -> None:
    right: Answers = {(WWW, "CNAME"): (TARGET,), **OURS}
    wrong: Answers = {(WWW, "CNAME"): ("parking.elsewhere.com",), (WWW, "A"): ("198.51.100.1",), **OURS}
    silent: Answers = {(WWW, kind): None for kind in ("CNAME", "A", "AAAA")}
    assert looked(WWW, wrong, right)["CNAME"].verdict == Verdict.FOUND
    assert looked(WWW, silent, right)["CNAME"].verdict == Verdict.FOUND
    assert looked(WWW, silent, wrong)["CNAME"].verdict == Verdict.WRONG
    assert looked(WWW, silent, {})["CNAME"].verdict == Verdict.MISSING
    assert looked(WWW, silent, silent)["CNAME"].verdict == Verdict.UNKNOWN


MAIL = {"host": "mail.platform.example", "selector": "dkim", "text": "v=DKIM1;k=rsa;p=MIIB"}


@pytest.mark.parametrize(
    ("said", "verdicts"),
    [
        (
            {("myshop.com", "MX"): ("20 mail.platform.example",),
             ("myshop.com", "TXT"): ("v=spf1 include:x.com mx -all",),
             ("dkim._domainkey.myshop.com", "TXT"): ("v=DKIM1; k=rsa; p=MII B",)},
            ["found", "found", "found"],
        ),
        (
            {("myshop.com", "MX"): ("10 mx.elsewhere.com",), ("myshop.com", "TXT"): ("v=spf1 include:x.com -all",),
             ("dkim._domainkey.myshop.com", "TXT"): ("v=DKIM1;k=rsa;p=OTHER",)},
            ["wrong", "wrong", "wrong"],
        ),
        # Another text at the name is in nobody's way.
        ({("myshop.com", "TXT"): ("google-site-verification=x",)}, ["missing", "missing", "missing"]),
    ],
)  # fmt: skip
def test_what_mail_needs(said: Answers, verdicts: list[str]) -> None:
    records = domain_rules.mail_records(parse("myshop.com", TRYING), MAIL)
    checks = domain_rules.check(records, NONE, lambda name, kind: [Heard(said.get((name, kind), ()))])
    assert [str(c.verdict) for c in checks] == verdicts


def test_before_the_mail_server_has_a_key_nothing_is_wanted() -> None:
    assert domain_rules.mail_records(parse("myshop.com", TRYING), None) == []


def test_checks_are_kept_and_read_again() -> None:
    records = wanted(WWW)
    checks = [Checked(records[0], Verdict.FOUND, ("x",)), Checked(records[1], Verdict.WRONG, ("y",), "")]
    assert domain_rules.restored(records, {"records": domain_rules.stored(checks)}) == checks
    assert {c.why for c in domain_rules.restored(records, None)} == {"not_asked"}


def step(was: Standing, proof: str, point: str, *, at: datetime = NOW, created: datetime = NOW) -> Standing:
    return after(was, Verdict(proof), Verdict(point), created_at=created, now=at)


PENDING = Standing(DomainState.PENDING, None)
ACTIVE = Standing(DomainState.ACTIVE, None)


@pytest.mark.parametrize(
    ("proof", "point"), [("missing", "found"), ("found", "missing"), ("unknown", "found"), ("wrong", "wrong")]
)
def test_a_name_waits_until_both_are_right(proof: str, point: str) -> None:
    assert step(PENDING, proof, point).state == DomainState.PENDING
    assert step(PENDING, "found", "found").state == DomainState.ACTIVE


def test_the_gaps_grow_and_a_name_is_given_up_after_a_month() -> None:
    gaps, was = [], PENDING
    for _ in range(13):
        was = step(was, "missing", "missing")
        assert was.next_check is not None
        gaps.append(was.next_check)
    assert gaps == sorted(gaps) and gaps[0] == timedelta(minutes=2) and gaps[-1] == timedelta(days=1)
    late = NOW + timedelta(days=30, seconds=1)
    given_up = step(PENDING, "missing", "missing", at=late)
    assert (given_up.state, given_up.next_check) == (DomainState.FAILED, None)
    # Somebody sets the records after all and lets us look: it works.
    assert step(given_up, "found", "found", at=late).state == DomainState.ACTIVE


def test_what_is_being_registered_is_never_given_up() -> None:
    was = Standing(DomainState.REGISTERING, None)
    assert step(was, "found", "missing", at=NOW + timedelta(days=40)).state == DomainState.REGISTERING


def test_an_hour_of_lies_moves_nothing() -> None:
    # Lies at 0:00, 0:20, 0:40 and 1:00 are four misses within one hour, and six hours would be needed.
    was = ACTIVE
    for minutes in (0, 20, 40, 60):
        was = step(was, "missing", "wrong", at=NOW + timedelta(minutes=minutes))
        assert was.state == DomainState.ACTIVE
    assert step(was, "found", "found", at=NOW + timedelta(hours=2)) == Standing(DomainState.ACTIVE, timedelta(days=1))


def test_records_that_are_gone_make_a_name_fail_after_hours_and_the_vendor_is_told_after_two_days() -> None:
    # Looked at each two hours: misses at 0, 2, 4 and 6 hours; the fourth is six hours after the first.
    was, failed_at, told_at = ACTIVE, None, None
    for hours in range(0, 60, 2):
        was = step(was, "found", "missing", at=NOW + timedelta(hours=hours))
        failed_at = failed_at if failed_at is not None or was.state != DomainState.FAILING else hours
        told_at = told_at if told_at is not None or not was.tell else hours
    assert (failed_at, told_at) == (6, 48)
    assert was.failing_since == NOW
    assert step(was, "missing", "found").state == DomainState.ACTIVE


def test_silence_moves_nothing_and_is_not_counted() -> None:
    was = ACTIVE
    for hours in range(100):
        was = step(was, "unknown", "unknown", at=NOW + timedelta(hours=hours))
    assert (was.state, was.misses, was.failing_since) == (DomainState.ACTIVE, 0, None)
    assert step(PENDING, "unknown", "unknown").state == DomainState.PENDING
