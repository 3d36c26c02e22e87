"""The one banner over a vendor's page: what is most urgent, and what to do about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from portal.accounts.queries import VendorAtDoor
from portal.billing import transfers
from portal.kit.text import N_
from portal.settings import queries as settings
from portal.subscriptions.rules import Restriction, Status, restrictions, suspends_at
from portal.web.kit.filters import day

#: Days before its end from which a trial is announced over every page (SUB-2).
ANNOUNCE_DAYS = 7


@dataclass(frozen=True, slots=True)
class Call:
    """A call to act: the line, and the button that answers it."""

    text: str
    label: str
    href: str
    tone: str = "info"
    title: str = ""

    @property
    def action_label(self) -> str:
        """The button's words, as banners name them."""
        return self.label

    @property
    def action_href(self) -> str:
        """Where the button leads, as banners name it."""
        return self.href


#: By standing, not yet translated; ``href`` names the page. Most vendors stand well, and then no text is looked up.
_ABOUT_MONEY = {
    Status.PAST_DUE: Call(
        N_("Pay the open invoice to keep everything open."),
        N_("Pay now"),
        "pay",
        "danger",
        N_("An invoice is unpaid"),
    ),
    Status.SUSPENDED: Call(
        N_("Nothing is lost. Pay the open invoice and everything opens again."),
        N_("Pay now"),
        "pay",
        "danger",
        N_("Your subscription is suspended"),
    ),
    Status.PENDING_PAYMENT: Call(
        N_("Your plan opens as soon as the payment has arrived."),
        N_("To billing"),
        "pay",
        "warning",
        N_("We are waiting for your payment"),
    ),
    Status.TRIAL_ENDED: Call(
        N_("Everything is kept. Add a payment method to open it again."),
        N_("Add payment method"),
        "billing",
        "warning",
        N_("Your trial has ended"),
    ),
    Status.CANCELLED: Call(
        N_("Everything is kept. Choose a plan to open it again."),
        N_("Choose a plan"),
        "plans",
        "warning",
        N_("Your subscription has ended"),
    ),
}


def most_urgent(vendor: VendorAtDoor, closed: str | None, now: datetime, *, billing: str, plans: str) -> Call | None:
    """At most one, the most urgent; ``closed`` is why the product is closed (signed_in.closed_because)."""
    if found := _overdue(vendor, now, billing) or _about_money(vendor.standing, billing, plans):
        return found
    if closed == "unverified":
        return Call(
            _("We sent you a link. Open it to use everything."),
            _("Send it again"),
            url_for("public_verify.waiting"),
            "warning",
            _("Confirm your email address"),
        )
    return _trial_ends(vendor, now, billing)


def _overdue(vendor: VendorAtDoor, now: datetime, billing: str) -> Call | None:
    """An unpaid invoice, with what closes when (SUB-8)."""
    since = vendor.past_due_since
    if vendor.standing != Status.PAST_DUE or since is None:
        return None
    closes = day(suspends_at(since, settings.current().grace_days))
    if Restriction.CREATE in restrictions(vendor.standing, since, now):
        text = _("Nothing new can be created until it is paid. On %(date)s the product closes.", date=closes)
    else:
        text = _("Pay it by %(date)s to keep everything open.", date=closes)
    return Call(text, _("Pay now"), f"{billing}#pay", "danger", _("An invoice is unpaid"))


def _about_money(standing: Status | None, billing: str, plans: str) -> Call | None:
    said = _ABOUT_MONEY.get(standing) if standing else None
    if said is None:
        return None
    leads_to = {"pay": f"{billing}#pay", "billing": billing, "plans": plans}[said.href]
    return Call(_(said.text), _(said.label), leads_to, said.tone, _(said.title))


def _trial_ends(vendor: VendorAtDoor, now: datetime, billing: str) -> Call | None:
    if vendor.standing != Status.TRIAL or vendor.trial_ends_at is None:
        return None
    days = -((now - vendor.trial_ends_at) // timedelta(days=1))
    if not 0 < days <= ANNOUNCE_DAYS:
        return None
    title = ngettext("Your trial ends in %(num)d day", "Your trial ends in %(num)d days", days)
    if transfers.is_awaited(vendor.id):
        text = _("Your plan goes on when your bank transfer has arrived. The days that are left stay free.")
        return Call(text, _("How to pay"), f"{billing}#pay", "warning", title)
    text = _("Add a payment method now and the days that are left stay free.")
    return Call(text, _("Add payment method"), billing, "warning", title)
