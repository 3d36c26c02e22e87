"""Posting to addresses that others choose: outgoing webhooks. Nobody reaches our own network through it (SSRF).

A name is resolved once, every address that it gives must be public, and the connection goes to one of just those: a
second answer of the name server changes nothing. Redirects are not followed. The operator may allow networks of its own
(OUTGOING_PRIVATE_NETWORKS); only there may an address be plain http.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

from config import Config
from portal.kit.text import N_
from portal.kit.unit_of_work import assert_no_transaction

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Seconds for everything together, and bytes of an answer that are kept to show.
PATIENCE, SHOWN = 10.0, 500
URL_MAX = 500
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: Not public, whatever this Python's tables say (they grow from release to release): the registries of special
#: addresses (RFC 6890, 8215, 9602, 9637), site-local ones of old, and the address of a cloud's own agent (Azure).
_NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(each)
    for each in (
        "0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
        "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "3fff::/20", "5f00::/16", "fec0::/10",
    )
)  # fmt: skip
#: Where the names of this machine lead.
_LOOPBACK: tuple[Address, ...] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))

_allowed: tuple[Network, ...] = ()


class Undelivered(Exception):
    """Nothing was answered; ``reason`` is a message id that says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


REFUSED = N_("This address leads into a network that is not public, so nothing is sent there.")
UNKNOWN = N_("There is no such name on the internet.")
SILENT = N_("There was no answer within 10 seconds.")
BROKEN = N_("The connection could not be made, or it broke off.")
UNTRUSTED = N_("The certificate of this address is not valid.")
WRONG_URL = N_("Enter an address such as https://shop.example.com/webhooks.")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side answered; ``text`` is the beginning of its body."""

    status: int
    text: str

    @property
    def taken(self) -> bool:
        """Did the other side take it?"""
        return 200 <= self.status < 300


def configure(config: Config) -> None:
    """Read which networks that are not public this installation may post to. ValueError names what is no network."""
    global _allowed
    parts = [part.strip() for part in config.outgoing_private_networks.split(",") if part.strip()]
    _allowed = tuple(ipaddress.ip_network(part) for part in parts)


def allowed() -> tuple[Network, ...]:
    """Networks that are not public and may be posted to all the same."""
    return _allowed


def fault(url: str) -> str | None:
    """Why nothing is sent to ``url``, whatever its name resolves to, as a message id; None when it may be tried."""
    try:
        parts = _parts(url)
    except ValueError:
        return WRONG_URL
    if parts.scheme == "http" and not _allowed:
        return N_("The address must begin with https://.")
    host = parts.hostname or ""
    literal = _literal(host)
    if literal is None:
        return REFUSED if _is_this_machine(host) and not any(_is_allowed(each) for each in _LOOPBACK) else None
    return None if may_reach(literal) else REFUSED


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send ``body``, wait for the answer. Undelivered when there is none; any status is an answer. Never in a
    transaction.
    """
    assert_no_transaction()
    if why := fault(url):
        raise Undelivered(why)
    parts = _parts(url)
    addresses = _resolve(parts)
    if parts.scheme == "http" and not all(_is_allowed(address) for address in addresses):
        raise Undelivered(N_("The address must begin with https://."))
    return _ask(parts, addresses, body, headers)


def may_reach(address: Address) -> bool:
    """May we send to this address? The public internet, and what the operator allowed."""
    if isinstance(address, IPv6Address) and address in _NAT64 and not _is_allowed(address):
        return _is_public(IPv4Address(int(address) & 0xFFFFFFFF))  # a translator leads there and nowhere else
    return _is_allowed(address) or all(_is_public(each) for each in (address, *_inside(address)))


def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    plain = len(url) <= URL_MAX and url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    host = parts.hostname or ""
    if not plain or parts.scheme not in ("http", "https") or not host or parts.port == 0:
        raise ValueError("no address to post to")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("a login or a fragment in the address")
    if _literal(host) is None and ("." not in host or host.rpartition(".")[2].isdigit()) and host != "localhost":
        raise ValueError("a name without a domain")
    return parts


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_this_machine(host: str) -> bool:
    """Such a name leads to this machine wherever it is asked (RFC 6761), so that nobody has to ask."""
    return host.rstrip(".").rpartition(".")[2].lower() == "localhost"


def _is_allowed(address: Address) -> bool:
    return any(address.version == network.version and address in network for network in _allowed)


def _is_public(address: Address) -> bool:
    special = any(address.version == network.version and address in network for network in _NEVER)
    return address.is_global and not (address.is_multicast or address.is_reserved or special)


def _inside(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address carries: through a gateway it would lead there."""
    if isinstance(address, IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return [each for each in found if each is not None]


def _resolve(parts: SplitResult) -> list[Address]:
    """Every address of the name, each of which may be reached."""
    host = parts.hostname or ""
    literal = _literal(host)
    found = [literal] if literal is not None else _looked_up(host, _port(parts))
    if not found:
        raise Undelivered(UNKNOWN)
    if not all(may_reach(address) for address in found):
        raise Undelivered(REFUSED)
    return found


def _looked_up(host: str, port: int) -> list[Address]:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Undelivered(UNKNOWN) from error
    return list(dict.fromkeys(ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in rows))


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


class _Pinned(http.client.HTTPConnection):
    """A connection to one of the addresses that were looked at, whatever the name leads to by now."""

    def __init__(self, parts: SplitResult, addresses: Sequence[Address]) -> None:
        super().__init__(parts.hostname or "", _port(parts), timeout=PATIENCE)
        self._addresses, self._tls = addresses, parts.scheme == "https"
        self.late = False
        if self._tls:
            self.default_port = 443

    def connect(self) -> None:
        """Try the addresses in turn."""
        for number, address in enumerate(self._addresses, 1):
            try:
                plain = socket.create_connection((str(address), self.port), timeout=PATIENCE / len(self._addresses))
                break
            except OSError:
                if number == len(self._addresses):
                    raise
        plain.settimeout(PATIENCE)
        self.sock = plain  # from here on it can be cut, in the middle of the handshake too
        if self._tls:
            self.sock = self._secured(plain)

    def _secured(self, plain: socket.socket) -> socket.socket:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)

    def cut(self) -> None:
        """End it from another thread: whoever answers a byte at a time does not hold a worker for longer."""
        self.late = True
        sock = self.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


def _ask(parts: SplitResult, addresses: Sequence[Address], body: bytes, headers: Mapping[str, str]) -> Answer:
    connection = _Pinned(parts, addresses)
    end = threading.Timer(PATIENCE, connection.cut)
    end.daemon = True
    end.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(SHOWN).decode("utf-8", "replace"))
    except TimeoutError as error:
        raise Undelivered(SILENT) from error
    except ssl.SSLError as error:
        raise Undelivered(SILENT if connection.late else UNTRUSTED) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Undelivered(SILENT if connection.late else BROKEN) from error
    finally:
        end.cancel()
        connection.close()
