"""Making and deleting mailboxes at their host: ask first, then act, then record. Each can be repeated."""

from portal.addons import mailbox_queries, mailboxes
from portal.addons.rules import MailboxState
from portal.gateways import mailboxes as gateway
from portal.gateways.mailboxes import MailHost
from portal.kit.errors import PortalError, TooMany, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work

REFUSED = N_("The mail server refused this address. Write to us, we look at it.")


def make(vendor_id: int, mailbox_id: int) -> None:
    """Make the mailbox, or give the one that is there its newest password. Unavailable: the job tries again."""
    mailbox = mailbox_queries.get(vendor_id, mailbox_id)
    if mailbox is None or mailbox.state == MailboxState.REMOVED or not mailbox.password:
        return
    sealed, password = mailbox.password, mailboxes.password_of(mailbox) or ""
    needed = mailbox_queries.live(vendor_id, mailbox.domain_id)
    try:
        _make(_host(), mailbox.address, mailbox.name, password, needed)
    except (Unavailable, TooMany):
        raise
    except PortalError as error:
        why = next(iter(error.fields.values()), REFUSED)
        with unit_of_work():
            mailboxes.not_made(mailbox_id, vendor_id, sealed, why)
        return
    with unit_of_work():
        mailboxes.made(mailbox_id, vendor_id, sealed)


def _make(host: MailHost, address: str, name: str, password: str, needed: int) -> None:
    if host.has_mailbox(address):
        host.set_password(address, password)
        return
    domain = address.partition("@")[2]
    room = host.room(domain)
    if room is not None and room < needed:  # more are allowed than the package brings: an override
        host.resize_domain(domain, needed)
    host.add_mailbox(address, name, password)


def drop(vendor_id: int, mailbox_id: int) -> None:
    """Delete a mailbox that was removed here."""
    mailbox = mailbox_queries.get(vendor_id, mailbox_id)
    if mailbox is None or mailbox.state != MailboxState.REMOVED or mailbox.error != mailboxes.LEAVING:
        return
    _host().drop_mailbox(mailbox.address)
    with unit_of_work():
        mailboxes.dropped(mailbox_id, vendor_id)


def _host() -> MailHost:
    host = gateway.current()
    if host is None:
        raise Unavailable(code="mail_host_gone")
    return host
