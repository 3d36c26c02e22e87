"""Servers of others, in threads of the test process, spoken to over real HTTP: a registrar and a host of mailboxes.

Each does what it is asked and remembers it; ``mischief`` says how the next answers are lost or spoiled.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import quoteattr

API_KEY = "namecheap-key-for-tests-0123456789"
MAIL_KEY = "AAAAAA-BBBBBB-CCCCCC-DDDDDD-EEEEEE"
_HEAD = '<?xml version="1.0" encoding="utf-8"?><ApiResponse Status="{0}" xmlns="http://api.namecheap.com/xml.response">'
_FOOT = "<Server>PHX01</Server><GMTTimeDifference>--5:00</GMTTimeDifference></ApiResponse>"
OK = _HEAD.replace("{0}", "OK") + "<Errors /><Warnings /><RequestedCommand>{0}</RequestedCommand>" \
     '<CommandResponse Type="{0}">{1}</CommandResponse>' + _FOOT  # fmt: skip
ERROR = _HEAD.replace("{0}", "ERROR") + '<Errors><Error Number="{1}">{2}</Error></Errors><Warnings />' \
        '<RequestedCommand>{0}</RequestedCommand><CommandResponse Type="{0}" />' + _FOOT  # fmt: skip


@dataclass
class Namecheap:
    """A reseller's account. ``taken``: names of others; ``prices`` in dollars by suffix."""

    url: str = ""
    owned: dict[str, str] = field(default_factory=dict)
    zones: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    premium: set[str] = field(default_factory=set)
    prices: dict[str, str] = field(default_factory=lambda: {"com": "10.28", "test": "10.28"})
    renewals: dict[str, str] = field(default_factory=lambda: {"com": "14.98", "test": "14.98"})
    error: tuple[str, str] | None = None
    #: command → "lost" (done, the answer never comes), "down" (500), "junk" (no XML), each once.
    mischief: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def commands(self) -> list[str]:
        """What was asked, in order."""
        return [command.removeprefix("namecheap.") for command, _ in self.calls]

    def count(self, command: str) -> int:
        """How often."""
        return self.commands().count(command)

    def answer(self, fields: dict[str, str]) -> str:
        """Do what is asked, and say so."""
        command = fields.get("Command", "")
        self.calls.append((command, fields))
        if fields.get("ApiKey") != API_KEY:
            return ERROR.format(command, "1011102", "API Key is invalid or API access has not been enabled")
        if self.error:
            return ERROR.format(command, *self.error)
        return getattr(self, "_" + command.replace("namecheap.", "").replace(".", "_"))(command, fields)

    def _domains_check(self, command: str, fields: dict[str, str]) -> str:
        name = fields["DomainList"]
        free = name not in self.taken and name not in self.owned
        premium, price = name in self.premium, "1200.5000" if name in self.premium else "0"
        return OK.format(command, f'<DomainCheckResult Domain="{name}" Available="{str(free).lower()}" ErrorNo="0" '
                         f'Description="" IsPremiumName="{str(premium).lower()}" PremiumRegistrationPrice="{price}" '
                         f'PremiumRenewalPrice="{price}" IcannFee="0" EapFee="0.0" />')  # fmt: skip

    def _users_getPricing(self, command: str, fields: dict[str, str]) -> str:
        suffix = fields["ProductName"].lower()
        table = self.prices if fields["ActionName"] == "REGISTER" else self.renewals
        if suffix not in table:
            return ERROR.format(command, "2011298", "ProductName is invalid")
        price = table[suffix]
        return OK.format(command, f'<UserGetPricingResult><ProductType Name="domains"><ProductCategory '
                         f'Name="{fields["ActionName"].lower()}"><Product Name="{suffix}">'
                         f'<Price Duration="1" DurationType="YEAR" Price="{price}" RegularPrice="99.98" '
                         f'YourPrice="{price}" AdditionalCost="0.20" CouponPrice="" Currency="USD" />'
                         f'<Price Duration="2" DurationType="YEAR" Price="26.26" YourPrice="26.26" Currency="USD" />'
                         f"</Product></ProductCategory></ProductType></UserGetPricingResult>")  # fmt: skip

    def _domains_getInfo(self, command: str, fields: dict[str, str]) -> str:
        name = fields["DomainName"]
        if name not in self.owned:
            return ERROR.format(command, "2019166", "Domain not found")
        return OK.format(command, f'<DomainGetInfoResult Status="Ok" ID="57582" DomainName="{name}" OwnerName="shop" '
                         f'IsOwner="true" IsPremium="false"><DomainDetails><CreatedDate>01/15/2027</CreatedDate>'
                         f"<ExpiredDate>{self.owned[name]}</ExpiredDate><NumYears>0</NumYears></DomainDetails>"
                         f'<DnsDetails ProviderType="FREE" IsUsingOurDNS="true" /></DomainGetInfoResult>')  # fmt: skip

    def _domains_create(self, command: str, fields: dict[str, str]) -> str:
        name = fields["DomainName"]
        if name in self.taken or name in self.owned:
            return ERROR.format(command, "2033409", "Domain is not available")
        if not fields.get("RegistrantEmailAddress"):
            return ERROR.format(command, "2010324", "Parameter RegistrantEmailAddress is Missing")
        self.owned[name] = "01/15/2028"
        self.zones[name] = [
            {"HostName": "www", "RecordType": "CNAME", "Address": "parkingpage.namecheap.com.", "MXPref": "10"},
            {"HostName": "@", "RecordType": "URL", "Address": "http://www." + name + "/?from=@", "MXPref": "10"},
        ]
        return OK.format(command, f'<DomainCreateResult Domain="{name}" Registered="true" ChargedAmount="10.4800" '
                         f'DomainID="57582" OrderID="196074" TransactionID="380716" WhoisguardEnable="true" '
                         f'NonRealTimeDomain="false" />')  # fmt: skip

    def _domains_renew(self, command: str, fields: dict[str, str]) -> str:
        name = fields["DomainName"]
        day, _, year = self.owned[name].rpartition("/")
        self.owned[name] = f"{day}/{int(year) + 1}"
        return OK.format(command, f'<DomainRenewResult DomainName="{name}" DomainID="57582" Renew="true" '
                         f'OrderID="109116" TransactionID="119569" ChargedAmount="15.1800" />')  # fmt: skip

    def _domains_dns_getHosts(self, command: str, fields: dict[str, str]) -> str:
        name = f"{fields['SLD']}.{fields['TLD']}"
        if name not in self.zones:
            return ERROR.format(command, "2019166", "Domain not found")
        hosts = "".join(
            f'<host HostId="{i}" Name={quoteattr(h["HostName"])} Type="{h["RecordType"]}" '
            f'Address={quoteattr(h["Address"])} MXPref="{h["MXPref"]}" TTL="1800" IsActive="true" />'
            for i, h in enumerate(self.zones[name], 12)
        )
        return OK.format(command, f'<DomainDNSGetHostsResult Domain="{name}" IsUsingOurDNS="true">{hosts}'
                         f"</DomainDNSGetHostsResult>")  # fmt: skip

    def _domains_dns_setHosts(self, command: str, fields: dict[str, str]) -> str:
        name, i, zone = f"{fields['SLD']}.{fields['TLD']}", 1, []
        if name not in self.owned:
            return ERROR.format(command, "2019166", "Domain not found")
        while f"HostName{i}" in fields:
            zone.append({k: fields.get(f"{k}{i}", "10") for k in ("HostName", "RecordType", "Address", "MXPref")})
            i += 1
        self.zones[name] = zone
        return OK.format(command, f'<DomainDNSSetHostsResult Domain="{name}" IsSuccess="true"><Warnings />'
                         f"</DomainDNSSetHostsResult>")  # fmt: skip


@dataclass
class Mailcow:
    """A mailcow. Its ``log`` repeats what was sent, with stars for passwords, as the real one does."""

    url: str = ""
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)
    mailboxes: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    mischief: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def count(self, path: str) -> int:
        """How often something was asked for."""
        return sum(called == path for called, _ in self.calls)

    def answer(self, path: str, body: Any) -> Any:
        """Do what is asked, and say so."""
        self.calls.append((path, body))
        action, _, rest = path.partition("/")
        if action == "get":
            return self._get(*rest.split("/", 1))
        return getattr(self, f"_{action}_{rest}")(body)

    def _get(self, what: str, name: str) -> Any:
        if what == "domain":
            found = self.domains.get(name)
            return {"domain_name": name, **found} if found else {}
        if what == "mailbox":
            found = self.mailboxes.get(name)
            return {"username": name, "name": found["name"], "quota": 3221225472} if found else {}
        key = self.keys.get(name)
        text = f"v=DKIM1;k=rsa;t=s;s=email;p={key}"
        return (
            {"pubkey": key, "length": "2048", "dkim_txt": text, "dkim_selector": "dkim", "privkey": ""} if key else []
        )

    def _add_domain(self, body: Any) -> Any:
        if body["domain"] in self.domains:
            return [_said("danger", ["domain_exists", body["domain"]])]
        self.domains[body["domain"]] = {"max_num_mboxes_for_domain": int(body["mailboxes"])}
        return [_said("success", ["rl_saved", body["domain"]]), _said("success", ["domain_added", body["domain"]])]

    def _edit_domain(self, body: Any) -> Any:
        for name in body["items"]:
            self.domains[name]["max_num_mboxes_for_domain"] = int(body["attr"]["mailboxes"])
        return [_said("success", ["domain_modified", *body["items"]])]

    def _delete_domain(self, body: Any) -> Any:
        for name in body:
            if any(address.endswith(f"@{name}") for address in self.mailboxes):
                return [_said("danger", ["domain_not_empty", name])]
            self.domains.pop(name, None)
        return [_said("success", ["domain_removed", *body])]

    def _add_dkim(self, body: Any) -> Any:
        self.keys[body["domains"]] = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A" * 10
        return [_said("success", ["dkim_added", body["domains"]])]

    def _add_mailbox(self, body: Any) -> Any:
        address = f"{body['local_part']}@{body['domain']}"
        domain = self.domains.get(body["domain"])
        if domain is None:
            return [_said("danger", "mailbox_invalid")]
        if address in self.mailboxes:
            return [_said("danger", ["object_exists", address])]
        if len(body["password"]) < 8:
            return [_said("danger", "password_complexity")]
        if sum(a.endswith("@" + body["domain"]) for a in self.mailboxes) >= domain["max_num_mboxes_for_domain"]:
            return [_said("danger", ["max_mailbox_exceeded", 1, 1])]
        self.mailboxes[address] = {"name": body["name"], "password": body["password"], "set": 1}
        return [_said("success", ["mailbox_added", address])]

    def _edit_mailbox(self, body: Any) -> Any:
        for address in body["items"]:
            self.mailboxes[address] |= {"password": body["attr"]["password"]}
            self.mailboxes[address]["set"] += 1
        return [_said("success", ["mailbox_modified", *body["items"]])]

    def _delete_mailbox(self, body: Any) -> Any:
        for address in body:
            self.mailboxes.pop(address, None)
        return [_said("success", ["mailbox_removed", *body])]


def _said(kind: str, msg: Any) -> dict[str, Any]:
    return {"type": kind, "log": ["mailbox", "add", "mailbox", {"password": "*", "password2": "*"}, None], "msg": msg}


@contextmanager
def namecheap() -> Iterator[Namecheap]:
    """An account at a registrar on this machine."""
    account = Namecheap()

    class Handler(_Handler):
        def do_POST(self) -> None:
            fields = {
                name: values[-1] for name, values in parse_qs(self.sent().decode(), keep_blank_values=True).items()
            }
            what = account.mischief.pop(fields.get("Command", "").removeprefix("namecheap."), "")
            if what == "down":
                self.say(500, "text/html", b"<h1>Server Error</h1>")
                return
            body = account.answer(fields)
            if what != "lost":
                self.say(200, "text/xml", b"<html>cut" if what == "junk" else body.encode())

    with _served(Handler) as url:
        account.url = f"{url}/xml.response"
        yield account


@contextmanager
def mailcow() -> Iterator[Mailcow]:
    """A host of mailboxes on this machine."""
    host = Mailcow()

    class Handler(_Handler):
        def do_GET(self) -> None:
            self._go(None)

        def do_POST(self) -> None:
            self._go(json.loads(self.sent()))

        def _go(self, body: Any) -> None:
            path = unquote(self.path).removeprefix("/api/v1/")
            if self.headers.get("X-API-Key") != MAIL_KEY:
                self.say(401, "application/json", b'{"type":"error","msg":"authentication failed"}')
                return
            what = host.mischief.pop(path, "")
            if what == "down":
                self.say(502, "text/html", b"bad gateway")
                return
            said = host.answer(path, body)
            if what != "lost":
                self.say(200, "application/json", json.dumps(said).encode())

    with _served(Handler) as url:
        host.url = url
        yield host


class _Handler(BaseHTTPRequestHandler):
    def sent(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def say(self, status: int, kind: str, body: bytes) -> None:
        """Answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: a failing test shows what matters."""


@contextmanager
def _served(handler: type[_Handler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
