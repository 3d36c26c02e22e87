"""A name server on UDP and TCP that says what a test tells it: records, nothing, SERVFAIL, lies or silence."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from dns.exception import DNSException

Key = tuple[str, str]


@dataclass
class NameServer:
    """What it knows. ``says`` overrides it: an rcode's name, "silence", or "truncate" (over UDP: ask by TCP)."""

    address: str = ""
    records: dict[Key, list[str]] = field(default_factory=dict)
    says: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def set(self, name: str, kind: str, *values: str) -> None:
        """These are the records; none: there are none any more."""
        self.records[name.lower().rstrip("."), kind] = list(values)

    def forget(self, name: str) -> None:
        """The name is gone, with all its records."""
        for key in [key for key in self.records if key[0] == name]:
            del self.records[key]

    def answer(self, wire: bytes, over: str) -> bytes | None:
        """The answer to one question as bytes, or None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, over))
        if self.says == "silence":
            return None
        answer = dns.message.make_response(query, recursion_available=True)
        if self.says == "truncate" and over == "udp":
            answer.flags |= dns.flags.TC
            return answer.to_wire()
        if self.says and self.says != "truncate":
            answer.set_rcode(dns.rcode.from_text(self.says))
            return answer.to_wire()
        self._fill(answer, question, name, kind)
        return answer.to_wire(max_size=65535)

    def _fill(self, answer: dns.message.Message, question: dns.rrset.RRset, name: str, kind: str) -> None:
        if not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return
        owner = question.name
        if kind != "CNAME" and (target := self.records.get((name, "CNAME"))):
            answer.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", f"{target[0]}."))
            name = target[0]
            owner = dns.name.from_text(name)
        if values := self.records.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, *(_wire(kind, v) for v in values)))


def _wire(kind: str, value: str) -> str:
    if kind == "TXT":
        pieces = [value[i : i + 200] for i in range(0, len(value), 200)] or [""]
        return " ".join('"' + piece.replace('"', '\\"') + '"' for piece in pieces)
    return f"{value}." if kind in ("CNAME", "MX") else value


@contextmanager
def serving() -> Iterator[NameServer]:
    """One on a free port of this machine, the same for UDP and TCP."""
    server = NameServer()

    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(DNSException):
                if (said := server.answer(self.request[0], "udp")) is not None:
                    self.request[1].sendto(said, self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (size,) = struct.unpack("!H", self.rfile.read(2))
            if (said := server.answer(self.rfile.read(size), "tcp")) is not None:
                self.wfile.write(struct.pack("!H", len(said)) + said)

    udp, tcp = _both(Udp, Tcp)
    server.address = f"127.0.0.1:{udp.server_address[1]}"
    for each in (udp, tcp):
        threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        for each in (udp, tcp):
            each.shutdown()
            each.server_close()


def _both(
    udp: type[socketserver.BaseRequestHandler], tcp: type[socketserver.BaseRequestHandler]
) -> tuple[socketserver.UDPServer, socketserver.TCPServer]:
    """A UDP and a TCP server on one port number that is free for both."""
    for _ in range(20):
        first = socketserver.ThreadingUDPServer(("127.0.0.1", 0), udp)
        try:
            return first, socketserver.ThreadingTCPServer(first.server_address, tcp)
        except OSError:
            first.server_close()
    raise RuntimeError("no port is free for both UDP and TCP")
