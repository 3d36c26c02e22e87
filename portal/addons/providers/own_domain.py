"""A domain that the vendor has elsewhere: it proves that it is its own and points it here, and we look (ADD-4)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from portal.addons import domain_checks, domain_jobs, domain_names, domains
from portal.addons.models import Domain
from portal.addons.providers import Context, Done, Found, Outcome, Place, Recipe, Step, WaitVendor, register
from portal.addons.rules import DomainKind, DomainState
from portal.gateways import registrar
from portal.kit.errors import NotFound
from portal.kit.text import N_

#: What an add-on's ``config`` says about how its name comes here.
REGISTER, OWN = "register", "own"

SET_RECORDS = N_("Set the records that your domains page shows at %(domain)s. We look every few minutes.")
HELD = N_("Another vendor here uses %(domain)s. If it is yours, write to us.")
#: Looks of its own as well; the domain's own checks wake the step as soon as it works.
LOOK_AGAIN = timedelta(hours=6)


def wants_registration(config: Mapping[str, Any]) -> bool:
    """Is the name to be registered? Where nothing was chosen: whenever there is a registrar."""
    chosen = config.get("how")
    return chosen == REGISTER if chosen in (REGISTER, OWN) else registrar.current() is not None


def domain_of(ctx: Context) -> Domain:
    """The row of the add-on's name; NotFound while the first step has not made it, or after it was removed."""
    found = domains.of_addon(ctx.vendor_id, ctx.vendor_addon_id)
    if found is None:
        raise NotFound
    return found


class NoteDomain(Step):
    """The name appears on the vendor's page, with what is to be done."""

    code = "note_domain"
    title = N_("Noting the name")
    kind = DomainKind.OWN

    def find(self, ctx: Context) -> Found | None:
        """It may be there: the vendor may have added it before."""
        return None

    def act(self, ctx: Context) -> Outcome:
        """Nobody outside is asked."""
        return Done(result={"domain": ctx.config["name"]})

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """The row; the same again gives the same."""
        if isinstance(outcome, Done):
            name = domain_names.known(ctx.config["name"])
            domains.claim(ctx.vendor_id, ctx.vendor_addon_id, name, self.kind, now=now)


class ProveAndPoint(Step):
    """Waits until DNS shows the proof and leads here."""

    code = "prove_and_point"
    title = N_("Proof and DNS")
    place = Place.DOMAINS

    def find(self, ctx: Context) -> Found | None:
        """Did a check see it in the meantime?"""
        domain = domain_of(ctx)
        return Found(domain.name) if domain.state in (DomainState.ACTIVE, DomainState.FAILING) else None

    def act(self, ctx: Context) -> Outcome:
        """Look at DNS; the vendor sets the records, so that looking is all that we can do."""
        domain = domain_of(ctx)
        looked = domain_checks.look(ctx.vendor_id, domain.id, now=ctx.now)
        if looked.state == DomainState.ACTIVE:
            return Done(domain.name)
        return WaitVendor(HELD if looked.held else SET_RECORDS, LOOK_AGAIN, {"domain": domain.shown})

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """The place that the name takes comes with this run's end."""
        if isinstance(outcome, Done):
            domain_jobs.count_soon(domain_of(ctx))


class ReleaseDomain(Step):
    """The shop is not found under the name any more."""

    code = "release_domain"
    title = N_("Taking the name off the shop")

    def find(self, ctx: Context) -> Found | None:
        """Only our own row knows."""
        return None

    def act(self, ctx: Context) -> Outcome:
        """Nobody outside is asked."""
        return Done()

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """The row ends; again: nothing."""
        domain = domains.of_addon(ctx.vendor_id, ctx.vendor_addon_id)
        if isinstance(outcome, Done) and domain is not None:
            domains.release(ctx.vendor_id, domain.id, now=now)


RECIPE = register(
    Recipe(
        "own_domain",
        ("domain",),
        setup=(NoteDomain, ProveAndPoint),
        teardown=(ReleaseDomain,),
        fits=lambda config: not wants_registration(config),
    )
)
