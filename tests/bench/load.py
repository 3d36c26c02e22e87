"""A client that costs next to nothing itself: ready-made requests over a few kept connections, one thread."""

import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from portal.cli.setup_ports import LOOPBACK


def request(method: str, path: str, port: int, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """An HTTP/1.1 request as it goes over the wire."""
    told = {"Host": f"{LOOPBACK}:{port}", "Connection": "keep-alive", **headers}
    if method == "POST":
        told["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


@dataclass
class Outcome:
    """What the server said, and how long all of it took (seconds of the wall clock)."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    last_body: bytes = b""

    @property
    def clean(self) -> bool:
        """Was every answer 2xx?"""
        return all(200 <= status < 300 for status in self.statuses)


class _Connection:
    """One kept connection: sends a request, collects its answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def send(self, data: bytes) -> None:
        self.received = b""
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes] | None:
        """Read what is there; the answer once it is whole. Raises ConnectionError when the server hung up."""
        part = self.socket.recv(262_144)
        if not part:
            raise ConnectionError("the server closed a kept connection")
        self.received += part
        head, found, body = self.received.partition(b"\r\n\r\n")
        return (int(head[9:12]), body) if found and whole(head, body) else None


def whole(head: bytes, body: bytes) -> bool:
    """Is the body all there? Told by its length, or by the last chunk."""
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(body) >= int(value)
        if name == b"transfer-encoding":
            return body.endswith(b"0\r\n\r\n")
    return True


def drive(port: int, requests: Iterable[bytes], connections: int) -> Outcome:
    """Send all requests, each connection its next one as soon as it was answered."""
    waiting, outcome = iter(requests), Outcome()
    with selectors.DefaultSelector() as selector:
        opened = [_Connection(port) for _ in range(connections)]
        begun = time.perf_counter()
        busy = sum(_begin(connection, waiting, selector) for connection in opened)
        while busy:
            for key, _ in selector.select(timeout=60):
                busy -= _advance(key.data, waiting, outcome, selector)
        outcome.seconds = time.perf_counter() - begun
        for connection in opened:
            connection.socket.close()
    return outcome


def _begin(connection: _Connection, waiting: Iterator[bytes], selector: selectors.BaseSelector) -> bool:
    data = next(waiting, None)
    if data is None:
        return False
    selector.register(connection.socket, selectors.EVENT_READ, connection)
    connection.send(data)
    return True


def _advance(
    connection: _Connection, waiting: Iterator[bytes], outcome: Outcome, selector: selectors.BaseSelector
) -> bool:
    """True when this connection has nothing more to do."""
    answer = connection.answer()
    if answer is None:
        return False
    status, outcome.last_body = answer
    outcome.statuses[status] += 1
    data = next(waiting, None)
    if data is None:
        selector.unregister(connection.socket)
        return True
    connection.send(data)
    return False
