"""What surrounds every page: navigation, vendor switch, live balance, banner, calls. Built once per request."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask import Flask, current_app, g, request, session, url_for
from flask_babel import get_locale, ngettext
from flask_babel import gettext as _

from portal.accounts.queries import VendorAtDoor, Visitor
from portal.identity import queries as identity
from portal.kit import clock
from portal.settings import queries as settings
from portal.subscriptions.rules import Status, is_open
from portal.web.kit import signed_in
from portal.web.kit.audience import Side


@dataclass(frozen=True, slots=True)
class NavItem:
    """A link of the sidebar; ``locked`` ones lead to the plan choice for now."""

    label: str
    href: str
    icon: str
    current: bool = False
    locked: bool = False


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


@dataclass(slots=True)
class Frame:
    """Read by the layouts; see templates/shared."""

    side: str
    theme: str
    nav: list[NavItem] = field(default_factory=list)
    vendor: VendorAtDoor | None = None
    vendors: list[dict[str, Any]] = field(default_factory=list)
    credits_href: str | None = None
    cta: Call | None = None
    banner: Call | None = None
    demo: bool = False
    mailbox_href: str | None = None
    sandbox_href: str | None = None


def build() -> Frame:
    """The frame of this request's page."""
    who = signed_in.visitor()
    declared = g.get("audience")
    side = declared.side if declared else Side.PUBLIC
    theme = (who.theme if who else None) or session.get("theme", "auto")
    config = current_app.extensions["portal_config"]
    frame = Frame(side="public", theme=theme, demo=config.demo)
    if config.app_env != "production" and not config.mail_configured:
        frame.mailbox_href = url_for("public_mailbox.index")
    frame.sandbox_href = config.sandbox_url or None
    if who and side == Side.STAFF:
        frame.side, frame.nav = "admin", _admin_nav()
    elif who and who.vendor and side in (Side.VENDOR, Side.SIGNED_IN):
        _dress_vendor(frame, who, who.vendor)
    return frame


def _item(label: str, endpoint: str, icon: str, locked: bool = False, **values: Any) -> NavItem:
    prefix = endpoint.rsplit(".", 1)[0]
    current = (request.endpoint or "").rsplit(".", 1)[0] == prefix
    return NavItem(label, url_for(endpoint, **values), icon, current, locked)


def _admin_nav() -> list[NavItem]:
    return [
        _item(_("Vendors"), "admin_vendors.index", "users"),
        _item(_("Style guide"), "admin_styleguide.index", "palette"),
    ]


def _dress_vendor(frame: Frame, who: Visitor, vendor: VendorAtDoor) -> None:
    closed = signed_in.closed_because(who)
    frame.side, frame.vendor = "vendor", vendor
    frame.nav = [
        _item(_("Dashboard"), "vendor_dashboard.index", "layout-dashboard", locked=bool(closed)),
        _item(_("Billing"), "vendor_billing.index", "credit-card", code=vendor.code),
        _item(_("Plans"), "vendor_plans.index", "stack-2", code=vendor.code),
        _item(_("Profile"), "profile.index", "user-circle"),
    ]
    if vendor.others:
        frame.vendors = [
            {
                "name": v.name,
                "code": v.code,
                "href": url_for("vendor_billing.index", code=v.code),
                "current": v.id == vendor.id,
            }
            for v in identity.vendors_of(who.user_id)
        ]
    frame.credits_href = url_for("vendor_billing.credits", code=vendor.code)
    frame.banner = _banner(vendor, closed)
    if vendor.standing is None or not is_open(vendor.standing):
        frame.cta = Call(_("No plan is active."), _("Choose a plan"), url_for("vendor_plans.index", code=vendor.code))


def _banner(vendor: VendorAtDoor, closed: str | None) -> Call | None:
    """At most one, the most urgent."""
    billing = url_for("vendor_billing.index", code=vendor.code)
    if vendor.standing == Status.PAST_DUE:
        return Call(
            _("The last payment failed. Pay now to keep everything open."),
            _("Pay now"),
            billing,
            "danger",
            _("Payment failed"),
        )
    if closed == "unverified":
        return Call(
            _("We sent you a link. Open it to use everything."),
            _("Send it again"),
            url_for("public_verify.waiting"),
            "warning",
            _("Confirm your email address"),
        )
    if vendor.standing == Status.TRIAL and vendor.trial_ends_at:
        left = vendor.trial_ends_at - clock.business()
        days = -(-left // timedelta(days=1))
        if 0 < days <= 7:
            return Call(
                _("Add a payment method now and the days that are left stay free."),
                _("Add payment"),
                billing,
                "warning",
                ngettext("Your trial ends in %(num)d day", "Your trial ends in %(num)d days", days),
            )
    if vendor.standing == Status.TRIAL_ENDED:
        return Call(
            _("Everything is kept. Add a payment method to open it again."),
            _("Add payment"),
            billing,
            "warning",
            _("Your trial has ended"),
        )
    return None


def init_app(app: Flask) -> None:
    """Give every template the frame, the brand and the languages."""

    @app.context_processor
    def _context() -> dict[str, Any]:
        if "frame" not in g:
            g.frame = build()
        operator = settings.current()
        return {
            "frame": g.frame,
            "brand": operator,
            "locale": str(get_locale() or "en"),
            "locales": [("en", "English"), ("de", "Deutsch")],
            "why": request.args.get("why"),
        }
