"""A domain that is registered for the vendor (ADD-4): price guard, registration, records, DNS.

Buying cannot be undone, so each step that spends or changes asks first. What is in the account before we ever bought
it is nobody's to hand out: a person looks. International names need a language that the registry asks for and no
vendor has chosen: they are registered by hand.
"""

from datetime import datetime, timedelta
from typing import Any

from portal.addons import domain_checks, domain_jobs, domain_names, domain_rules, domains, platform_address
from portal.addons.domain_names import DomainName
from portal.addons.domain_rules import Wanted
from portal.addons.models import Domain
from portal.addons.providers import Context, Done, Found, Outcome, Recipe, Refused, Retry, Step, WaitStaff, register
from portal.addons.providers.own_domain import NoteDomain, ReleaseDomain, domain_of, wants_registration
from portal.addons.rules import DomainKind, DomainState
from portal.gateways import registrar
from portal.gateways.registrar import Host, Quote, Registrar, Registration
from portal.kit.errors import Unavailable
from portal.kit.text import N_

TAKEN = N_("%(domain)s is taken by somebody else. We get in touch with you.")
PREMIUM = N_("%(domain)s is sold at a special price. We get in touch with you.")
TOO_DEAR = N_("%(domain)s costs more than this add-on covers. We get in touch with you.")
OURS_ALREADY = N_("%(domain)s is in our account already. Somebody of us looks at it.")
RENEWAL_TOO_DEAR = N_("Renewing %(domain)s costs %(price)s, more than is allowed here.")
SPREADING = N_("The name is yours. It takes a while until everybody's internet knows where it leads.")
#: By when a person should have looked.
LOOK_BY = timedelta(days=1)
#: New records are known to most within this time.
SPREADS_IN = timedelta(minutes=10)


def _account() -> Registrar:
    """The registrar; Unavailable when it was configured at the run's beginning and is not any more."""
    found = registrar.current()
    if found is None:
        raise Unavailable(code="registrar_gone")
    return found


def _name(ctx: Context) -> DomainName:
    return domain_names.known(ctx.config["name"])


def objection(quote: Quote, highest: int) -> str | None:
    """Why a name is not bought at this quote (a message id with ``domain``); ``highest`` in cents of the account."""
    if not quote.available:
        return TAKEN
    if quote.premium or quote.price is None:
        return PREMIUM
    return TOO_DEAR if quote.price.minor > highest else None


def _refusal(name: DomainName, quote: Quote, highest: int) -> Refused | None:
    why = objection(quote, highest)
    if why is None:
        return None
    price = f"{quote.price.minor / 100:.2f} {quote.price.currency}" if quote.price else "–"
    return Refused(why, {"domain": name.shown}, detail=f"{price}; {quote.why}".strip("; "))


class NoteRegistered(NoteDomain):
    """The name appears on the vendor's page, as one that is being registered."""

    kind = DomainKind.REGISTERED


class CheckName(Step):
    """Can it be had, at a price that the operator allows? From here on nobody else can have it here."""

    code = "check_name"
    title = N_("Checking that the name is free")

    def find(self, ctx: Context) -> Found | None:
        """A question changes nothing, so that it is simply asked."""
        return None

    def act(self, ctx: Context) -> Outcome:
        """Ask for the name and its price."""
        account, name = _account(), _name(ctx)
        if account.registered(name.registrable) is not None:
            return WaitStaff(OURS_ALREADY, ctx.now + LOOK_BY, data={"domain": name.shown})
        quote = account.quote(name.registrable, name.suffix)
        refused = _refusal(name, quote, account.highest)
        return refused or Done(result={"price": quote.price.minor if quote.price else None})

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """Held against everybody else here before it is bought."""
        if isinstance(outcome, Done):
            domains.hold_for_registering(domain_of(ctx).id, ctx.vendor_id)


class RegisterName(Step):
    """Buys it, for a year."""

    code = "register_name"
    title = N_("Registering the name")

    def find(self, ctx: Context) -> Found | None:
        """Is it in our account? It was not when the name was checked, so that it was us who bought it."""
        found = _account().registered(_name(ctx).registrable)
        return Found(found.reference, _result(found)) if found else None

    def act(self, ctx: Context) -> Outcome:
        """Buy it, unless its price has risen since it was checked."""
        account, name = _account(), _name(ctx)
        refused = _refusal(name, account.quote(name.registrable, name.suffix), account.highest)
        if refused is not None:
            return refused
        made = account.create(name.registrable)
        charged = {"charged": f"{made.charged.minor / 100:.2f} {made.charged.currency}"} if made.charged else {}
        until = account.registered(name.registrable)
        return Done(made.reference, {**_result(until or made), **charged})

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """Until when it is paid for."""
        if isinstance(outcome, Done):
            domains.registered(domain_of(ctx).id, ctx.vendor_id, _until(outcome.result))


class SetRecords(Step):
    """Points it to the shop, at the registrar's own DNS."""

    code = "set_records"
    title = N_("Setting its DNS records")

    def find(self, ctx: Context) -> Found | None:
        """Are they there?"""
        name = _name(ctx)
        there = _account().hosts(name.registrable, name.suffix)
        return Found() if set(_hosts(ctx, domain_of(ctx))) <= set(there) else None

    def act(self, ctx: Context) -> Outcome:
        """Set ours, keep what does not stand in their way (the mail's), drop the registrar's parking page."""
        name = _name(ctx)
        add_hosts(_account(), name, _hosts(ctx, domain_of(ctx)))
        return Done()


class SeeItWork(Step):
    """Waits until DNS leads here."""

    code = "see_it_work"
    title = N_("Waiting for DNS")

    def find(self, ctx: Context) -> Found | None:
        """Did a check see it in the meantime?"""
        domain = domain_of(ctx)
        return Found(domain.name) if domain.state in (DomainState.ACTIVE, DomainState.FAILING) else None

    def act(self, ctx: Context) -> Outcome:
        """Look."""
        domain = domain_of(ctx)
        if domain_checks.look(ctx.vendor_id, domain.id, now=ctx.now).state == DomainState.ACTIVE:
            return Done(domain.name)
        return Retry(SPREADING, SPREADS_IN if ctx.attempt == 1 else None)

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """The place that the name takes comes with this run's end."""
        if isinstance(outcome, Done):
            domain_jobs.count_soon(domain_of(ctx))


class Renew(Step):
    """Pays for another year, when the run says until when it is paid for now."""

    code = "renew_name"
    title = N_("Renewing the name")

    def find(self, ctx: Context) -> Found | None:
        """Is it paid for longer than it was when this was begun?"""
        found = _account().registered(_name(ctx).registrable)
        before = _until(ctx.input)
        if before is None:
            return Found()
        return Found(result=_result(found)) if found and found.until and found.until > before else None

    def act(self, ctx: Context) -> Outcome:
        """Renew for a year."""
        account, name = _account(), _name(ctx)
        price = account.renewal_price(name.suffix)
        if price.minor > account.highest:
            detail = {"domain": name.shown, "price": f"{price.minor / 100:.2f} {price.currency}"}
            return WaitStaff(RENEWAL_TOO_DEAR, ctx.now + LOOK_BY, data=detail)
        account.renew(name.registrable)
        return Done(result=_result(account.registered(name.registrable)))

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """Until when it is paid for now."""
        if isinstance(outcome, Done):
            domains.registered(domain_of(ctx).id, ctx.vendor_id, _until(outcome.result))


def add_hosts(account: Registrar, name: DomainName, ours: list[Host]) -> None:
    """Set records in a zone that is ours, beside those that stand at other places or are of other kinds."""
    taken = {(h.host, kind) for h in ours for kind in _excluded_by(h.kind)}
    present = account.hosts(name.registrable, name.suffix)
    others = [h for h in present if (h.host, h.kind) not in taken and h not in ours]
    account.set_hosts(name.registrable, name.suffix, [*ours, *others])


def _excluded_by(kind: str) -> tuple[str, ...]:
    """What cannot stand at a name beside a record of this kind, or must not: parking pages, addresses elsewhere."""
    pointing = ("A", "AAAA", "CNAME", "ALIAS", "URL", "URL301", "FRAME")
    return pointing if kind in pointing else ("MX", "MXE") if kind == "MX" else ()


def host_of(record: Wanted, zone: str) -> Host:
    """A wanted record as the registrar has it; a CNAME for the registered name itself is its ALIAS."""
    kind = "ALIAS" if record.kind == "CNAME" and record.host == "@" else record.kind
    if record.kind == "MX":
        priority, _, target = record.value.partition(" ")
        return Host("MX", record.host, target, int(priority))
    return Host(kind, domain_rules.host_in(zone, record.name), record.value)


def _hosts(ctx: Context, domain: Domain) -> list[Host]:
    name = _name(ctx)
    target = platform_address.of(ctx.vendor_code)
    records = domain_rules.wanted(name, domain.token, platform_address.current(), target)
    hosts = [host_of(record, name.registrable) for record in records]
    if name.is_apex:  # people type both
        hosts.append(Host("CNAME", "www", target))
    return hosts


def _result(found: Registration | None) -> dict[str, Any]:
    return {"until": found.until.isoformat()} if found and found.until else {}


def _until(result: Any) -> datetime | None:
    return datetime.fromisoformat(result["until"]) if result.get("until") else None


RECIPE = register(
    Recipe(
        "registrar",
        ("domain",),
        setup=(NoteRegistered, CheckName, RegisterName, SetRecords, SeeItWork),
        change=(Renew,),
        teardown=(ReleaseDomain,),
        fits=lambda config: (
            wants_registration(config)
            and registrar.current() is not None
            and str(config.get("name", "")).isascii()
            and "xn--" not in str(config.get("name", ""))
        ),
        rank=20,
    )
)
