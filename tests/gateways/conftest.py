"""Gateways that speak to the servers of others."""

import pytest
from flask import Flask

from portal.gateways import dns, mailboxes, registrar
from portal.gateways.dns import Dns
from portal.gateways.mailboxes import MailHost
from portal.gateways.registrar import Registrar
from tests.support.far_servers import Mailcow, Namecheap
from tests.support.name_server import NameServer
from tests.support.outside import account, mailcow, names, platform

__all__ = ["account", "mailcow", "names", "platform"]


@pytest.fixture(autouse=True)
def _session(app: Flask) -> None:
    """Gateways make sure that no transaction is open, for which they need the app's session."""


@pytest.fixture(name="registrar")
def _registrar(account: Namecheap) -> Registrar:
    """The gateway to the account."""
    found = registrar.current()
    assert found is not None
    return found


@pytest.fixture
def host(mailcow: Mailcow) -> MailHost:
    """The gateway to the host of mailboxes."""
    found = mailboxes.current()
    assert found is not None
    return found


@pytest.fixture
def resolver(names: NameServer) -> Dns:
    """The gateway to the name server."""
    return dns.current()
