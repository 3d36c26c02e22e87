"""What the doctor says of domains: the platform's address, resolvers, registrar and mail server."""

import pytest
from flask import Flask

from portal.cli import doctor, doctor_domains
from portal.cli.doctor_findings import Finding
from portal.gateways import dns, mailboxes, registrar
from portal.gateways.dns import Dns
from portal.gateways.mailboxes import MailHost
from portal.gateways.registrar import Registrar
from tests.support import far_servers
from tests.support.far_servers import Mailcow, Namecheap
from tests.support.name_server import NameServer
from tests.support.outside import account, mailcow, names, platform, registrar_config

__all__ = ["account", "mailcow", "names", "platform"]


@pytest.fixture(autouse=True)
def _app(catalog: Flask) -> None:
    """The doctor looks at an app."""


def the(check: object) -> Finding:
    (found,) = doctor.examine((check,))  # type: ignore[arg-type]
    return found


def test_where_nothing_is_connected_that_is_said_and_fine() -> None:
    assert "under shops.localhost" in the(doctor_domains.platform_address).says
    assert (the(doctor_domains.registrar_account).level, the(doctor_domains.mail_server).level) == ("OK", "OK")


def test_resolvers_that_do_not_answer(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert the(doctor_domains.resolvers).level == "OK"
    names.says = "SERVFAIL"
    found = the(doctor_domains.resolvers)
    assert (found.level, found.says) == ("WARN", "1 of 1 resolver(s) do not answer (servfail)")
    monkeypatch.setattr(dns, "_current", Dns((names.address, names.address)))
    assert "2 of 2" in the(doctor_domains.resolvers).says


def test_a_registrar_with_a_wrong_key(account: Namecheap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrar, "_current", Registrar(registrar_config(account, namecheap_api_key="wrong")))
    found = doctor.examine((doctor_domains.registrar_account,))
    assert [f.level for f in found] == ["FAIL", "FAIL"]  # the app's own settings name no contact
    assert "NAMECHEAP_CONTACT lacks FirstName" in found[0].says and "NAMECHEAP_CLIENT_IP" in found[1].do
    assert not any("wrong" in f.says + f.do for f in found)


def test_a_registrar_that_answers(account: Namecheap) -> None:
    assert doctor.examine((doctor_domains.registrar_account,))[-1].level == "OK"


def test_a_mail_server_that_answers_and_one_with_a_wrong_key(mailcow: Mailcow, monkeypatch: pytest.MonkeyPatch) -> None:
    assert the(doctor_domains.mail_server).level == "OK"
    monkeypatch.setattr(mailboxes, "_current", MailHost(mailcow.url, "wrong-key-of-ours", "m", 1))
    found = the(doctor_domains.mail_server)
    assert found.level == "FAIL" and "MAILCOW_API_KEY" in found.do
    assert "wrong-key-of-ours" not in found.says + found.do and far_servers.MAIL_KEY not in found.says
