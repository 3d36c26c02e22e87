"""What surrounds every page: navigation, vendor switch, live balance, banner, calls. Built once per request."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from flask import Flask, current_app, g, request, session, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from werkzeug.local import LocalProxy

from portal.accounts.queries import VendorAtDoor, Visitor
from portal.catalog.rules import reaches
from portal.identity.rules import Role, at_least
from portal.kit import clock
from portal.settings import queries as settings
from portal.subscriptions.rules import Status, is_open
from portal.web.kit import audience, notices, responder, signed_in
from portal.web.kit.audience import Side
from portal.web.kit.notices import Call

#: Beginnings of the names of blueprints that belong under one link.
ABOUT_A_VENDOR = ("admin_vendor", "admin_tier", "admin_trial", "admin_reconcile", "admin_override", "admin_agreed",
                  "admin_refund", "admin_ending")  # fmt: skip
ABOUT_MONEY = ("vendor_billing", "vendor_checkout", "vendor_invoices", "vendor_methods", "vendor_pay",
               "vendor_purchases", "vendor_transfer")  # fmt: skip
ABOUT_ADDONS = ("vendor_addon", "vendor_prov", "vendor_certificate")


@dataclass(frozen=True, slots=True)
class NavItem:
    """A link of the sidebar; ``locked`` ones lead to what opens them. ``group`` stands over the first of it.

    ``count`` is how much is new behind it.
    """

    label: str
    href: str
    icon: str
    current: bool = False
    locked: bool = False
    group: str = ""
    count: int = 0
    needs: Role = Role.MEMBER


@dataclass
class Frame:
    """Read by the layouts; see templates/shared. What costs a query is read only when a template asks for it."""

    side: str
    theme: str
    home_href: str
    nav: list[NavItem] = field(default_factory=list)
    who: Visitor | None = None
    vendor: VendorAtDoor | None = None
    credits_href: str | None = None
    notes_href: str | None = None
    unread: int = 0
    credits_page_href: str | None = None
    cta: Call | None = None
    banner: Call | None = None
    demo: bool = False
    mailbox_href: str | None = None
    sandbox_href: str | None = None

    @property
    def now(self) -> datetime:
        """Business time, for relative times."""
        return clock.business()

    @property
    def theme_href(self) -> str:
        """Takes theme=auto|light|dark and next."""
        return url_for("public_preferences.save")

    @property
    def locale_href(self) -> str:
        """Takes locale and next."""
        return url_for("public_preferences.save")

    @property
    def profile_href(self) -> str:
        """One's own name, address and password."""
        return url_for("profile.index")

    @property
    def signout_href(self) -> str:
        """Takes a POST."""
        return url_for("public_sign_in.leave")

    @property
    def brand_css_href(self) -> str:
        """The operator's colour; a new colour has a new address."""
        return url_for("public_brand.css", v=settings.current().accent.removeprefix("#"))

    @cached_property
    def vendors(self) -> list[dict[str, Any]]:
        """The vendors to switch between; empty for people with one."""
        if self.who is None or self.vendor is None or len(self.who.doors) < 2:
            return []
        return [
            {
                "name": door.name,
                "role": door.role,
                "href": url_for("vendor_billing.index", code=door.code),
                "current": door.code == self.vendor.code,
            }
            for door in self.who.doors
        ]


def build() -> Frame:
    """The frame of this request's page."""
    who = signed_in.visitor()
    declared = g.get("audience")
    side = declared.side if declared else Side.PUBLIC
    theme = (who.theme if who else None) or session.get("theme", "auto")
    config = current_app.extensions["portal_config"]
    frame = Frame("public", theme, _home(who), who=who, demo=config.demo, sandbox_href=config.sandbox_url or None)
    if config.app_env != "production" and not config.mail_configured:
        frame.mailbox_href = url_for("public_mailbox.index")
    if who and (side == Side.STAFF or (side == Side.SIGNED_IN and who.staff and not who.vendor)):
        frame.side, frame.nav = "admin", _admin_nav()
    elif who and who.vendor and side in (Side.VENDOR, Side.SIGNED_IN):
        _dress_vendor(frame, who, who.vendor)
    else:
        _dress_public(frame, who)
    return frame


def _home(who: Visitor | None) -> str:
    if who and who.vendor:
        return url_for("vendor_dashboard.index")
    return url_for("admin_vendors.index") if who and who.staff else url_for("public_home.index")


def _item(
    label: str,
    endpoint: str,
    icon: str,
    *,
    locked: bool = False,
    group: str = "",
    count: int = 0,
    also: tuple[str, ...] = (),
    **values: Any,
) -> NavItem:
    """``also``: the beginning of further blueprints' names that belong under this link."""
    here = (request.endpoint or "").rsplit(".", 1)[0]
    current = here == endpoint.rsplit(".", 1)[0] or here.startswith(also or "-")
    needs = _role_for(endpoint)
    return NavItem(label, url_for(endpoint, **values), icon, current, locked, group, count, needs)


def _role_for(endpoint: str) -> Role:
    """The least role that opens a page, from its own declaration: the navigation leaves out what one may not open."""
    declared = audience.of(current_app.view_functions.get(endpoint))
    return declared.role if declared else Role.MEMBER


def _of_feature(
    label: str, endpoint: str, icon: str, feature: str, vendor: VendorAtDoor, *, closed: bool = False
) -> NavItem:
    """A page that some plans lack: there it is locked, and leads to what it is and which plan brings it (LIM-8).

    ``closed``: the product is closed, so it is locked whatever the plan brings.
    """
    item = _item(label, endpoint, icon, locked=closed, code=vendor.code)
    if closed or reaches(feature, vendor.features.get(feature)):
        return item
    href = url_for("vendor_features.show", code=vendor.code, feature=feature)
    return replace(item, href=href, locked=True, current=item.current or request.path == href)


def _admin_nav() -> list[NavItem]:
    return [
        _item(_("Vendors"), "admin_vendors.index", "users", also=ABOUT_A_VENDOR),
        _item(_("Invoices"), "admin_invoices.index", "receipt", also=("admin_credit_note",)),
        _item(_("Taxes and papers"), "admin_taxes.index", "percentage"),
        _item(_("Bank transfers"), "admin_transfers.index", "building-bank", also=("admin_statements",)),
        _item(_("Add-ons"), "admin_addons.index", "puzzle", also=("admin_addon_range",)),
        _item(_("Setting up"), "admin_provisioning.index", "package"),
        _item(_("Webhooks"), "admin_webhooks.index", "webhook"),
        _item(_("API keys"), "admin_api_keys.index", "key"),
        _item(_("Support"), "admin_support.index", "lifebuoy"),
        _item(_("Profile"), "profile.index", "user-circle", also=("security",)),
        _item(_("Style guide"), "admin_styleguide.index", "palette", group=_("Look up")),
    ]


def _dress_public(frame: Frame, who: Visitor | None) -> None:
    here = request.endpoint
    pricing = url_for("public_home.pricing")
    frame.nav = [NavItem(_("Pricing"), pricing, "tag", here == "public_home.pricing")]
    if who:
        frame.cta = Call("", _("Open the portal"), frame.home_href)
        return
    frame.nav.append(_item(_("Sign in"), "public_sign_in.form", "user"))
    if here != "public_home.pricing":
        frame.cta = Call("", _("Choose a plan"), pricing)


def _dress_vendor(frame: Frame, who: Visitor, vendor: VendorAtDoor) -> None:
    closed = signed_in.closed_because(who)
    billing = url_for("vendor_billing.index", code=vendor.code)
    plans = url_for("vendor_plans.index", code=vendor.code)
    frame.side, frame.vendor = "vendor", vendor
    frame.nav = [
        _item(_("Dashboard"), "vendor_dashboard.index", "layout-dashboard", locked=bool(closed)),
        _item(
            _("Billing"),
            "vendor_billing.index",
            "credit-card",
            also=ABOUT_MONEY,
            code=vendor.code,
        ),
        _item(_("Usage"), "vendor_usage.index", "gauge", code=vendor.code),
        _item(_("Plans"), "vendor_plans.index", "stack-2", code=vendor.code),
        _item(_("Add-ons"), "vendor_addons.index", "puzzle", also=ABOUT_ADDONS, code=vendor.code),
        _item(
            _("Domains"),
            "vendor_domains.index",
            "world",
            locked=bool(closed),
            also=("vendor_mailboxes",),
            code=vendor.code,
        ),
        _item(_("Team"), "vendor_team.index", "users", locked=bool(closed), code=vendor.code),
        _of_feature(_("API keys"), "vendor_api_keys.index", "key", "api_access", vendor, closed=bool(closed)),
        _item(_("Notifications"), "vendor_notices.index", "bell", count=vendor.unread, code=vendor.code),
        _item(_("Support"), "vendor_support.index", "lifebuoy", code=vendor.code),
        _item(_("Profile"), "profile.index", "user-circle", also=("security",)),
    ]
    frame.nav = [item for item in frame.nav if at_least(vendor.role, item.needs)]
    frame.notes_href, frame.unread = url_for("vendor_notices.index", code=vendor.code), vendor.unread
    frame.credits_href = url_for("vendor_billing.credits", code=vendor.code)
    frame.credits_page_href = f"{billing}#credits"
    frame.banner = notices.most_urgent(vendor, closed, clock.business(), billing=billing, plans=plans)
    told = [frame.banner.href.split("#")[0]] if frame.banner else []
    if told == [plans]:
        told.append(billing)  # its plan card says that the subscription has ended, with the same button
    if request.path in told or request.args.get("why") or g.get("calls_itself"):
        frame.banner = None  # the page that it leads to, or that one was led to, says it itself
    if vendor.standing is None or not is_open(vendor.standing):
        frame.cta = Call(_("No plan is active."), _("Choose a plan"), plans)
        if vendor.standing in (Status.SUSPENDED, Status.PENDING_PAYMENT):
            frame.cta = Call(_("An invoice is unpaid."), _("Pay now"), f"{billing}#pay")
    if g.get("calls_itself"):
        frame.cta = None


def leave_the_call_to_the_page() -> None:
    """The page says what to do now: nothing around it calls to something else."""
    g.calls_itself = True


def init_app(app: Flask) -> None:
    """Give every template the frame, the brand and the languages."""

    @app.context_processor
    def _context() -> dict[str, Any]:
        _place()
        return {
            "frame": LocalProxy(_built) if responder.is_partial() else _built(),
            "brand": settings.current(),
            "locale": str(get_locale() or "en"),
            "locales": [("en", "English"), ("de", "Deutsch")],
            "why": request.args.get("why"),
        }


def _built() -> Frame:
    """The frame of this request, built when it is first asked for: most fragments never do."""
    if "frame" not in g:
        g.frame = build()
    frame: Frame = g.frame
    return frame


def _place() -> None:
    """Times are shown as they are where the vendor is."""
    who, declared = signed_in.visitor(), g.get("audience")
    if who and who.vendor and declared and declared.side in (Side.VENDOR, Side.SIGNED_IN):
        g.time_zone = who.vendor.time_zone
