"""Questions to DNS, to named resolvers or the machine's own, with time-outs that a page can wait for.

A resolver's word is kept apart from its silence: "there is none" (NXDOMAIN, no such record) is an answer, a time-out
or SERVFAIL is none. Several resolvers are each asked, since one may be broken or lie for an hour. Questions asked
together are under way at the same time and share one deadline.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Literal

from config import Config
from portal.kit.unit_of_work import assert_no_transaction

if TYPE_CHECKING:
    import dns.resolver
    from dns.rdatatype import RdataType

RecordType = Literal["A", "AAAA", "CNAME", "MX", "TXT"]
Question = tuple[str, RecordType]
#: Seconds that one resolver gets for one question, over UDP and TCP together.
PATIENCE = 2.5
#: Seconds for all questions that are asked together, whatever is silent; what was not said by then is a time-out.
DEADLINE = 4.0
#: Questions under way at one moment: all those of a domain with mail, to as many resolvers as are asked.
AT_ONCE = 32
#: Resolvers asked per question; more would only make people wait.
MOST = 3


class Word(StrEnum):
    """What a resolver said: records, that there are none, or nothing that can be relied on."""

    FOUND = "found"
    NONE = "none"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one resolver. ``values`` are as people write them, in their order; ``why`` says more: nxdomain, no_records,
    servfail, refused, timeout, malformed.
    """

    word: Word
    values: tuple[str, ...] = ()
    why: str = ""


class Dns:
    """Resolvers to ask, in their order."""

    def __init__(self, resolvers: tuple[str, ...]) -> None:
        self._named = resolvers

    def ask(self, name: str, kind: RecordType) -> tuple[Answer, ...]:
        """Every resolver's answer about one record type of a name in ASCII. Never raises for what DNS does."""
        return self.ask_all([(name, kind)])[name, kind]

    def ask_all(self, questions: Iterable[Question]) -> dict[Question, tuple[Answer, ...]]:
        """The same for each of several questions, within ``DEADLINE`` seconds for them together."""
        assert_no_transaction()
        wanted, resolvers, ends = list(dict.fromkeys(questions)), self._resolvers(), monotonic() + DEADLINE
        if not wanted:
            return {}
        with ThreadPoolExecutor(min(AT_ONCE, len(wanted) * len(resolvers)), "dns") as pool:
            asked = {each: [pool.submit(_ask, one, *each, ends) for one in resolvers] for each in wanted}
        return {each: tuple(one.result() for one in under_way) for each, under_way in asked.items()}

    def _resolvers(self) -> list["dns.resolver.Resolver"]:
        from dns.resolver import Resolver

        if not self._named:
            own = Resolver()
            own.timeout = own.lifetime = PATIENCE
            return [own]
        return [_resolver(each) for each in self._named[:MOST]]


def _resolver(address: str) -> "dns.resolver.Resolver":
    from dns.resolver import Resolver

    host, port = split(address)
    made = Resolver(configure=False)
    made.nameservers, made.port = [host], port
    made.timeout = made.lifetime = PATIENCE
    return made


def split(address: str) -> tuple[str, int]:
    """Host and port of ``9.9.9.9``, ``127.0.0.1:5353``, ``2620:fe::fe`` or ``[::1]:5353``. ValueError otherwise."""
    from ipaddress import ip_address

    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    else:
        host, port = address, ""
    number = int(port or 53)
    if not 0 < number < 65536:
        raise ValueError(address)
    return str(ip_address(host)), number


def _ask(resolver: "dns.resolver.Resolver", name: str, kind: RecordType, ends: float) -> Answer:
    import dns.exception
    import dns.resolver
    from dns.rdatatype import RdataType

    left = min(PATIENCE, ends - monotonic())
    if left <= 0:
        return Answer(Word.SILENT, why="timeout")
    try:
        answer = resolver.resolve(f"{name}.", kind, search=False, lifetime=left)
    except dns.resolver.NXDOMAIN:
        return Answer(Word.NONE, why="nxdomain")
    except dns.resolver.NoAnswer:
        return Answer(Word.NONE, why="no_records")
    except dns.exception.Timeout:
        return Answer(Word.SILENT, why="timeout")
    except dns.resolver.NoNameservers as error:
        return Answer(Word.SILENT, why=_refusal(error))
    except (dns.exception.DNSException, OSError):
        return Answer(Word.SILENT, why="malformed")
    return Answer(Word.FOUND, tuple(_written(rdata, RdataType.from_text(kind)) for rdata in answer))


def _refusal(error: "dns.resolver.NoNameservers") -> str:
    """Which code the resolver gave: dnspython keeps it in words."""
    said = str(error).upper()
    return next((word.lower() for word in ("SERVFAIL", "REFUSED") if word in said), "malformed")


def _written(rdata: object, kind: "RdataType") -> str:
    """A record as people write it: names without the last dot, a TXT's pieces put together."""
    from dns.rdatatype import RdataType

    if kind == RdataType.TXT:
        return b"".join(rdata.strings).decode("utf-8", "replace")  # type: ignore[attr-defined]
    if kind == RdataType.MX:
        return f"{rdata.preference} {_name(rdata.exchange)}"  # type: ignore[attr-defined]
    if kind == RdataType.CNAME:
        return _name(rdata.target)  # type: ignore[attr-defined]
    return str(rdata)


def _name(name: object) -> str:
    return str(name).rstrip(".").lower()


_current = Dns(())


def configure(config: Config) -> None:
    """Set the resolvers of this process."""
    global _current
    _current = Dns(config.resolvers)


def current() -> Dns:
    """The resolvers of this process."""
    return _current
