"""Which records a domain needs, what DNS says about them, and what follows for the domain's state; pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Literal

from portal.addons.domain_names import DomainName
from portal.addons.platform_address import Platform
from portal.addons.rules import DomainState

#: Where the proof stands, and what stands before the token in it.
PROOF_HOST, PROOF_PREFIX = "_vendor-portal", "vendor-portal-verification="

RecordType = Literal["A", "AAAA", "CNAME", "MX", "TXT"]
_FAMILIES: tuple[RecordType, ...] = ("A", "AAAA")


class Purpose(StrEnum):
    """What a record is for."""

    PROOF = "proof"
    POINT = "point"
    MAIL = "mail"
    SENDER = "sender"
    SIGNATURE = "signature"


class Verdict(StrEnum):
    """What DNS says about a wanted record; unknown: it gave no answer that can be relied on."""

    FOUND = "found"
    MISSING = "missing"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A record that is to be set: at ``name`` (the whole name in ASCII), shown as ``host`` within its zone."""

    purpose: Purpose
    kind: RecordType
    name: str
    host: str
    value: str


@dataclass(frozen=True, slots=True)
class Heard:
    """One resolver's answer: ``values`` None for none that can be relied on, because of ``why``."""

    values: tuple[str, ...] | None
    why: str = ""


Ask = Callable[[str, RecordType], Sequence[Heard]]


@dataclass(frozen=True, slots=True)
class Checked:
    """A wanted record and what was found. ``seen`` is what stands there instead, or ``why`` nothing could be seen."""

    wanted: Wanted
    verdict: Verdict
    seen: tuple[str, ...] = ()
    why: str = ""


def wanted(name: DomainName, token: str, platform: Platform, target: str) -> list[Wanted]:
    """The records of a domain: the proof, and what points it to the shop at ``target``.

    A name with something before its registered part is a CNAME; the registered name itself cannot be one, and gets the
    platform's addresses, or (where the operator has named none) what its DNS calls ALIAS or ANAME. Where the operator
    has said neither, the proof is all.
    """
    zone = name.registrable
    proof = Wanted(
        Purpose.PROOF, "TXT", f"{PROOF_HOST}.{name.ascii}", host_in(zone, f"{PROOF_HOST}.{name.ascii}"),
        PROOF_PREFIX + token,
    )  # fmt: skip
    host = host_in(zone, name.ascii)
    if platform.addresses and (name.is_apex or not target):
        return [proof, *(Wanted(Purpose.POINT, _family(a), name.ascii, host, a) for a in platform.addresses)]
    return [proof, Wanted(Purpose.POINT, "CNAME", name.ascii, host, target)] if target else [proof]


def mail_records(name: DomainName, kept: Mapping[str, Any] | None) -> list[Wanted]:
    """The records that mail needs, once its host has made a key: where it arrives, who may send it, what signs it.

    ``kept`` is ``checks["mail"]``: host, selector and text of the key.
    """
    if not kept:
        return []
    zone, key = name.registrable, f"{kept['selector']}._domainkey.{name.ascii}"
    here = host_in(zone, name.ascii)
    return [
        Wanted(Purpose.MAIL, "MX", name.ascii, here, f"10 {kept['host']}"),
        Wanted(Purpose.SENDER, "TXT", name.ascii, here, "v=spf1 mx ~all"),
        Wanted(Purpose.SIGNATURE, "TXT", key, host_in(zone, key), str(kept["text"])),
    ]


MAIL = (Purpose.MAIL, Purpose.SENDER, Purpose.SIGNATURE)


def host_in(zone: str, name: str) -> str:
    """A name as people type it into their DNS: without the zone, "@" for the zone itself."""
    return "@" if name == zone else name.removesuffix(f".{zone}")


def _family(address: str) -> Literal["A", "AAAA"]:
    return "A" if ip_address(address).version == 4 else "AAAA"


def questions(records: Sequence[Wanted]) -> list[tuple[str, RecordType]]:
    """All that ``check`` may ask about these records, so that it can be asked at the same time."""
    asked = [(record.name, record.kind) for record in records]
    for record in records:
        if record.purpose == Purpose.POINT:
            names = (record.name, record.value) if record.kind == "CNAME" else (record.name,)
            asked += [(name, kind) for name in names for kind in _FAMILIES]
    return list(dict.fromkeys(asked))


def check(records: Sequence[Wanted], platform: Platform, ask: Ask) -> list[Checked]:
    """Ask DNS about each record."""
    return [_point(record, records, platform, ask) if record.purpose == Purpose.POINT
            else _exact(record, ask) for record in records]  # fmt: skip


def _exact(record: Wanted, ask: Ask) -> Checked:
    """A record that must stand there as it is, beside whatever else does."""
    return _merged(record, [_compare(record, heard) for heard in ask(record.name, record.kind)])


def _compare(record: Wanted, heard: Heard) -> Checked:
    if heard.values is None:
        return Checked(record, Verdict.UNKNOWN, why=heard.why)
    if any(same(record, value) for value in heard.values):
        return Checked(record, Verdict.FOUND, heard.values)
    rivals = tuple(value for value in heard.values if _rivals(record, value))
    return Checked(record, Verdict.WRONG if rivals else Verdict.MISSING, rivals, heard.why)


def same(record: Wanted, value: str) -> bool:
    """Is this value the wanted one? White space and quotes pasted along do not count, nor do gaps in a key.

    Mail arrives whatever the priority of its MX is, and a text for senders (SPF) may name others too.
    """
    if record.kind == "MX":
        return value.rpartition(" ")[2].lower() == record.value.rpartition(" ")[2].lower()
    if record.purpose == Purpose.SENDER:
        words = value.lower().split()
        return words[:1] == ["v=spf1"] and bool({"mx", "+mx"} & set(words[1:]))
    if record.kind == "TXT":
        return "".join(value.split()).strip('"') == "".join(record.value.split())
    return value.strip().rstrip(".").lower() == record.value.lower()


def _rivals(record: Wanted, value: str) -> bool:
    """Does the value stand in the way? Many texts may stand at one name, of which only one can be meant."""
    if record.purpose == Purpose.PROOF:
        return True
    if record.purpose == Purpose.SENDER:
        return value.lower().startswith("v=spf1")
    return record.kind != "TXT" or record.purpose == Purpose.SIGNATURE


def _point(record: Wanted, records: Sequence[Wanted], platform: Platform, ask: Ask) -> Checked:
    """Does the name lead to the shop, by a CNAME or by addresses, and nowhere else?

    What counts is where visitors arrive: DNS that flattens a CNAME shows the addresses that are behind it.
    """
    if record.kind == "CNAME":
        alias = _exact(record, ask)
        if alias.verdict == Verdict.FOUND:
            return alias
        ours = set(platform.addresses) | _addresses(ask, record.value)
    else:
        alias, ours = None, {r.value for r in records if r.kind in ("A", "AAAA")}
    found = _merged(record, [_arrive(record, a, aaaa, ours) for a, aaaa in _pairs(ask, record.name)])
    if alias is not None and alias.verdict == Verdict.WRONG and found.verdict != Verdict.FOUND:
        return alias
    return found


def _pairs(ask: Ask, name: str) -> list[tuple[Heard, Heard]]:
    return list(zip(ask(name, "A"), ask(name, "AAAA"), strict=True))


def _addresses(ask: Ask, name: str) -> set[str]:
    found: set[str] = set()
    for heard in (*ask(name, "A"), *ask(name, "AAAA")):
        found |= set(heard.values or ())
    return found


def _arrive(record: Wanted, v4: Heard, v6: Heard, ours: set[str]) -> Checked:
    seen = (*(v4.values or ()), *(v6.values or ()))
    foreign = tuple(address for address in seen if address not in ours)
    if foreign:  # one visitor in two would arrive elsewhere
        return Checked(record, Verdict.WRONG, foreign)
    reached = bool(seen) if record.kind == "CNAME" else record.value in seen
    if reached:
        return Checked(record, Verdict.FOUND, seen)
    silent = v4 if v4.values is None else v6 if v6.values is None else None
    if silent is not None:
        return Checked(record, Verdict.UNKNOWN, why=silent.why)
    return Checked(record, Verdict.MISSING, why=v4.why)


def _merged(record: Wanted, each: Sequence[Checked]) -> Checked:
    """Of several resolvers: one that finds it is enough, since caches lag and one may be broken; silence says
    nothing beside a word.
    """
    for verdict in (Verdict.FOUND, Verdict.WRONG, Verdict.MISSING, Verdict.UNKNOWN):
        for checked in each:
            if checked.verdict == verdict:
                return checked
    return Checked(record, Verdict.UNKNOWN, why="no_resolver")


def verdict(checks: Iterable[Checked], *purposes: Purpose) -> Verdict:
    """The worst of the records of these purposes: wrong, missing, unknown, found. Found when there are none."""
    present = {c.verdict for c in checks if c.wanted.purpose in purposes}
    order = (Verdict.WRONG, Verdict.MISSING, Verdict.UNKNOWN)
    return next((each for each in order if each in present), Verdict.FOUND)


def stored(checks: Sequence[Checked]) -> list[dict[str, Any]]:
    """The checks as JSON, for ``domains.checks``."""
    return [
        {
            "purpose": str(c.wanted.purpose),
            "kind": c.wanted.kind,
            "name": c.wanted.name,
            "verdict": str(c.verdict),
            "seen": [value[:255] for value in c.seen[:5]],
            "why": c.why,
        }
        for c in checks
    ]


def restored(records: Sequence[Wanted], kept: Mapping[str, Any] | None) -> list[Checked]:
    """Wanted records with what was found at the last look; unknown where none was taken yet."""
    known = {(r["name"], r["kind"], r["purpose"]): r for r in (kept or {}).get("records", ())}
    result = []
    for record in records:
        found = known.get((record.name, record.kind, str(record.purpose)))
        if found is None:
            result.append(Checked(record, Verdict.UNKNOWN, why="not_asked"))
        else:
            result.append(Checked(record, Verdict(found["verdict"]), tuple(found["seen"]), found["why"]))
    return result


#: Gaps between looks at a name that is not proven yet, after each look; the last one goes on.
GAPS = tuple(timedelta(minutes=m) for m in (2, 5, 10, 20, 40, 60, 120, 240, 480, 720, 1440))
#: After that the name is given up until somebody looks again.
PATIENCE = timedelta(days=30)
DAILY, SOON, HOURLY = timedelta(days=1), timedelta(hours=2), timedelta(hours=1)
#: An active name is failing after so many looks in a row over so long: an hour's lie is not enough.
MISSES, FOR_SO_LONG = 4, timedelta(hours=6)
#: The vendor is told when it has been gone for two days.
TELL_AFTER = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Standing:
    """A domain's state as checks move it. ``looks`` and ``misses`` count within the state; ``tell``: now is the time
    to tell the vendor that it is failing.
    """

    state: DomainState
    next_check: timedelta | None
    looks: int = 0
    misses: int = 0
    failing_since: datetime | None = None
    tell: bool = False


def after(was: Standing, proof: Verdict, point: Verdict, *, created_at: datetime, now: datetime) -> Standing:
    """What a look at DNS makes of a domain. Only what DNS says moves it; its silence moves nothing.

    A name becomes active when its proof stands and it leads here. An active name stays so as long as it leads here,
    proof or not: whoever leads visitors here means it.
    """
    if was.state in (DomainState.ACTIVE, DomainState.FAILING):
        return _held(was, point, now)
    if proof == Verdict.FOUND and point == Verdict.FOUND:
        return Standing(DomainState.ACTIVE, DAILY)
    given_up = was.state == DomainState.FAILED or now - created_at > PATIENCE
    if given_up and was.state != DomainState.REGISTERING:
        return Standing(DomainState.FAILED, None)
    state = DomainState.REGISTERING if was.state == DomainState.REGISTERING else DomainState.PENDING
    return Standing(state, GAPS[min(was.looks, len(GAPS) - 1)], looks=was.looks + 1)


def _held(was: Standing, point: Verdict, now: datetime) -> Standing:
    if point == Verdict.FOUND:
        return Standing(DomainState.ACTIVE, DAILY)
    if point == Verdict.UNKNOWN:
        return Standing(was.state, HOURLY, misses=was.misses, failing_since=was.failing_since)
    since, misses = was.failing_since or now, was.misses + 1
    gone = was.state == DomainState.FAILING or (misses >= MISSES and now - since >= FOR_SO_LONG)
    state = DomainState.FAILING if gone else DomainState.ACTIVE
    tell = gone and now - since >= TELL_AFTER
    return Standing(state, DAILY if tell else SOON, misses=misses, failing_since=since, tell=tell)
