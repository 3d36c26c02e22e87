"""A limit that is reached or near, in words, with the plan that lifts it (S4 §4.1 B). One at most on a page."""

from dataclasses import dataclass

from flask import url_for
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor
from portal.catalog.rules import FEATURE_NAMES, Metric
from portal.entitlements.refusals import FeatureMissing, LimitReached
from portal.entitlements.ways import WayTier
from portal.identity.rules import Role, at_least
from portal.kit.text import N_
from portal.subscriptions import upsells
from portal.subscriptions.meters import Offer, Reading
from portal.subscriptions.rules import Status
from portal.web.kit.filters import number, translated
from portal.web.kit.notices import Call

REACHED = {
    Metric.ORDERS: N_("You've reached your order limit for this month"),
    Metric.PRODUCTS: N_("You've reached your limit of products"),
    Metric.TEAM_MEMBERS: N_("All seats of your team are taken"),
    Metric.STORAGE_GB: N_("Your storage is full"),
    Metric.SITES: N_("You've reached your limit of sites"),
    Metric.SECTORS: N_("You've reached your limit of sectors"),
    Metric.CHATBOTS: N_("You've reached your limit of chatbots"),
    Metric.CONVERSATIONS: N_("You've reached your limit of conversations for this month"),
    Metric.PROJECTS: N_("You've reached your limit of projects"),
    Metric.DOMAINS: N_("You've reached your limit of own domains"),
    Metric.MAILBOXES: N_("You've reached your limit of email addresses"),
    Metric.CERTIFICATES: N_("You've reached your limit of premium certificates"),
}
NEAR = {
    Metric.ORDERS: N_("You're close to your order limit for this month"),
    Metric.PRODUCTS: N_("You're close to your limit of products"),
    Metric.TEAM_MEMBERS: N_("Almost all seats of your team are taken"),
    Metric.STORAGE_GB: N_("Your storage is nearly full"),
    Metric.SITES: N_("You're close to your limit of sites"),
    Metric.SECTORS: N_("You're close to your limit of sectors"),
    Metric.CHATBOTS: N_("You're close to your limit of chatbots"),
    Metric.CONVERSATIONS: N_("You're close to your limit of conversations for this month"),
    Metric.PROJECTS: N_("You're close to your limit of projects"),
    Metric.DOMAINS: N_("You're close to your limit of own domains"),
    Metric.MAILBOXES: N_("You're close to your limit of email addresses"),
    Metric.CERTIFICATES: N_("You're close to your limit of premium certificates"),
}
#: What a plan brings: so many, and without a limit.
BRINGS = {
    Metric.ORDERS: (N_("%(amount)s orders/month"), N_("unlimited orders")),
    Metric.PRODUCTS: (N_("%(amount)s products"), N_("unlimited products")),
    Metric.TEAM_MEMBERS: (N_("%(amount)s seats"), N_("unlimited seats")),
    Metric.STORAGE_GB: (N_("%(amount)s GB of storage"), N_("unlimited storage")),
    Metric.SITES: (N_("%(amount)s sites"), N_("unlimited sites")),
    Metric.SECTORS: (N_("%(amount)s sectors"), N_("unlimited sectors")),
    Metric.CHATBOTS: (N_("%(amount)s chatbots"), N_("unlimited chatbots")),
    Metric.CONVERSATIONS: (N_("%(amount)s conversations/month"), N_("unlimited conversations")),
    Metric.PROJECTS: (N_("%(amount)s projects"), N_("unlimited projects")),
    Metric.DOMAINS: (N_("%(amount)s own domains"), N_("unlimited own domains")),
    Metric.MAILBOXES: (N_("%(amount)s email addresses"), N_("unlimited email addresses")),
    Metric.CERTIFICATES: (N_("%(amount)s premium certificates"), N_("unlimited premium certificates")),
}


@dataclass(frozen=True, slots=True)
class Upsell:
    """The words and ways on. ``what`` is None where it cannot be dismissed: it answers what somebody just tried."""

    title: str
    text: str
    label: str
    href: str
    reached: bool
    what: str | None = None
    dismiss_href: str | None = None

    def beats(self, banner: Call | None) -> bool:
        """Is this the one that a page shows? What closes the product comes first, a reached limit before the rest."""
        return banner is None or (self.reached and banner.tone != "danger")


def of(vendor: VendorAtDoor, reading: Reading) -> Upsell | None:
    """The most urgent limit of a vendor, for the person whose dismissals were read along."""
    found = upsells.most_urgent(reading)
    if found is None:
        return None
    metric = found.meter.metric
    label, href = way_on(vendor, found.offer)
    return Upsell(
        title=_((REACHED if found.reached else NEAR)[metric]),
        text=text(vendor, metric, found.offer),
        label=label,
        href=href,
        reached=found.reached,
        what=found.what,
        dismiss_href=url_for("vendor_usage.dismiss", code=vendor.code),
    )


def refused(vendor: VendorAtDoor, error: LimitReached | FeatureMissing) -> Upsell:
    """What somebody just tried and the plan does not allow, with what would bring it; cannot be dismissed."""
    if isinstance(error, FeatureMissing):
        return feature(vendor, error.feature, error.ways.tier)
    metric, tier = error.verdict.metric, error.ways.tier
    offer = Offer(metric, tier.code, tier.name, tier.limit, 0, True) if tier else None
    label, href = way_on(vendor, offer)
    said = text(vendor, metric, offer)
    if error.ways.addons:
        addon = translated(error.ways.addons[0].name)
        if offer is None:
            said, label = _("The add-on %(addon)s brings more.", addon=addon), _("See add-ons")
            href = url_for("vendor_addons.index", code=vendor.code)
        else:
            also = _("There is also an add-on for it: %(addon)s.", addon=addon)
            said = f"{said} {also}"
    return Upsell(_(REACHED[metric]), said, label, href, True)


def feature(vendor: VendorAtDoor, name: str, tier: WayTier | None) -> Upsell:
    """A feature that the plan lacks, and the plan that brings it."""
    called = _(FEATURE_NAMES.get(name, name))
    title = _("%(feature)s is not in your plan", feature=called)
    offer = Offer(Metric.ORDERS, tier.code, tier.name, None, 0, True) if tier else None
    label, href = way_on(vendor, offer)
    if tier is None:
        return Upsell(title, _("No plan that can be chosen here brings it. Write to us, and we find a way."), label,
                      href, False)  # fmt: skip
    words = _("It comes with %(tier)s.", tier=translated(tier.name))
    if not at_least(vendor.role, Role.MANAGER):
        asks = _("The owner or a manager of %(vendor)s can change the plan.", vendor=vendor.name)
        words = f"{words} {asks}"
    return Upsell(title, words, label, href, False)


def text(vendor: VendorAtDoor, metric: Metric, offer: Offer | None) -> str:
    """What to do about it, as drawn: "Upgrade to Professional to get 500 orders/month"."""
    if offer is None:
        return _("No plan allows more of this. Write to us, and we find a way.")
    brings = what_it_brings(metric, offer.amount)
    name = translated(offer.tier_name)
    if not at_least(vendor.role, Role.MANAGER):
        return _("%(tier)s brings %(what)s. The owner or a manager of %(vendor)s can change the plan.", tier=name,
                 what=brings, vendor=vendor.name)  # fmt: skip
    if not offer.self_service:
        return _("Ask us about %(tier)s to get %(what)s.", tier=name, what=brings)
    return _("Upgrade to %(tier)s to get %(what)s.", tier=name, what=brings)


def what_it_brings(metric: Metric, amount: int | None) -> str:
    """500 orders/month, or unlimited orders."""
    some, unlimited = BRINGS[metric]
    return _(unlimited) if amount is None else _(some, amount=number(amount))


def way_on(vendor: VendorAtDoor, offer: Offer | None) -> tuple[str, str]:
    """The button: to the change of the plan where one can be made now, else to whoever can help."""
    plans = url_for("vendor_plans.index", code=vendor.code)
    if offer is None:
        return _("Write to us"), url_for("vendor_support.form", code=vendor.code)
    if not at_least(vendor.role, Role.MANAGER):
        return _("See the plans"), plans
    if not offer.self_service:
        return _("Ask for an offer"), url_for("public_contact.form", tier=offer.tier_code)
    changes = vendor.standing in (Status.TRIAL, Status.ACTIVE)
    return _("Upgrade now"), url_for("vendor_plans.change", code=vendor.code) if changes else plans
