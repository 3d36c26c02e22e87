"""The doctor's check of what domains and mailboxes need: DNS, the platform's address, registrar, mail server."""

from collections.abc import Iterator

from flask import current_app

from config import Config
from portal.cli.doctor_findings import FAIL, OK, WARN, Check, Finding
from portal.gateways import dns, mailboxes, registrar
from portal.gateways.dns import Word
from portal.gateways.registrar import CONTACT
from portal.kit.errors import PortalError
from portal.kit.unit_of_work import end_reading


def _config() -> Config:
    config: Config = current_app.extensions["portal_config"]
    return config


def platform_address() -> Iterator[Finding]:
    """Under what shops are found, and what a name of one's own points to."""
    config = _config()
    if not config.platform_base:
        yield Finding(
            WARN, "domains", "shops have no address of their own, so no name can point to one", "set PLATFORM_DOMAIN"
        )
        return
    says = f"shops are under {config.platform_base}"
    if config.shop_addresses:
        yield Finding(OK, "domains", f"{says}; registered names point to {', '.join(config.shop_addresses)}")
    else:
        advice = "set PLATFORM_ADDRESSES, since not every DNS can make an ALIAS of a registered name"
        yield Finding(WARN if config.in_production else OK, "domains", says, advice if config.in_production else "")


def resolvers() -> Iterator[Finding]:
    """Does DNS answer?"""
    end_reading()
    answers = dns.current().ask("example.com", "A")
    silent = [answer.why for answer in answers if answer.word == Word.SILENT]
    if not silent:
        yield Finding(OK, "DNS", f"{len(answers)} resolver(s) answer")
        return
    level = FAIL if len(silent) == len(answers) and _config().in_production else WARN
    says = f"{len(silent)} of {len(answers)} resolver(s) do not answer ({', '.join(silent)})"
    yield Finding(level, "DNS", says, "set DNS_RESOLVERS to resolvers that this machine reaches")


def registrar_account() -> Iterator[Finding]:
    """Can names be registered?"""
    account, config = registrar.current(), _config()
    if account is None:
        yield Finding(OK, "registrar", "none: vendors bring names of their own, others are registered by hand")
        return
    lacking = [name for name in CONTACT if not config.registrar_contact.get(name)]
    if lacking:
        yield Finding(FAIL, "registrar", f"NAMECHEAP_CONTACT lacks {', '.join(lacking)}", "complete it")
    try:
        account.quote("example.com", "com")
    except PortalError as error:
        yield Finding(FAIL, "registrar", f"Namecheap does not answer as it should ({error.code})", _advice(error))
    else:
        yield Finding(OK, "registrar", f"Namecheap answers; names up to {config.namecheap_max_price} are bought")


def _advice(error: PortalError) -> str:
    if error.code == "registrar_key":
        return "check key and user, and that NAMECHEAP_CLIENT_IP is on the account's list"
    return "try again later"


def mail_server() -> Iterator[Finding]:
    """Can mailboxes be made?"""
    host = mailboxes.current()
    if host is None:
        yield Finding(OK, "mailboxes", "no mail server: email packages are set up by hand")
        return
    try:
        host.room("example.com")
    except PortalError as error:
        do = "check MAILCOW_API_KEY and the addresses it is allowed from" if error.code == "mail_host_key" else ""
        yield Finding(FAIL, "mailboxes", f"mailcow does not answer as it should ({error.code})", do)
    else:
        yield Finding(OK, "mailboxes", f"mailcow answers; mail arrives at {host.name}")


CHECKS: tuple[Check, ...] = (platform_address, resolvers, registrar_account, mail_server)
