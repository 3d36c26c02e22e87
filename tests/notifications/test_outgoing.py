"""Where outgoing webhooks may go: nobody reaches a network that is not public through them (SSRF)."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from config import Config
from portal.gateways import outgoing
from portal.gateways.outgoing import BROKEN, REFUSED, SILENT, UNKNOWN, Undelivered
from tests.notifications.receiver import running

pytestmark = pytest.mark.usefixtures("app")

INSIDE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1",
    "fd12:3456::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:c0a8:101::", "2001:db8::1", "2001:0:7f00:1::", "fec0::1", "3fff::1", "5f00::1", "100::1",
    "64:ff9b:1::a00:1", "::7f00:1", "::ffff:0:7f00:1", "0.1.2.3", "168.63.129.16", "192.0.0.192", "192.88.99.1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _default() -> Iterator[None]:
    outgoing.configure(Config())
    yield
    outgoing.configure(Config())


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name lead to these; gives what was looked up."""
    asked: list[str] = []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(None, None, None, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def never_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any, **__: Any) -> Any:
        raise AssertionError("it connected")

    monkeypatch.setattr(socket, "create_connection", connect)


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused_however_they_are_written(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """As a name's answer, as one of two answers, and in the address itself. Tried once with _is_public saying yes."""
    never_connects(monkeypatch)
    for found in ([address], ["93.184.215.14", address], [address, "93.184.215.14"]):
        answers(monkeypatch, *found)
        with pytest.raises(Undelivered) as refused:
            outgoing.post("https://shop.example.com/hooks", b"{}", {})
        assert refused.value.reason == REFUSED
    host = f"[{address}]" if ":" in address else address
    assert outgoing.fault(f"https://{host}/") == REFUSED


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "017700000001", "127.1", "0177.0.0.1", "localhost"])
def test_other_spellings_of_this_machine_lead_nowhere(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    never_connects(monkeypatch)
    with pytest.raises(Undelivered):
        outgoing.post(f"https://{host}/", b"{}", {})


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_the_public_internet_may_be_reached(address: str) -> None:
    assert outgoing.may_reach(ipaddress.ip_address(address))


def test_the_name_is_asked_once_and_its_answer_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second answer (rebinding) changes nothing: the connection goes to the address that was looked at."""
    asked = answers(monkeypatch, "93.184.215.14")
    went: list[Any] = []

    def connect(address: Any, timeout: float) -> Any:
        went.append(address)
        raise OSError("far away")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Undelivered):
        outgoing.post("https://shop.example.com:8443/hooks", b"{}", {})
    assert (asked, went) == (["shop.example.com"], [("93.184.215.14", 8443)])


def test_plain_http_goes_only_where_the_operator_allows() -> None:
    with running() as receiver:
        with pytest.raises(Undelivered):
            outgoing.post(receiver.url, b"{}", {})
        outgoing.configure(Config(outgoing_private_networks="127.0.0.0/8, fd00::/8"))
        assert outgoing.post(receiver.url, b"{}", {}).status == 200
        assert len(receiver.got) == 1


def test_plain_http_to_the_public_internet_is_refused_even_then(monkeypatch: pytest.MonkeyPatch) -> None:
    never_connects(monkeypatch)
    outgoing.configure(Config(outgoing_private_networks="127.0.0.0/8"))
    answers(monkeypatch, "93.184.215.14")
    with pytest.raises(Undelivered):
        outgoing.post("http://shop.example.com/hooks", b"{}", {})


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(Undelivered) as refused:
        outgoing.post("https://shop.invalid.example/", b"{}", {})
    assert refused.value.reason == UNKNOWN


def test_a_certificate_that_is_not_valid_is_refused() -> None:
    """A server that answers plain where TLS is asked for stands for every failed handshake."""
    outgoing.configure(Config(outgoing_private_networks="127.0.0.0/8"))
    with running() as receiver, pytest.raises(Undelivered):
        outgoing.post(receiver.url.replace("http:", "https:"), b"{}", {})
    assert receiver.got == []


@contextmanager
def saying(first: bytes, again: bytes, pause: float = 0.0) -> Iterator[int]:
    """A server that says ``first`` and then ``again`` for ever; gives its port."""
    listening, stopped = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def speak() -> None:
        taken, _ = listening.accept()
        with taken:
            try:
                taken.sendall(first)
                while not stopped.wait(pause):
                    taken.sendall(again)
            except OSError:
                return

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    outgoing.configure(Config(outgoing_private_networks="127.0.0.0/8"))
    try:
        yield listening.getsockname()[1]
    finally:
        stopped.set()
        listening.close()
        thread.join(5)


@pytest.mark.parametrize(("scheme", "first"), [("http", b"HTTP/1.1 200"), ("https", b"\x16\x03\x03\x40\x00")])
def test_one_that_drips_does_not_hold_a_worker(monkeypatch: pytest.MonkeyPatch, scheme: str, first: bytes) -> None:
    """A byte every tenth of a second never lets a socket time out; the whole has an end all the same, in the middle of
    a header or of a TLS handshake.
    """
    monkeypatch.setattr(outgoing, "PATIENCE", 0.5)
    begun = time.monotonic()
    with saying(first, b"H", 0.1) as port, pytest.raises(Undelivered) as late:
        outgoing.post(f"{scheme}://127.0.0.1:{port}/", b"{}", {})
    assert late.value.reason == SILENT
    assert time.monotonic() - begun < 5


def test_of_an_answer_without_end_only_the_beginning_is_read() -> None:
    with saying(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096) as port:
        answer = outgoing.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert (answer.status, answer.text) == (200, "x" * outgoing.SHOWN)


@pytest.mark.parametrize("again", [b"A: b\r\n", b"x" * 4096])
def test_headers_without_end_are_no_answer(again: bytes) -> None:
    with saying(b"HTTP/1.1 200 OK\r\n", again) as port, pytest.raises(Undelivered) as broken:
        outgoing.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert broken.value.reason == BROKEN


@pytest.mark.parametrize(
    "url",
    ["https://shop.example.com/\r\nHost: evil.example", "https://user:pw@shop.example.com/", "https://shop.example.com#x",
     "https://shop.example.com\\@127.0.0.1/", "ftp://shop.example.com/", "file:///etc/passwd", "https://", "gopher://x/_",
     "https://shop.example.com:0/", "https://shop.example.com:99999/", "https://127.0.0.1.nip/ x", "https://b\u00fccher.de/",
     "https://[::1", "https://[fe80::1%25eth0]/", "https://1.0x7f000001/", "https://" + "a" * 500 + ".example/"],
)  # fmt: skip
def test_addresses_that_mean_two_things_lead_nowhere(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    never_connects(monkeypatch)
    with pytest.raises(Undelivered):
        outgoing.post(url, b"{}", {})


def test_what_is_no_network_stops_the_start() -> None:
    with pytest.raises(ValueError, match="10"):
        outgoing.configure(Config(outgoing_private_networks="10.0.0.0/99"))
