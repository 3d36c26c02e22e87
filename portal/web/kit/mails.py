"""Renders mails with the app's templates, in the recipient's language; links start with the configured address."""

from datetime import datetime
from typing import Any

from flask import Flask, g
from flask_babel import force_locale

from portal.identity import invitations, links
from portal.identity import queries as identity
from portal.identity.links import Purpose
from portal.kit.money import Money
from portal.notifications import rendering
from portal.notifications.models import SentMail
from portal.notifications.rendering import Rendered
from portal.settings import queries as settings

#: Which link a mail about a login carries, and the page that opens it.
LINKS = {
    "verification": (Purpose.VERIFY, "public_verify.confirm"),
    "reset": (Purpose.RESET, "public_password.reset"),
    "first_password": (Purpose.FIRST_PASSWORD, "public_password.reset"),
    "email_change": (Purpose.CHANGE_EMAIL, "public_verify.change_email"),
}
#: Where a mail about a vendor leads; all others lead to billing.
PAGES = {
    "welcome": "vendor_dashboard.index",
    "trial_extended": "vendor_dashboard.index",
    "trial_used": "vendor_plans.index",
    "receipt": "vendor_invoices.detail",
    "reactivated": "vendor_dashboard.index",
    "cancelled": "vendor_plans.index",
    "limit_reached": "vendor_usage.index",
    "limit_changed": "vendor_usage.index",
    "addon_added": "vendor_addons.index",
    "addon_changed": "vendor_addons.index",
    "addon_ending": "vendor_addons.index",
    "addon_resumed": "vendor_addons.index",
    "addon_ended": "vendor_addons.index",
    "addon_unpaid": "vendor_addons.index",
    "change_failed": "vendor_plans.index",
    "change_failed_staff": "admin_vendor_detail.index",
    "refund_failed": "admin_vendor_detail.index",
    "dispute_opened": "admin_vendor_detail.index",
    "dispute_closed": "admin_vendor_detail.index",
    "webhook_failing": "vendor_api_keys.index",
    "webhook_failing_staff": "admin_api_keys.index",
    "ticket_answered": "vendor_support.show",
    "contact_answered": "public_contact.form",
    "ticket_for_staff": "admin_support.show",
    "addon_ready": "vendor_provisioning.steps",
    "addon_failed": "vendor_provisioning.steps",
    "addon_late": "vendor_provisioning.steps",
    "addon_needs_you": "vendor_provisioning.steps",
    "certificate_renewed": "vendor_provisioning.steps",
    "provisioning_for_staff": "admin_provisioning.show",
    "domain_active": "vendor_domains.index",
    "domain_failing": "vendor_domains.index",
    "domain_back": "vendor_domains.index",
    "domain_lost": "vendor_domains.index",
    "invitation_accepted": "vendor_team.index",
    "role_changed": "vendor_dashboard.index",
    "member_left": "vendor_team.index",
    "ownership_transferred": "vendor_team.index",
}


class Renderer:
    """The app's end of the rendering port."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __call__(self, mail: SentMail) -> Rendered:
        """Subject, text and HTML. Runs inside an app context, with or without a request."""
        before = g.get("time_zone")
        with force_locale(mail.locale):
            try:
                return self._render(mail)
            finally:
                g.time_zone = before

    def _render(self, mail: SentMail) -> Rendered:
        vendor = identity.vendor(mail.vendor_id) if mail.vendor_id else None
        g.time_zone = vendor.time_zone if vendor else None
        operator = settings.current()
        context = {
            "brand": operator,
            "locale": mail.locale,
            "recipient_name": mail.recipient_name,
            "params": {name: _value(name, value) for name, value in mail.params.items()},
            "url": self._url(mail),
        }
        html = self._app.jinja_env.get_template(f"mail/{mail.kind}.html")
        text = self._app.jinja_env.get_template(f"mail/{mail.kind}.txt")
        subject = "".join(text.blocks["title"](text.new_context(context)))
        return Rendered(
            subject.strip(), _tidy(text.render(context)), html.render(context), operator.name, operator.support_email
        )

    def _url(self, mail: SentMail) -> str:
        if mail.kind in LINKS:
            return self._signed(mail)
        if mail.kind == "invitation":
            return full_address(self._app, "public_join.page", token=invitations.token_of(mail.params["invitation_id"]))
        code = mail.params.get("vendor_code")
        if code is None and mail.kind not in PAGES:
            return full_address(self._app, "profile.index")
        endpoint = PAGES.get(mail.kind, "vendor_billing.index")
        if "transfer" in mail.params and mail.kind != "transfer_approved":
            return full_address(self._app, "vendor_transfer.show", code=code, transfer_id=mail.params["transfer"])
        known = {**mail.params, "code": code, "vendor_id": mail.vendor_id}
        wanted = {name for rule in self._app.url_map.iter_rules(endpoint) for name in rule.arguments}
        return full_address(self._app, endpoint, **{name: known[name] for name in wanted})

    def _signed(self, mail: SentMail) -> str:
        purpose, endpoint = LINKS[mail.kind]
        user = identity.user(mail.params["user_id"])
        if user is None:
            raise LookupError(f"mail {mail.id}: its user is gone")
        return full_address(self._app, endpoint, token=links.make(purpose, user, mail.params.get("new_email")))


def _value(name: str, value: Any) -> Any:
    """Parameters as templates format them: money, and dates (whose names end in ``at``), as such."""
    if isinstance(value, dict):
        return Money(value["minor"], value["currency"])
    if value and (name == "at" or name.endswith("_at")):
        return datetime.fromisoformat(value)
    return value


def _tidy(text: str) -> str:
    """Plain text without the blank lines that template tags leave."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    kept = [line for i, line in enumerate(lines) if line or lines[i - 1]]
    return "\n".join(kept) + "\n"


def full_address(app: Flask, endpoint: str, **values: Any) -> str:
    """The address of a page of ours as others are told it: BASE_URL, whatever host a request named."""
    base: str = app.extensions["portal_config"].base_url
    return base.rstrip("/") + app.url_map.bind("").build(endpoint, values)


def init_app(app: Flask) -> None:
    """Hand the renderer to the notifications room."""
    rendering.configure(Renderer(app))
