"""The mail server, by SMTP. Without one, ``transport`` is None and mails are kept for the local page (NOT-2)."""

import smtplib
import ssl
from email.message import EmailMessage

from config import Config
from portal.kit.errors import Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import assert_no_transaction

_transport: "SmtpTransport | None" = None
_sender = ""


class SmtpTransport:
    """One connection per mail; time-outs are short because a job tries again."""

    def __init__(self, config: Config) -> None:
        self._host, self._port, self._tls = config.smtp_host, config.smtp_port, config.smtp_tls
        self._login, self._password = config.smtp_user_email, config.smtp_password.get_secret_value()

    def send(self, message: EmailMessage) -> None:
        """Hand the mail to the server. Unavailable when it does not take it now; the caller tries again later."""
        assert_no_transaction()
        try:
            with self._connect() as server:
                if self._login:
                    server.login(self._login, self._password)
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(N_("The mail server did not take the mail."), code="smtp") from error

    def check(self) -> None:
        """Connect and sign in without sending; Unavailable says that it failed."""
        assert_no_transaction()
        try:
            with self._connect() as server:
                if self._login:
                    server.login(self._login, self._password)
                server.noop()
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(N_("The mail server does not answer as it should."), code="smtp") from error

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._tls == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=15, context=context)
        server = smtplib.SMTP(self._host, self._port, timeout=15)
        if self._tls == "starttls":
            server.starttls(context=context)
        return server


def configure(config: Config) -> None:
    """Set up the transport of this process, or none."""
    global _transport, _sender
    _transport = SmtpTransport(config) if config.mail_configured else None
    _sender = config.mail_from or config.smtp_user_email or "portal@localhost.localdomain"


def transport() -> SmtpTransport | None:
    """The mail server, or None."""
    return _transport


def sender() -> str:
    """The address that mails come from."""
    return _sender
