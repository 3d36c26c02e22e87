"""The HTML doors, one module per room they open."""

import importlib

from flask import Flask

#: Every module here has a ``blueprint``; its views declare their audience.
DOORS: tuple[str, ...] = (
    "public.home",
    "public.sign_up",
    "public.sign_in",
    "public.second_factor",
    "public.verify",
    "public.password",
    "public.preferences",
    "public.mailbox",
    "public.brand",
    "public.contact",
    "public.join",
    "profile",
    "security",
    "vendor.dashboard",
    "vendor.usage",
    "vendor.usage_alerts",
    "vendor.features",
    "vendor.notices",
    "vendor.plans",
    "vendor.billing",
    "vendor.checkout",
    "vendor.pay",
    "vendor.transfer",
    "vendor.support",
    "vendor.provisioning",
    "vendor.certificate",
    "vendor.team",
    "vendor.payment_methods",
    "vendor.purchases",
    "vendor.ending",
    "vendor.addons",
    "vendor.addon_manage",
    "vendor.billing_details",
    "vendor.invoices",
    "vendor.domains",
    "vendor.mailboxes",
    "vendor.api_keys",
    "admin.home",
    "admin.vendors",
    "admin.vendor_detail",
    "admin.vendor_usage",
    "admin.tier_change",
    "admin.refund",
    "admin.payout",
    "admin.trial",
    "admin.agreed_price",
    "admin.override",
    "admin.webhooks",
    "admin.provisioning",
    "admin.reconcile",
    "admin.ending",
    "admin.transfers",
    "admin.statements",
    "admin.support",
    "admin.invoices",
    "admin.credit_note",
    "admin.addons",
    "admin.addon_range",
    "admin.vendor_addons",
    "admin.taxes",
    "admin.api_keys",
    "admin.styleguide",
)


def register(app: Flask) -> None:
    """Hang every door into the app."""
    from portal.web import again, ops

    ops.init_app(app)
    again.init_app(app)
    for door in DOORS:
        app.register_blueprint(importlib.import_module(f"portal.web.{door}").blueprint)
