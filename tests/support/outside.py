"""Fixtures of the world outside: a name server, a registrar, a host of mailboxes, and gateways that speak to them."""

from collections.abc import Iterator

import pytest

from config import Config
from portal.addons import availability, domain_names, platform_address
from portal.addons.domain_names import Rules
from portal.addons.platform_address import Platform
from portal.gateways import dns, mailboxes, registrar
from portal.gateways.dns import Dns
from portal.gateways.mailboxes import MailHost
from portal.gateways.registrar import Registrar
from tests.support import far_servers, name_server
from tests.support.far_servers import Mailcow, Namecheap
from tests.support.name_server import NameServer

PLATFORM = Platform("lumashop.com")
CONTACT = (
    '{"FirstName": "Olga", "LastName": "Operator", "Address1": "Ring 1", "City": "Graz", "StateProvince": "Styria", '
    '"PostalCode": "8010", "Country": "AT", "Phone": "+43.316123456", "EmailAddress": "names@platform.example"}'
)


@pytest.fixture
def platform() -> Iterator[Platform]:
    """Shops are under lumashop.com."""
    before = platform_address.current(), domain_names._rules
    platform_address.configure(PLATFORM)
    domain_names.configure(Rules(own=("lumashop.com",), trying=True))
    yield PLATFORM
    platform_address.configure(before[0])
    domain_names.configure(before[1])


@pytest.fixture
def names(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """A name server that the portal asks; it knows where the platform is."""
    with name_server.serving() as running:
        monkeypatch.setattr(dns, "_current", Dns((running.address,)))
        running.set("kilim-house.lumashop.com", "A", "203.0.113.9")
        yield running


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Namecheap]:
    """An account at a registrar that the portal buys names with."""
    with far_servers.namecheap() as running:
        monkeypatch.setattr(registrar, "_current", Registrar(registrar_config(running)))
        availability.forget()
        yield running
    availability.forget()


@pytest.fixture
def mailcow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailcow]:
    """A host that the portal makes mailboxes at."""
    with far_servers.mailcow() as running:
        host = MailHost(running.url, far_servers.MAIL_KEY, "mail.platform.example", 3072)
        monkeypatch.setattr(mailboxes, "_current", host)
        yield running


def registrar_config(account: Namecheap, **changed: object) -> Config:
    """Settings for it."""
    given = {
        "namecheap_api_user": "shop", "namecheap_api_key": far_servers.API_KEY, "namecheap_client_ip": "203.0.113.5",
        "namecheap_api_url": account.url, "namecheap_contact": CONTACT, "namecheap_max_price": "20",
    }  # fmt: skip
    return Config(app_env="test", **{**given, **changed})  # type: ignore[arg-type]
