"""Delivering a mail: render, hand to the mail server without a transaction open, note that it went."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from portal.gateways import mail as gateway
from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.notifications import rendering
from portal.notifications.models import SentMail
from portal.notifications.rendering import Rendered
from portal.notifications.rules import one_line


def deliver(mail_id: int) -> None:
    """Send the mail, or keep it with its words where there is no mail server (NOT-2). Can be repeated.

    Raises Unavailable when the server does not take it or its answer is lost; the next try carries the same
    Message-ID, by which mail programs see that it is the same mail.
    """
    mail = db.session.get(SentMail, mail_id)
    if mail is None or mail.state != "queued":
        return
    rendered = rendering.render(mail)
    end_reading()
    transport = gateway.transport()
    if transport is None:
        _mark(mail_id, "kept", rendered)
        return
    transport.send(compose(mail, rendered))
    _mark(mail_id, "sent", rendered)


def compose(mail: SentMail, rendered: Rendered) -> EmailMessage:
    """The MIME message: text first, HTML as its alternative. Dated by the wall clock."""
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = mail.message_id
    message["Date"] = format_datetime(clock.wall())
    message["From"] = _address(rendered.sender_name, parseaddr(gateway.sender())[1])
    message["To"] = _address(mail.recipient_name, mail.recipient)
    if rendered.reply_to:
        message["Reply-To"] = _address(rendered.sender_name, rendered.reply_to)
    message["Subject"] = one_line(rendered.subject)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    return message


def _address(name: str, email: str) -> Address:
    """An address header; the domain as DNS writes it, since not every mail server takes it otherwise."""
    local, _, domain = email.rpartition("@")
    return Address(one_line(name), local, domain.encode("idna").decode("ascii"))


def _mark(mail_id: int, state: str, rendered: Rendered) -> None:
    with unit_of_work():
        mail = db.session.get_one(SentMail, mail_id, with_for_update=True, populate_existing=True)
        if mail.state != "queued":
            return
        mail.state, mail.subject, mail.sent_at = state, one_line(rendered.subject), clock.business()
        if state == "kept":
            mail.body_text, mail.body_html = rendered.text, rendered.html
