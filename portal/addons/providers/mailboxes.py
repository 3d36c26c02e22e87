"""An email package at the operator's mailcow (ADD-4): the domain there, its key, its DNS records; then mailboxes.

The mailboxes themselves are made one by one, when the vendor asks for them (``mailbox_flows``).
"""

from datetime import datetime, timedelta

from portal.addons import domain_checks, domain_names, domain_queries, domain_rules, domains, mailbox_queries, mailboxes
from portal.addons.domain_queries import DomainRow
from portal.addons.domain_rules import MAIL, Verdict
from portal.addons.providers import (
    Context,
    Done,
    Found,
    Outcome,
    Place,
    Recipe,
    Retry,
    Step,
    WaitStaff,
    WaitVendor,
    register,
)
from portal.addons.providers.registrar import add_hosts, host_of
from portal.addons.rules import DomainKind, DomainState
from portal.gateways import mailboxes as gateway
from portal.gateways import registrar
from portal.gateways.mailboxes import MailHost
from portal.kit.errors import NotFound, Unavailable
from portal.kit.text import N_

DOMAIN_FIRST = N_("Mail begins when %(domain)s works. Your domains page says what is missing.")
SOMEBODYS = N_("There are mailboxes of somebody else at %(domain)s. Somebody of us looks at it.")
SET_RECORDS = N_("Set the records for mail that your domains page shows at %(domain)s. We look every few minutes.")
SPREADING = N_("We have set the records of %(domain)s. There is nothing for you to do until everybody knows them.")
LOOK_AGAIN, SPREADS_IN, LOOK_BY = timedelta(hours=1), timedelta(minutes=10), timedelta(days=1)


def _host() -> MailHost:
    found = gateway.current()
    if found is None:
        raise Unavailable(code="mail_host_gone")
    return found


def _domain(ctx: Context) -> DomainRow:
    return domain_queries.one(ctx.vendor_id, int(ctx.config["domain_id"]))


def _works(domain: DomainRow) -> bool:
    return domain.state in (DomainState.ACTIVE, DomainState.FAILING)


class MakeRoom(Step):
    """The host takes mail for the domain, with as many mailboxes as the packages bring."""

    code = "make_room"
    title = N_("Preparing the mail server")
    place = Place.DOMAINS

    def find(self, ctx: Context) -> Found | None:
        """Is there exactly that much room?"""
        domain = _domain(ctx)
        if not _works(domain) or mailbox_queries.others_at(ctx.vendor_id, domain.name):
            return None
        room = mailbox_queries.room_for(ctx.vendor_id, domain.id)
        return Found(domain.name) if _host().room(domain.name) == room else None

    def act(self, ctx: Context) -> Outcome:
        """Make the domain there, or give it more or less room."""
        domain = _domain(ctx)
        if not _works(domain):
            return WaitVendor(DOMAIN_FIRST, LOOK_AGAIN, {"domain": domain.shown})
        if mailbox_queries.others_at(ctx.vendor_id, domain.name):
            return WaitStaff(SOMEBODYS, ctx.now + LOOK_BY, data={"domain": domain.shown}, check_after=LOOK_AGAIN)
        room, host = mailbox_queries.room_for(ctx.vendor_id, domain.id), _host()
        if host.room(domain.name) is None:
            host.add_domain(domain.name, room)
        else:
            host.resize_domain(domain.name, room)
        return Done(domain.name)


class MakeKey(Step):
    """The key that the domain's mails are signed with; its private half never leaves the host."""

    code = "make_key"
    title = N_("Making the key that signs your mails")
    staff_title = N_("Making the key that signs the vendor's mails")

    def find(self, ctx: Context) -> Found | None:
        """Is there one?"""
        key = _host().dkim(_domain(ctx).name)
        return Found(result={"selector": key.selector, "text": key.text}) if key else None

    def act(self, ctx: Context) -> Outcome:
        """Let the host make it, and read its public half."""
        domain, host = _domain(ctx), _host()
        host.add_dkim(domain.name)
        key = host.dkim(domain.name)
        if key is None:
            raise Unavailable(code="mail_host_unavailable")
        return Done(result={"selector": key.selector, "text": key.text})

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """The domain's page shows what mail needs from now on."""
        if isinstance(outcome, Done) and outcome.result.get("text"):
            mail = {"host": _host().name, "selector": outcome.result["selector"], "text": outcome.result["text"]}
            domains.mail_comes(int(ctx.config["domain_id"]), ctx.vendor_id, mail)


class SetMailRecords(Step):
    """Where mail arrives and who may send it, in DNS: by us where the name is registered here, else by the vendor."""

    code = "set_mail_records"
    title = N_("DNS records for mail")
    place = Place.DOMAINS

    def find(self, ctx: Context) -> Found | None:
        """Only DNS knows, and asking it is what ``act`` does."""
        return None

    def act(self, ctx: Context) -> Outcome:
        """Look at DNS; set the records first where that is ours to do."""
        domain = _domain(ctx)
        looked = domain_checks.look(ctx.vendor_id, domain.id, now=ctx.now)
        if domain_rules.verdict(looked.checks, *MAIL) == Verdict.FOUND:
            return Done(domain.name)
        account = registrar.current()
        if domain.kind == DomainKind.REGISTERED and account is not None:
            _set_hosts(account, domain)
            return Retry(SPREADING, SPREADS_IN if ctx.attempt == 1 else None, {"domain": domain.shown})
        return WaitVendor(SET_RECORDS, LOOK_AGAIN, {"domain": domain.shown})


def _set_hosts(account: registrar.Registrar, domain: DomainRow) -> None:
    name = domain_names.known(domain.name)
    wanted = domain_rules.mail_records(name, domain.checks.get("mail"))
    ours = [host_of(record, name.registrable) for record in wanted]
    if not set(ours) <= set(account.hosts(name.registrable, name.suffix)):
        add_hosts(account, name, ours)


class RemoveMail(Step):
    """The package's mailboxes go, and the domain at the host when no other package is for it."""

    code = "remove_mail"
    title = N_("Deleting the mailboxes")

    def find(self, ctx: Context) -> Found | None:
        """Deleting what is not there is harmless, so that nobody needs to ask."""
        return None

    def act(self, ctx: Context) -> Outcome:
        """Delete them at the host."""
        host = _host()
        for address in mailbox_queries.addresses(ctx.vendor_id, ctx.vendor_addon_id):
            host.drop_mailbox(address)
        try:
            domain = _domain(ctx)
        except NotFound:
            return Done()
        room = mailbox_queries.room_for(ctx.vendor_id, domain.id, without=ctx.vendor_addon_id)
        if room:
            host.resize_domain(domain.name, room)
        elif not mailbox_queries.others_at(ctx.vendor_id, domain.name):
            host.drop_domain(domain.name)
        return Done(result={"last": not room})

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """The rows end, and with the last package what mail needs of DNS; again: nothing."""
        if not isinstance(outcome, Done):
            return
        mailboxes.remove_all(ctx.vendor_id, ctx.vendor_addon_id, now=now)
        if outcome.result.get("last"):
            domains.mail_comes(int(ctx.config["domain_id"]), ctx.vendor_id, None)


RECIPE = register(
    Recipe(
        "mailboxes",
        ("mailboxes",),
        setup=(MakeRoom, MakeKey, SetMailRecords),
        change=(MakeRoom,),
        teardown=(RemoveMail,),
        fits=lambda config: gateway.current() is not None,
    )
)
