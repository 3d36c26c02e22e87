"""The servers of others, and gateways that speak to them."""

from collections.abc import Iterator

import pytest
from flask import Flask

from config import Config
from portal.gateways.dns import Dns
from portal.gateways.mailboxes import MailHost
from portal.gateways.registrar import Registrar
from tests.support import far_servers, name_server
from tests.support.far_servers import Mailcow, Namecheap
from tests.support.name_server import NameServer

CONTACT = (
    '{"FirstName": "Olga", "LastName": "Operator", "Address1": "Ring 1", "City": "Graz", "StateProvince": "Styria", '
    '"PostalCode": "8010", "Country": "AT", "Phone": "+43.316123456", "EmailAddress": "names@platform.example"}'
)


@pytest.fixture(autouse=True)
def _session(app: Flask) -> None:
    """Gateways make sure that no transaction is open, for which they need the app's session."""


@pytest.fixture
def account() -> Iterator[Namecheap]:
    """An account at the registrar."""
    with far_servers.namecheap() as running:
        yield running


@pytest.fixture
def registrar(account: Namecheap) -> Registrar:
    """The gateway to it."""
    return Registrar(registrar_config(account))


def registrar_config(account: Namecheap, **changed: object) -> Config:
    """Settings for it."""
    given = {
        "namecheap_api_user": "shop", "namecheap_api_key": far_servers.API_KEY, "namecheap_client_ip": "203.0.113.5",
        "namecheap_api_url": account.url, "namecheap_contact": CONTACT, "namecheap_max_price": "20",
    }  # fmt: skip
    return Config(app_env="test", **{**given, **changed})  # type: ignore[arg-type]


@pytest.fixture
def mailcow() -> Iterator[Mailcow]:
    """A host of mailboxes."""
    with far_servers.mailcow() as running:
        yield running


@pytest.fixture
def host(mailcow: Mailcow) -> MailHost:
    """The gateway to it."""
    return MailHost(mailcow.url, far_servers.MAIL_KEY, "mail.platform.example", 3072)


@pytest.fixture
def names() -> Iterator[NameServer]:
    """A name server."""
    with name_server.serving() as running:
        yield running


@pytest.fixture
def resolver(names: NameServer) -> Dns:
    """The gateway to it."""
    return Dns((names.address,))
