"""The host of mailboxes, through mailcow's API: JSON both ways, a key in a header.

mailcow answers 200 to nearly everything and says in the body what came of it. Its ``log`` repeats what was sent, so
that nothing but the code of a refusal is ever passed on.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from config import Config
from portal.kit.errors import Invalid, PortalError, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import assert_no_transaction

PATIENCE = (5, 20)
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
#: It is there already; whoever asks first never meets it, except when two ask at once.
_EXISTS = frozenset({"object_exists", "domain_exists", "mailbox_exists"})


class MailHostRefused(PortalError):
    """mailcow says no; ``code`` of params is its own word for why."""

    status, code, message = 409, "mail_host_refused", N_("The mail server refused: %(detail)s")


class Dkim(NamedTuple):
    """The public half of the key that a domain's mails are signed with."""

    selector: str
    text: str


@dataclass(frozen=True, slots=True)
class MailHost:
    """One mailcow. ``name`` is what MX records point to."""

    url: str
    key: str
    name: str
    quota_mb: int

    def room(self, domain: str) -> int | None:
        """For how many mailboxes of this domain there is room; None when it takes no mail for it."""
        found = self._get(f"get/domain/{quote(domain)}")
        return int(found.get("max_num_mboxes_for_domain") or 0) if found.get("domain_name") else None

    def add_domain(self, domain: str, mailboxes: int) -> None:
        """Take mail for a domain, with room for so many mailboxes; what exists already stays as it is."""
        self._post(
            "add/domain",
            {
                "domain": domain,
                "description": "",
                "aliases": 4 * mailboxes,
                "mailboxes": mailboxes,
                "defquota": self.quota_mb,
                "maxquota": self.quota_mb,
                "quota": self.quota_mb * mailboxes,
                "active": "1",
                "restart_sogo": "1",
            },
        )

    def resize_domain(self, domain: str, mailboxes: int) -> None:
        """Room for another number of mailboxes."""
        room = {"mailboxes": mailboxes, "quota": self.quota_mb * mailboxes, "aliases": 4 * mailboxes}
        self._post("edit/domain", {"items": [domain], "attr": room})

    def drop_domain(self, domain: str) -> None:
        """Take no mail for it any more; harmless when there is none."""
        if self.room(domain) is not None:
            self._post("delete/domain", [domain])

    def dkim(self, domain: str) -> Dkim | None:
        """The key that signs, if one was made."""
        found = self._get(f"get/dkim/{quote(domain)}")
        if not found.get("dkim_txt"):
            return None
        return Dkim(str(found.get("dkim_selector") or "dkim"), str(found["dkim_txt"]))

    def add_dkim(self, domain: str) -> None:
        """Let the host make a key; it keeps the private half."""
        self._post("add/dkim", {"domains": domain, "dkim_selector": "dkim", "key_size": "2048"})

    def has_mailbox(self, address: str) -> bool:
        """Is there such a mailbox?"""
        return bool(self._get(f"get/mailbox/{quote(address)}").get("username"))

    def add_mailbox(self, address: str, name: str, password: str) -> None:
        """Make a mailbox. Invalid (field ``password``) when the host finds the password too weak."""
        local, _, domain = address.partition("@")
        self._post(
            "add/mailbox",
            {
                "local_part": local,
                "domain": domain,
                "name": name,
                "password": password,
                "password2": password,
                "quota": self.quota_mb,
                "active": "1",
                "force_pw_update": "0",
                "tls_enforce_in": "0",
                "tls_enforce_out": "0",
            },
        )

    def set_password(self, address: str, password: str) -> None:
        """Another password; the same again changes nothing."""
        self._post("edit/mailbox", {"items": [address], "attr": {"password": password, "password2": password}})

    def drop_mailbox(self, address: str) -> None:
        """Delete a mailbox with its mails; harmless when there is none."""
        if self.has_mailbox(address):
            self._post("delete/mailbox", [address])

    def _get(self, path: str) -> dict[str, Any]:
        """One object; empty when there is none (mailcow answers {} or [])."""
        said = self._call("GET", path, None)
        found: dict[str, Any] = (said[0] if said else {}) if isinstance(said, list) else said
        if found.get("type") in ("danger", "error"):
            raise _refusal(found)
        return found

    def _post(self, path: str, body: Any) -> None:
        said = self._call("POST", path, body)
        entries = said if isinstance(said, list) else [said]
        bad = [e for e in entries if e.get("type") != "success"]
        if not entries or (bad and not all(_word(e) in _EXISTS for e in bad)):
            raise _refusal(bad[0] if bad else {})

    def _call(self, method: str, path: str, body: Any) -> Any:
        import requests

        assert_no_transaction()
        try:
            answer = requests.request(
                method, f"{self.url}/api/v1/{path}", json=body, headers={"X-API-Key": self.key}, timeout=PATIENCE,
                allow_redirects=False,
            )  # fmt: skip
            if answer.status_code in (401, 403):
                raise Unavailable(code="mail_host_key")
            if answer.status_code != 200:
                raise Unavailable(code="mail_host_unavailable")
            said = answer.json()
        except (requests.RequestException, ValueError):  # the request's body may hold a password
            raise Unavailable(code="mail_host_unavailable") from None
        if not isinstance(said, dict | list):
            raise Unavailable(code="mail_host_unavailable")
        return said


def _word(entry: dict[str, Any]) -> str:
    """mailcow's own word: ``msg`` is a text, or a list that begins with it."""
    said = entry.get("msg")
    return str(said[0] if isinstance(said, list) and said else said or "")


def _refusal(entry: dict[str, Any]) -> PortalError:
    word = _word(entry)[:80]
    if word in ("password_complexity", "password_empty"):
        return Invalid(code="weak_password", fields={"password": N_("The mail server finds this password too weak.")})
    if word in ("authentication failed", "access_denied"):
        return Unavailable(code="mail_host_key")
    return MailHostRefused(detail=word or "?")


_current: MailHost | None = None


def configure(config: Config) -> None:
    """Set the mail host of this process, or none. An address without TLS is taken on this machine alone."""
    global _current
    _current = None
    if not config.mailboxes_configured:
        return
    parts = urlsplit(config.mailcow_url)
    if parts.scheme != "https" and parts.hostname not in _LOCAL:
        raise ValueError("MAILCOW_URL must be an https address")
    name = config.mailcow_host or parts.hostname or ""
    key = config.mailcow_api_key.get_secret_value()
    _current = MailHost(config.mailcow_url.rstrip("/"), key, name.lower(), config.mailcow_quota_mb)


def current() -> MailHost | None:
    """The mail host, or None where none is configured."""
    return _current
