"""Certificates that staff order: a request is made (or handed in), a person orders, the chain is handed in.

Renewing is a CHANGE whose ``renews`` names the certificate that runs out.
"""

from datetime import datetime, timedelta

from portal.addons import certificates
from portal.addons.certificates import CertificateView
from portal.addons.providers import (
    Context,
    Done,
    Found,
    Outcome,
    Place,
    Recipe,
    Step,
    WaitStaff,
    WaitVendor,
    register,
)
from portal.addons.rules import RunKind
from portal.kit.text import N_

ANSWER = timedelta(days=2)
TELL_US = N_("Tell us the company and the domain that the certificate names, or hand in a request of your own.")
WE_ORDER = N_("We order the certificate. The authority may call your company to check that it exists.")
CHECKLIST = (
    N_("Download the request."),
    N_("Order the certificate with it; the authority may call the company."),
    N_("Upload the certificate with the chain that vouches for it."),
)


def _newest(ctx: Context) -> CertificateView | None:
    return certificates.newer_than(ctx.vendor_id, ctx.vendor_addon_id, int(ctx.input.get("renews", 0)))


def _nothing_to_do(ctx: Context) -> bool:
    """A CHANGE of the add-on that is no renewal leaves the certificate as it is."""
    return ctx.kind == RunKind.CHANGE and "renews" not in ctx.input


def _is_told(ctx: Context) -> bool:
    return all(ctx.config.get(key) for key in ("name", "company", "country"))


class Request(Step):
    """Key and request: from the vendor's details, or the vendor's own."""

    code = "request"
    title = N_("Company and domain")
    staff_title = N_("The vendor says for whom the certificate is")
    place = Place.CERTIFICATE

    def find(self, ctx: Context) -> Found | None:
        """Is there a request already?"""
        if _nothing_to_do(ctx):
            return Found()
        newest = _newest(ctx)
        return Found(result={"name": newest.name}) if newest else None

    def act(self, ctx: Context) -> Outcome:
        """With the details everything is there; the key is made while they are recorded, so that it never travels."""
        if _is_told(ctx) and not self._own_key(ctx):
            return Done(result={"name": ctx.config["name"]})
        return WaitVendor(TELL_US, timedelta(days=1))

    def _own_key(self, ctx: Context) -> bool:
        """Is a certificate renewed whose key the vendor made itself? Then a new request of the vendor's is needed."""
        before = certificates.of_addon(ctx.vendor_id, ctx.vendor_addon_id)
        return bool(before) and not before[0].has_key

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """Make key and request, unless there is a request or nothing is known to make one from."""
        if isinstance(outcome, Done) and _is_told(ctx) and not _nothing_to_do(ctx) and _newest(ctx) is None:
            config = ctx.config
            certificates.write_request(
                ctx.vendor_addon_id, ctx.vendor_id, config["name"], config["company"], config["country"], now=now
            )


class Order(Step):
    """A person orders it and hands the chain in."""

    code = "order"
    title = N_("The certificate is being issued")
    staff_title = N_("Order the certificate and upload it")

    def find(self, ctx: Context) -> Found | None:
        """Was the chain handed in?"""
        if _nothing_to_do(ctx):
            return Found()
        newest = _newest(ctx)
        if newest is None or newest.chain_pem is None or newest.valid_until is None:
            return None
        return Found(newest.serial, {"serial": newest.serial, "valid_until": newest.valid_until.isoformat()})

    def act(self, ctx: Context) -> Outcome:
        """Give the task to staff."""
        due = ctx.promised_at or ctx.now + ANSWER
        return WaitStaff(WE_ORDER, due, CHECKLIST)


class Forget(Step):
    """The keys of a certificate that is given up are forgotten."""

    code = "forget_keys"
    title = N_("Forgetting the private key")

    def find(self, ctx: Context) -> Found | None:
        """Nobody outside has to be asked."""
        return None

    def act(self, ctx: Context) -> Outcome:
        """It happens with the recording."""
        return Done()

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """Forget them."""
        certificates.forget_keys(ctx.vendor_id, ctx.vendor_addon_id)


RECIPE = register(
    Recipe("certificate", ("certificate",), setup=(Request, Order), change=(Request, Order), teardown=(Forget,))
)
