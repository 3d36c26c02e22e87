"""The registrar, through Namecheap's reseller API: one address, form fields in, XML out.

The account's currency is what prices are in. Nothing here decides whether to buy: rooms ask, compare with the
operator's highest price, and then create. ``create`` is repeated only after ``registered`` has said no.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

from config import Config
from portal.kit.errors import Conflict, PortalError, Unavailable
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import assert_no_transaction

if TYPE_CHECKING:
    from lxml.etree import _Element

#: Seconds to connect and to answer: registering takes its time.
PATIENCE = (5, 40)
ROLES = ("Registrant", "Tech", "Admin", "AuxBilling")
#: What a registry wants to know of everybody in it.
CONTACT = (
    "FirstName",
    "LastName",
    "Address1",
    "City",
    "StateProvince",
    "PostalCode",
    "Country",
    "Phone",
    "EmailAddress",
)
_SPACE = "{http://api.namecheap.com/xml.response}"
#: Not in our account: unknown, somebody else's, or nobody's.
_NOT_OURS = frozenset({"2019166", "2016166", "2030166"})
#: Somebody has it: not available, order exists, domain exists already.
_TAKEN = frozenset({"2010398", "2033409", "3028166", "2033270"})
#: The key, the user or the address that we call from is refused.
_KEY = frozenset({"1010101", "1010102", "1011101", "1011102", "1011105", "1011147", "1011150", "1017150", "1019103"})


class RegistrarRefused(PortalError):
    """The registrar says no to what was asked, such as an end it does not sell; asking again changes nothing."""

    status, code, message = 409, "registrar_refused", N_("The registrar refused: %(detail)s")


class NameTaken(Conflict):
    """Somebody else was quicker, or has had the name for long."""

    code, message = "domain_taken", N_("This name is taken.")


class Registration(NamedTuple):
    """A name in our account, until when; ``charged`` where it was bought by this very call."""

    name: str
    reference: str
    until: datetime | None
    charged: Money | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """Can a name be had, and for what in its first year? ``why`` is the registrar's own remark."""

    available: bool
    premium: bool
    price: Money | None
    why: str = ""


class Host(NamedTuple):
    """A record of a zone: ``host`` is "@" or what stands before the registered name."""

    kind: str
    host: str
    value: str
    priority: int = 10


class Registrar:
    """Namecheap's API with one account's key, which is sent in the body and never stands in an address."""

    def __init__(self, config: Config) -> None:
        self._url = config.namecheap_api_url
        self._common = {
            "ApiUser": config.namecheap_api_user,
            "ApiKey": config.namecheap_api_key.get_secret_value(),
            "UserName": config.namecheap_user or config.namecheap_api_user,
            "ClientIp": config.namecheap_client_ip,
        }
        self._contact = config.registrar_contact
        self.highest = int((config.namecheap_max_price * 100).to_integral_value())

    def quote(self, ascii_name: str, suffix: str) -> Quote:
        """Availability and price; a name that is not available has no price."""
        (found,) = self._call("namecheap.domains.check", "DomainCheckResult", DomainList=ascii_name)
        if found.get("ErrorNo", "0") != "0":
            raise RegistrarRefused(detail=found.get("Description") or found.get("ErrorNo", ""))
        premium = _true(found, "IsPremiumName") or _amount(found.get("EapFee")) > 0
        available = _true(found, "Available")
        price = self._price(suffix, "REGISTER") if available and not premium else None
        return Quote(available, premium, price, found.get("Description") or "")

    def renewal_price(self, suffix: str) -> Money:
        """What another year costs."""
        return self._price(suffix, "RENEW")

    def _price(self, suffix: str, action: str) -> Money:
        """One year under a suffix, with what comes on top of it."""
        asked = {"ProductType": "DOMAIN", "ProductCategory": "DOMAINS", "ActionName": action}
        products = self._call("namecheap.users.getPricing", "Product", **asked, ProductName=suffix.upper())
        for product in products:
            category = (product.getparent().get("Name") or "").lower()
            if product.get("Name", "").lower() != suffix or category not in (action.lower(), "domains"):
                continue
            for price in product.iter(f"{_SPACE}Price"):
                if price.get("Duration") == "1" and price.get("DurationType") == "YEAR":
                    amount = _amount(price.get("Price")) or _amount(price.get("YourPrice"))
                    return _money(amount + _amount(price.get("AdditionalCost")), price.get("Currency"))
        raise RegistrarRefused(detail=f".{suffix}")

    def registered(self, ascii_name: str) -> Registration | None:
        """Is the name in our account? None when it certainly is not."""
        try:
            found = self._call("namecheap.domains.getInfo", "DomainGetInfoResult", DomainName=ascii_name)
        except RegistrarRefused as refused:
            if refused.params.get("number") in _NOT_OURS:
                return None
            raise
        (info,) = found
        if not _true(info, "IsOwner"):
            return None
        return Registration(ascii_name, info.get("ID") or "", _day(info.findtext(f".//{_SPACE}ExpiredDate")))

    def create(self, ascii_name: str) -> Registration:
        """Register for a year, with the registry's privacy. NameTaken when somebody has it."""
        people = {f"{role}{field}": value for role in ROLES for field, value in self._contact.items()}
        asked = {"DomainName": ascii_name, "Years": "1", "AddFreeWhoisguard": "yes", "WGEnabled": "yes"}
        (made,) = self._call("namecheap.domains.create", "DomainCreateResult", **asked, **people)
        if not _true(made, "Registered"):
            if _true(made, "NonRealTimeDomain"):  # the registry takes its time; asking tells when it is done
                raise Unavailable(
                    N_("The registry has taken the order and has not finished it."), code="registrar_slow"
                )
            raise RegistrarRefused(detail="not registered")
        return Registration(
            ascii_name, made.get("DomainID") or "", None, _money(_amount(made.get("ChargedAmount")), "USD")
        )

    def renew(self, ascii_name: str) -> None:
        """Pay for another year. The caller has asked until when it is paid for, and asks again afterwards."""
        (done,) = self._call("namecheap.domains.renew", "DomainRenewResult", DomainName=ascii_name, Years="1")
        if not _true(done, "Renew"):
            raise RegistrarRefused(detail="renew")

    def hosts(self, ascii_name: str, suffix: str) -> list[Host]:
        """The records of a name's zone at the registrar."""
        found = self._call("namecheap.domains.dns.getHosts", "host", **_split(ascii_name, suffix))
        return [
            Host(h.get("Type", ""), h.get("Name", ""), h.get("Address", "").rstrip("."), int(h.get("MXPref") or 10))
            for h in found
        ]

    def set_hosts(self, ascii_name: str, suffix: str, hosts: Sequence[Host]) -> None:
        """Make these the zone's only records. The same again changes nothing."""
        fields: dict[str, str] = {}
        for i, host in enumerate(hosts, 1):
            dotted = f"{host.value}." if host.kind in ("CNAME", "ALIAS", "MX") else host.value
            fields |= {f"HostName{i}": host.host, f"RecordType{i}": host.kind, f"Address{i}": dotted, f"TTL{i}": "1800"}
            if host.kind == "MX":
                fields |= {f"MXPref{i}": str(host.priority), "EmailType": "MX"}
        (done,) = self._call(
            "namecheap.domains.dns.setHosts", "DomainDNSSetHostsResult", **_split(ascii_name, suffix), **fields
        )
        if not _true(done, "IsSuccess"):
            raise RegistrarRefused(detail="setHosts")

    def _call(self, command: str, wanted: str, **fields: str) -> list["_Element"]:
        import requests

        assert_no_transaction()
        try:
            answer = requests.post(
                self._url, data={**self._common, "Command": command, **fields}, timeout=PATIENCE, allow_redirects=False
            )
        except requests.RequestException:  # its words hold nothing secret, and nothing that helps
            raise Unavailable(code="registrar_unavailable") from None
        if answer.status_code != 200:
            raise Unavailable(code="registrar_unavailable")
        root = _parsed(answer.content)
        if root.get("Status", "").upper() != "OK":
            raise _error(root)
        found = [e for e in root.iter() if isinstance(e.tag, str) and e.tag.lower() == f"{_SPACE}{wanted}".lower()]
        if not found and wanted != "host":
            raise Unavailable(code="registrar_unreadable")
        return found


def _parsed(body: bytes) -> "_Element":
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, dtd_validation=False, load_dtd=False)
    try:
        return etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise Unavailable(code="registrar_unreadable") from error


def _error(root: "_Element") -> PortalError:
    error = root.find(f".//{_SPACE}Error")
    number = error.get("Number", "") if error is not None else ""
    said = " ".join((error.text or "").split())[:300] if error is not None else ""
    if number in _TAKEN:
        return NameTaken()
    if number in _KEY:
        return Unavailable(code="registrar_key")
    if number.startswith("5"):  # their own fault, or too many calls
        return Unavailable(code="registrar_unavailable")
    return RegistrarRefused(detail=said or number, number=number)


def _split(ascii_name: str, suffix: str) -> Mapping[str, Any]:
    return {"SLD": ascii_name.removesuffix(f".{suffix}"), "TLD": suffix}


def _true(element: "_Element", attribute: str) -> bool:
    return (element.get(attribute) or "").lower() == "true"


def _amount(text: str | None) -> Decimal:
    try:
        return Decimal(text or "0")
    except InvalidOperation as error:
        raise Unavailable(code="registrar_unreadable") from error


def _money(amount: Decimal, currency: str | None) -> Money:
    """Rounded up: the guard must never think a name cheaper than it is."""
    return Money(int((amount * 100).to_integral_value(ROUND_CEILING)), currency or "USD")


def _day(text: str | None) -> datetime | None:
    """The registrar writes days as 09/25/2027."""
    try:
        return datetime.strptime((text or "").split(" ")[0], "%m/%d/%Y").replace(tzinfo=UTC)
    except ValueError:
        return None


_current: Registrar | None = None


def configure(config: Config) -> None:
    """Set the registrar of this process, or none."""
    global _current
    _current = Registrar(config) if config.registrar_configured else None


def current() -> Registrar | None:
    """The registrar, or None where none is configured."""
    return _current
