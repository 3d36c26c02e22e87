"""The matrix: every route × everybody who might knock, and only what is declared opens.

A route that declares no audience, or that has no request here, fails.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.identity.api_key_rules import Reach
from portal.identity.models import Membership
from portal.identity.rules import Role, StaffKind
from portal.kit import clock, tenancy
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock
from portal.subscriptions.rules import Status
from portal.web.kit import audience
from portal.web.kit.audience import Audience, Needs, Side
from tests.support import people, programs

MISSING_ID = 987654


@dataclass(frozen=True)
class Knock:
    """How a route is asked for; ``{code}`` and ``{vendor_id}`` are the vendor's whose page it is."""

    path: str
    form: dict[str, Any] = field(default_factory=dict)


VENDOR = "/vendor/{code}"
ADMIN = "/admin/vendors/{vendor_id}"
KNOCKS: dict[str, Knock] = {
    "public_home.index": Knock("/"),
    "public_home.pricing": Knock("/pricing"),
    "public_brand.css": Knock("/brand.css"),
    "public_sign_up.form": Knock("/sign-up?tier=professional"),
    "public_sign_in.form": Knock("/sign-in"),
    "public_sign_in.leave": Knock("/sign-out"),
    "public_second_factor.code": Knock("/sign-in/code"),
    "public_second_factor.recovery": Knock("/sign-in/recovery-code"),
    "public_verify.waiting": Knock("/verify"),
    "public_verify.resend": Knock("/verify"),
    "public_verify.confirm": Knock("/verify/not-a-token"),
    "public_verify.change_email": Knock("/verify/email/not-a-token"),
    "public_password.forgotten": Knock("/password/forgotten"),
    "public_password.reset": Knock("/password/reset/not-a-token"),
    "public_preferences.save": Knock("/preferences"),
    "public_preferences.choose_vendor": Knock("/vendors/{code}/choose"),
    "public_mailbox.index": Knock("/mailbox"),
    "public_mailbox.show": Knock(f"/mailbox/{MISSING_ID}"),
    "public_mailbox.html": Knock(f"/mailbox/{MISSING_ID}/html"),
    "ops.healthz": Knock("/healthz"),
    "ops.readyz": Knock("/readyz"),
    "ops.metrics": Knock("/metrics"),
    "api_plans.plans": Knock("/api/v1/auth/plans"),
    "api_register.register": Knock("/api/v1/auth/register"),
    "api_stripe_hook.receive_0": Knock("/api/v1/webhooks/stripe"),
    "api_stripe_hook.receive_1": Knock("/api/webhooks/stripe"),
    "api_entitlements.show": Knock("/api/v1/entitlements"),
    "api_entitlements.check": Knock("/api/v1/entitlements/check", {"metric": "orders"}),
    "api_usage.report": Knock("/api/v1/usage/events", {"key": "order-1", "metric": "orders"}),
    "api_usage.level": Knock("/api/v1/usage/levels", {"metric": "products", "value": 3}),
    "api_usage.now_0": Knock("/api/v1/usage"),
    "api_usage.now_1": Knock("/api/v1/billing/usage"),
    "api_usage.now_2": Knock("/api/billing/usage"),
    "api_usage.history": Knock("/api/v1/usage/history"),
    "api_reference.openapi": Knock("/api/v1/openapi.json"),
    "api_reference.page": Knock("/api/v1/docs"),
    "profile.index": Knock("/profile"),
    "profile.details": Knock("/profile/details"),
    "profile.email": Knock("/profile/email"),
    "profile.password": Knock("/profile/password"),
    "profile.sessions": Knock("/profile/sessions"),
    "security.start": Knock("/profile/second-factor"),
    "security.set_up": Knock("/profile/second-factor/set-up"),
    "security.codes": Knock("/profile/second-factor/codes"),
    "security.off": Knock("/profile/second-factor/off"),
    "vendor_dashboard.index": Knock("/dashboard"),
    "vendor_billing.index": Knock(f"{VENDOR}/billing"),
    "vendor_billing.credits": Knock(f"{VENDOR}/billing/credits"),
    "vendor_billing.credits_card": Knock(f"{VENDOR}/billing/credits-card"),
    "vendor_billing.invoices_card": Knock(f"{VENDOR}/billing/invoices-card"),
    "vendor_billing.meters": Knock(f"{VENDOR}/billing/meters"),
    "vendor_billing.plan_card": Knock(f"{VENDOR}/billing/plan-card"),
    "vendor_usage.index": Knock(f"{VENDOR}/usage"),
    "vendor_usage.graph": Knock(f"{VENDOR}/usage/graph?what=products"),
    "vendor_usage.export": Knock(f"{VENDOR}/usage/export"),
    "vendor_usage.dismiss": Knock(f"{VENDOR}/usage/dismiss", {"what": "upsell:orders:near:2027-01-15"}),
    "vendor_usage_alerts.choose": Knock(f"{VENDOR}/usage/alerts", {"metric": "orders", "told": "orders:80"}),
    "vendor_features.show": Knock(f"{VENDOR}/features/white_label"),
    "vendor_notices.index": Knock(f"{VENDOR}/notifications"),
    "vendor_notices.read": Knock(f"{VENDOR}/notifications/{MISSING_ID}/read"),
    "vendor_notices.read_all": Knock(f"{VENDOR}/notifications/read", {"until": "0"}),
    "vendor_invoices.index": Knock(f"{VENDOR}/invoices"),
    "vendor_invoices.payments": Knock(f"{VENDOR}/payments"),
    "vendor_invoices.detail": Knock(f"{VENDOR}/invoices/{MISSING_ID}"),
    "vendor_invoices.pdf": Knock(f"{VENDOR}/invoices/{MISSING_ID}/pdf"),
    "vendor_invoices.credit_note_pdf": Knock(f"{VENDOR}/invoices/credit-notes/{MISSING_ID}/pdf"),
    "vendor_addons.index": Knock(f"{VENDOR}/addons"),
    "vendor_addons.shelf": Knock(f"{VENDOR}/addons/available"),
    "vendor_addons.add": Knock(f"{VENDOR}/addons/add/{MISSING_ID}"),
    "vendor_addons.buy": Knock(f"{VENDOR}/addons/add/{MISSING_ID}"),
    "vendor_addons.done": Knock(f"{VENDOR}/addons/done?session_id=cs_test_somebody_elses"),
    "vendor_addons.included_form": Knock(f"{VENDOR}/addons/included/{MISSING_ID}"),
    "vendor_addons.set_up": Knock(f"{VENDOR}/addons/included/{MISSING_ID}"),
    "vendor_addon.show": Knock(f"{VENDOR}/addons/{MISSING_ID}"),
    "vendor_addon.cancel": Knock(f"{VENDOR}/addons/{MISSING_ID}/cancel"),
    "vendor_addon.keep": Knock(f"{VENDOR}/addons/{MISSING_ID}/keep"),
    "vendor_addon.choose": Knock(f"{VENDOR}/addons/{MISSING_ID}/change"),
    "vendor_addon.change": Knock(f"{VENDOR}/addons/{MISSING_ID}/change"),
    "vendor_billing_details.form": Knock(f"{VENDOR}/billing-details"),
    "vendor_checkout.start": Knock(f"{VENDOR}/billing/checkout", {"tier": "no-such-tier"}),
    "vendor_checkout.done": Knock(f"{VENDOR}/billing/done?session_id=cs_test_somebody_elses"),
    "vendor_methods.index": Knock(f"{VENDOR}/payment-methods"),
    "vendor_methods.add": Knock(f"{VENDOR}/payment-methods"),
    "vendor_methods.cards": Knock(f"{VENDOR}/payment-methods/list"),
    "vendor_methods.added": Knock(f"{VENDOR}/payment-methods/added?session_id=cs_test_nobodys"),
    "vendor_methods.choose": Knock(f"{VENDOR}/payment-methods/{MISSING_ID}/default"),
    "vendor_methods.ask_removal": Knock(f"{VENDOR}/payment-methods/{MISSING_ID}/remove"),
    "vendor_methods.remove": Knock(f"{VENDOR}/payment-methods/{MISSING_ID}/remove"),
    "vendor_methods.pay": Knock(f"{VENDOR}/payment-methods/{MISSING_ID}/pay/{MISSING_ID}"),
    "vendor_purchases.index": Knock(f"{VENDOR}/purchases"),
    "vendor_pay.form": Knock(f"{VENDOR}/pay?price=1"),
    "vendor_pay.choose": Knock(f"{VENDOR}/pay", {"price": "1", "method": "paypal"}),
    "vendor_transfer.waiting": Knock(f"{VENDOR}/transfer"),
    "vendor_transfer.show": Knock(f"{VENDOR}/transfer/{MISSING_ID}"),
    "vendor_transfer.proof": Knock(f"{VENDOR}/transfer/{MISSING_ID}/proof"),
    "vendor_transfer.cancel": Knock(f"{VENDOR}/transfer/{MISSING_ID}/cancel"),
    "vendor_plans.index": Knock(f"{VENDOR}/plans"),
    "vendor_plans.change": Knock(f"{VENDOR}/plans/change"),
    "vendor_plans.apply": Knock(f"{VENDOR}/plans/change", {"price": "1"}),
    "vendor_plans.choose": Knock(f"{VENDOR}/plans/choose", {"tier": "no-such-tier"}),
    "vendor_plans.give_up": Knock(f"{VENDOR}/plans/give-up", {"base_version": "1"}),
    "vendor_plans.undo": Knock(f"{VENDOR}/plans/undo", {"base_version": "1"}),
    "vendor_ending.form": Knock(f"{VENDOR}/cancel"),
    "vendor_ending.cancel": Knock(f"{VENDOR}/cancel", {"base_version": "1"}),
    "vendor_ending.resume": Knock(f"{VENDOR}/resume", {"base_version": "1"}),
    "vendor_domains.index": Knock(f"{VENDOR}/domains"),
    "vendor_domains.show": Knock(f"{VENDOR}/domains/{MISSING_ID}"),
    "vendor_domains.form": Knock(f"{VENDOR}/domains/new"),
    "vendor_domains.add": Knock(f"{VENDOR}/domains", {"domain": ""}),
    "vendor_domains.availability": Knock(f"{VENDOR}/domains/availability"),
    "vendor_domains.check": Knock(f"{VENDOR}/domains/{MISSING_ID}/check"),
    "vendor_domains.choose": Knock(f"{VENDOR}/domains/{MISSING_ID}/primary"),
    "vendor_domains.choose_platform": Knock(f"{VENDOR}/domains/platform-address"),
    "vendor_domains.dismiss": Knock(f"{VENDOR}/domains/dismiss-offer"),
    "vendor_domains.ask_removal": Knock(f"{VENDOR}/domains/{MISSING_ID}/remove"),
    "vendor_domains.remove": Knock(f"{VENDOR}/domains/{MISSING_ID}/remove"),
    "vendor_mailboxes.index": Knock(f"{VENDOR}/mailboxes"),
    "vendor_mailboxes.form": Knock(f"{VENDOR}/mailboxes/new"),
    "vendor_mailboxes.create": Knock(f"{VENDOR}/mailboxes", {"local": ""}),
    "vendor_mailboxes.password_form": Knock(f"{VENDOR}/mailboxes/{MISSING_ID}/password"),
    "vendor_mailboxes.password": Knock(f"{VENDOR}/mailboxes/{MISSING_ID}/password"),
    "vendor_mailboxes.ask_removal": Knock(f"{VENDOR}/mailboxes/{MISSING_ID}/remove"),
    "vendor_mailboxes.remove": Knock(f"{VENDOR}/mailboxes/{MISSING_ID}/remove"),
    "vendor_support.index": Knock(f"{VENDOR}/support"),
    "vendor_support.form": Knock(f"{VENDOR}/support/new"),
    "vendor_support.ask": Knock(f"{VENDOR}/support", {"subject": "Hello", "body": "Where is it?"}),
    "vendor_support.show": Knock(f"{VENDOR}/support/{MISSING_ID}"),
    "vendor_support.reply": Knock(f"{VENDOR}/support/{MISSING_ID}", {"body": "x"}),
    "vendor_team.index": Knock(f"{VENDOR}/team"),
    "vendor_team.seats_line": Knock(f"{VENDOR}/team/seats"),
    "vendor_team.form": Knock(f"{VENDOR}/team/invite"),
    "vendor_team.invite": Knock(f"{VENDOR}/team/invite", {"email": ""}),
    "vendor_team.send_again": Knock(f"{VENDOR}/team/invitations/{MISSING_ID}/send-again"),
    "vendor_team.withdraw": Knock(f"{VENDOR}/team/invitations/{MISSING_ID}/withdraw"),
    "vendor_team.role_form": Knock(f"{VENDOR}/team/{MISSING_ID}/role"),
    "vendor_team.change_role": Knock(f"{VENDOR}/team/{MISSING_ID}/role", {"role": "member"}),
    "vendor_team.ask_removal": Knock(f"{VENDOR}/team/{MISSING_ID}/remove"),
    "vendor_team.remove": Knock(f"{VENDOR}/team/{MISSING_ID}/remove"),
    "vendor_team.hand_over_form": Knock(f"{VENDOR}/team/{MISSING_ID}/owner"),
    "vendor_team.hand_over": Knock(f"{VENDOR}/team/{MISSING_ID}/owner", {"password": "x"}),
    "vendor_team.ask_to_leave": Knock(f"{VENDOR}/team/leave"),
    "vendor_team.leave": Knock(f"{VENDOR}/team/leave"),
    "public_join.page": Knock("/join/not-a-token"),
    "public_join.join": Knock("/join/not-a-token"),
    "public_join.switch": Knock("/join/not-a-token/switch"),
    "vendor_api_keys.index": Knock(f"{VENDOR}/api-keys"),
    "vendor_api_keys.keys": Knock(f"{VENDOR}/api-keys/keys"),
    "vendor_api_keys.new_key": Knock(f"{VENDOR}/api-keys/new"),
    "vendor_api_keys.make_key": Knock(f"{VENDOR}/api-keys/new"),
    "vendor_api_keys.ask_revoke": Knock(f"{VENDOR}/api-keys/{MISSING_ID}/revoke"),
    "vendor_api_keys.revoke": Knock(f"{VENDOR}/api-keys/{MISSING_ID}/revoke"),
    "vendor_api_keys.endpoints": Knock(f"{VENDOR}/api-keys/webhooks"),
    "vendor_api_keys.new_endpoint": Knock(f"{VENDOR}/api-keys/webhooks/new"),
    "vendor_api_keys.add_endpoint": Knock(f"{VENDOR}/api-keys/webhooks/new"),
    "vendor_api_keys.endpoint": Knock(f"{VENDOR}/api-keys/webhooks/{MISSING_ID}"),
    "vendor_api_keys.rotate": Knock(f"{VENDOR}/api-keys/webhooks/{MISSING_ID}/rotate"),
    "vendor_api_keys.end_previous": Knock(f"{VENDOR}/api-keys/webhooks/{MISSING_ID}/end-old-secret"),
    "vendor_api_keys.pause": Knock(f"{VENDOR}/api-keys/webhooks/{MISSING_ID}/pause"),
    "vendor_api_keys.resume": Knock(f"{VENDOR}/api-keys/webhooks/{MISSING_ID}/resume"),
    "vendor_api_keys.remove": Knock(f"{VENDOR}/api-keys/webhooks/{MISSING_ID}/remove"),
    "vendor_api_keys.test": Knock(f"{VENDOR}/api-keys/webhooks/{MISSING_ID}/test"),
    "vendor_api_keys.deliveries": Knock(f"{VENDOR}/api-keys/deliveries"),
    "vendor_api_keys.delivery": Knock(f"{VENDOR}/api-keys/deliveries/{MISSING_ID}"),
    "vendor_api_keys.again": Knock(f"{VENDOR}/api-keys/deliveries/{MISSING_ID}/again"),
    "vendor_provisioning.steps": Knock(f"{VENDOR}/addons/{MISSING_ID}/steps"),
    "vendor_provisioning.log": Knock(f"{VENDOR}/addons/{MISSING_ID}/steps/log"),
    "vendor_provisioning.look": Knock(f"{VENDOR}/addons/{MISSING_ID}/steps/look"),
    "vendor_certificate.form": Knock(f"{VENDOR}/addons/{MISSING_ID}/certificate"),
    "vendor_certificate.details": Knock(f"{VENDOR}/addons/{MISSING_ID}/certificate", {"company": "Kilim"}),
    "vendor_certificate.own_request": Knock(f"{VENDOR}/addons/{MISSING_ID}/certificate/request"),
    "vendor_certificate.chain": Knock(f"{VENDOR}/addons/{MISSING_ID}/certificate/{MISSING_ID}/chain"),
    "vendor_certificate.key": Knock(f"{VENDOR}/addons/{MISSING_ID}/certificate/{MISSING_ID}/key"),
    "public_contact.form": Knock("/contact?tier=enterprise"),
    "public_contact.send": Knock("/contact", {"subject": ""}),
    "admin_support.index": Knock("/admin/support"),
    "admin_support.show": Knock(f"/admin/support/{MISSING_ID}"),
    "admin_support.answer": Knock(f"/admin/support/{MISSING_ID}", {"body": "x"}),
    "admin_support.close": Knock(f"/admin/support/{MISSING_ID}/close"),
    "admin_home.index": Knock("/admin"),
    "admin_vendors.index": Knock("/admin/vendors"),
    "admin_vendors.clients": Knock("/admin/clients"),
    "admin_styleguide.index": Knock("/admin/styleguide"),
    "admin_vendor_detail.index": Knock(ADMIN),
    "admin_vendor_detail.card": Knock(f"{ADMIN}/card"),
    "admin_vendor_detail.meters": Knock(f"{ADMIN}/meters"),
    "admin_vendor_detail.money": Knock(f"{ADMIN}/money"),
    "admin_vendor_detail.history": Knock(f"{ADMIN}/history"),
    "admin_vendor_detail.tab": Knock(f"{ADMIN}/tabs/audit"),
    "admin_vendor_usage.graph": Knock(f"{ADMIN}/usage-graph"),
    "admin_vendor_detail.undo": Knock(f"{ADMIN}/undo-change", {"base_version": "1"}),
    "admin_tier_change.form": Knock(f"{ADMIN}/tier-change"),
    "admin_tier_change.preview": Knock(f"{ADMIN}/tier-change/preview"),
    "admin_tier_change.apply": Knock(f"{ADMIN}/tier-change", {"price": "1", "when": "now"}),
    "admin_ending.form": Knock(f"{ADMIN}/cancel"),
    "admin_ending.cancel": Knock(f"{ADMIN}/cancel", {"when": "now", "reason": ""}),
    "admin_ending.resume": Knock(f"{ADMIN}/resume", {"base_version": "1"}),
    "admin_reconcile.compare": Knock(f"{ADMIN}/stripe"),
    "admin_reconcile.repair": Knock(f"{ADMIN}/stripe"),
    "admin_provisioning.index": Knock("/admin/provisioning"),
    "admin_provisioning.show": Knock(f"/admin/provisioning/{MISSING_ID}"),
    "admin_provisioning.confirm": Knock(f"/admin/provisioning/{MISSING_ID}/act?do=cancel"),
    "admin_provisioning.act": Knock(f"/admin/provisioning/{MISSING_ID}/act", {"do": "cancel", "note": "x"}),
    "admin_provisioning.request_file": Knock(f"/admin/provisioning/{MISSING_ID}/request"),
    "admin_provisioning.chain_form": Knock(f"/admin/provisioning/{MISSING_ID}/chain"),
    "admin_provisioning.chain": Knock(f"/admin/provisioning/{MISSING_ID}/chain"),
    "admin_webhooks.index": Knock("/admin/webhooks"),
    "admin_webhooks.figures": Knock("/admin/webhooks/figures"),
    "admin_webhooks.show": Knock(f"/admin/webhooks/{MISSING_ID}"),
    "admin_webhooks.confirm": Knock(f"/admin/webhooks/{MISSING_ID}/replay"),
    "admin_webhooks.again": Knock(f"/admin/webhooks/{MISSING_ID}/replay"),
    "admin_webhooks.confirm_all": Knock("/admin/webhooks/replay-failed"),
    "admin_webhooks.all_again": Knock("/admin/webhooks/replay-failed"),
    "admin_override.form": Knock(f"{ADMIN}/override?what=limit:orders"),
    "admin_override.override": Knock(f"{ADMIN}/override", {"what": "limit:none"}),
    "admin_override.end": Knock(f"{ADMIN}/overrides/1/end"),
    "admin_agreed_price.form": Knock(f"{ADMIN}/agreed-price"),
    "admin_agreed_price.agree": Knock(f"{ADMIN}/agreed-price", {"tier": "none"}),
    "admin_agreed_price.withdraw": Knock(f"{ADMIN}/agreed-price/withdraw"),
    "admin_invoices.index": Knock("/admin/invoices"),
    "admin_invoices.export": Knock("/admin/invoices/export"),
    "admin_invoices.detail": Knock(f"/admin/invoices/{MISSING_ID}"),
    "admin_invoices.pdf": Knock(f"/admin/invoices/{MISSING_ID}/pdf"),
    "admin_invoices.credit_note_pdf": Knock(f"/admin/invoices/{MISSING_ID}/credit-notes/{MISSING_ID}/pdf"),
    "admin_credit_note.form": Knock(f"/admin/invoices/{MISSING_ID}/credit-note"),
    "admin_addons.index": Knock("/admin/addons"),
    "admin_addons.form": Knock(f"/admin/addons/{MISSING_ID}"),
    "admin_addons.save": Knock(f"/admin/addons/{MISSING_ID}"),
    "admin_addons.price": Knock(f"/admin/addons/prices/{MISSING_ID}"),
    "admin_addons.set_price": Knock(f"/admin/addons/prices/{MISSING_ID}"),
    "admin_addons.retire": Knock(f"/admin/addons/{MISSING_ID}/retire"),
    "admin_addon_range.form": Knock("/admin/addons/new"),
    "admin_addon_range.create": Knock("/admin/addons/new"),
    "admin_addon_range.size": Knock(f"/admin/addons/{MISSING_ID}/prices/new"),
    "admin_addon_range.add_size": Knock(f"/admin/addons/{MISSING_ID}/prices/new"),
    "admin_addon_range.close_price": Knock(f"/admin/addons/prices/{MISSING_ID}/close"),
    "admin_addon_range.sell_again": Knock(f"/admin/addons/{MISSING_ID}/sell-again"),
    "admin_addon_range.move": Knock(f"/admin/addons/{MISSING_ID}/move"),
    "admin_addon_range.tiers": Knock(f"/admin/addons/{MISSING_ID}/tiers"),
    "admin_addon_range.sell_with": Knock(f"/admin/addons/{MISSING_ID}/tiers"),
    "admin_vendor_addons.form": Knock(f"{ADMIN}/add-ons/give"),
    "admin_vendor_addons.give": Knock(f"{ADMIN}/add-ons/give"),
    "admin_vendor_addons.ask": Knock(f"{ADMIN}/add-ons/{MISSING_ID}/remove"),
    "admin_vendor_addons.remove": Knock(f"{ADMIN}/add-ons/{MISSING_ID}/remove"),
    "admin_taxes.index": Knock("/admin/taxes"),
    "admin_taxes.add": Knock("/admin/taxes/add"),
    "admin_taxes.end": Knock(f"/admin/taxes/{MISSING_ID}/end"),
    "admin_taxes.papers": Knock("/admin/taxes/papers"),
    "admin_payout.form": Knock(f"{ADMIN}/payout"),
    "admin_payout.pay_out": Knock(f"{ADMIN}/payout", {"amount": "0", "reason": ""}),
    "admin_refund.form": Knock(f"{ADMIN}/invoices/{MISSING_ID}/refund"),
    "admin_refund.refund": Knock(f"{ADMIN}/invoices/{MISSING_ID}/refund", {"amount": "0", "reason": ""}),
    "admin_transfers.index": Knock("/admin/transfers"),
    "admin_transfers.approve_form": Knock(f"/admin/transfers/{MISSING_ID}/approve"),
    "admin_transfers.approve": Knock(f"/admin/transfers/{MISSING_ID}/approve"),
    "admin_transfers.reject_form": Knock(f"/admin/transfers/{MISSING_ID}/reject"),
    "admin_transfers.reject": Knock(f"/admin/transfers/{MISSING_ID}/reject"),
    "admin_transfers.proof": Knock(f"/admin/transfers/{MISSING_ID}/proof"),
    "admin_transfers.choose": Knock(f"/admin/transfers/lines/{MISSING_ID}/match"),
    "admin_transfers.match": Knock(f"/admin/transfers/lines/{MISSING_ID}/match"),
    "admin_transfers.lay_aside": Knock(f"/admin/transfers/lines/{MISSING_ID}/lay-aside"),
    "admin_transfers.take_up": Knock(f"/admin/transfers/lines/{MISSING_ID}/take-up"),
    "admin_statements.form": Knock("/admin/transfers/import"),
    "admin_statements.take": Knock("/admin/transfers/import"),
    "admin_statements.columns": Knock("/admin/transfers/import/columns", {"sha": "0" * 64}),
    "admin_api_keys.index": Knock("/admin/api-keys"),
    "admin_api_keys.keys": Knock("/admin/api-keys/keys"),
    "admin_api_keys.new_key": Knock("/admin/api-keys/new"),
    "admin_api_keys.make_key": Knock("/admin/api-keys/new"),
    "admin_api_keys.ask_revoke": Knock(f"/admin/api-keys/{MISSING_ID}/revoke"),
    "admin_api_keys.revoke": Knock(f"/admin/api-keys/{MISSING_ID}/revoke"),
    "admin_api_keys.endpoints": Knock("/admin/api-keys/webhooks"),
    "admin_api_keys.new_endpoint": Knock("/admin/api-keys/webhooks/new"),
    "admin_api_keys.add_endpoint": Knock("/admin/api-keys/webhooks/new"),
    "admin_api_keys.endpoint": Knock(f"/admin/api-keys/webhooks/{MISSING_ID}"),
    "admin_api_keys.rotate": Knock(f"/admin/api-keys/webhooks/{MISSING_ID}/rotate"),
    "admin_api_keys.end_previous": Knock(f"/admin/api-keys/webhooks/{MISSING_ID}/end-old-secret"),
    "admin_api_keys.pause": Knock(f"/admin/api-keys/webhooks/{MISSING_ID}/pause"),
    "admin_api_keys.resume": Knock(f"/admin/api-keys/webhooks/{MISSING_ID}/resume"),
    "admin_api_keys.remove": Knock(f"/admin/api-keys/webhooks/{MISSING_ID}/remove"),
    "admin_api_keys.test": Knock(f"/admin/api-keys/webhooks/{MISSING_ID}/test"),
    "admin_api_keys.deliveries": Knock("/admin/api-keys/deliveries"),
    "admin_api_keys.delivery": Knock(f"/admin/api-keys/deliveries/{MISSING_ID}"),
    "admin_api_keys.again": Knock(f"/admin/api-keys/deliveries/{MISSING_ID}/again"),
    "admin_trial.form": Knock(f"{ADMIN}/trial"),
    "admin_trial.extend": Knock(f"{ADMIN}/trial", {"days": "0", "reason": ""}),
}  # fmt: skip


@dataclass(frozen=True)
class Route:
    """A route of the URL map, with what it declares and how it is asked for."""

    endpoint: str
    method: str
    declared: Audience
    knock: Knock

    def ask(self, client: FlaskClient, *, code: str, vendor_id: int) -> TestResponse:
        path = self.knock.path.format(code=code, vendor_id=vendor_id)
        if self.method == "GET":
            return client.get(path)
        if path.startswith("/api/"):
            return client.open(path, method=self.method, json=self.knock.form)
        return people.post(client, path, self.knock.form)


@pytest.fixture
def routes(catalog: Flask) -> list[Route]:
    """Every route, once per method; fails on one without a request or an audience."""
    found = []
    for rule in catalog.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        declared = audience.of(catalog.view_functions[rule.endpoint])
        assert declared is not None, f"{rule.endpoint} declares no audience"
        assert rule.endpoint in KNOCKS, f"{rule.endpoint} has no request in the matrix"
        for method in sorted((rule.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}):
            found.append(Route(rule.endpoint, method, declared, KNOCKS[rule.endpoint]))
    return found


def of_side(routes: list[Route], *sides: Side) -> Iterator[Route]:
    return (route for route in routes if route.declared.side in sides)


def test_the_matrix_names_only_routes_that_exist(catalog: Flask) -> None:
    assert KNOCKS.keys() - {rule.endpoint for rule in catalog.url_map.iter_rules()} == set()


def test_strangers_are_led_to_sign_in_and_back(routes: list[Route], client: FlaskClient) -> None:
    owner = people.register()
    for route in of_side(routes, Side.SIGNED_IN, Side.VENDOR, Side.STAFF):
        answer = route.ask(client, code=owner.code, vendor_id=owner.vendor_id)
        assert answer.status_code == 303, route
        assert answer.headers["Location"].startswith("/sign-in"), route
        if route.method == "GET":
            assert "next=" in answer.headers["Location"], route


def test_public_routes_never_fail_for_anybody(routes: list[Route], client: FlaskClient) -> None:
    owner = people.register()
    for route in of_side(routes, Side.PUBLIC):
        answer = route.ask(client, code=owner.code, vendor_id=owner.vendor_id)
        assert answer.status_code < 500 or route.endpoint == "ops.readyz", route


def test_another_vendors_pages_are_not_there(routes: list[Route], client: FlaskClient) -> None:
    """A foreign code and one that does not exist answer the same."""
    owner = people.register()
    people.sign_up(client, email="bob@other.example", business="Other House", name="Bob Other")
    for route in of_side(routes, Side.VENDOR):
        if "{code}" not in route.knock.path:
            continue
        foreign = route.ask(client, code=owner.code, vendor_id=owner.vendor_id)
        missing = route.ask(client, code="no-such-vendor", vendor_id=MISSING_ID)
        assert (foreign.status_code, missing.status_code) == (404, 404), route
        assert without_noise(foreign) == without_noise(missing), route


def test_vendors_never_reach_the_back_office(routes: list[Route], client: FlaskClient) -> None:
    owner = people.sign_up(client)
    for route in of_side(routes, Side.STAFF):
        assert route.ask(client, code=owner.code, vendor_id=owner.vendor_id).status_code == 404, route


def test_a_member_looks_but_does_not_buy(routes: list[Route], client: FlaskClient) -> None:
    owner = people.register()
    join(owner.vendor_id, people.login("carol@kilim.example").id, Role.MEMBER)
    people.sign_in(client, "carol@kilim.example")
    # Leaving comes last: after it nothing of this vendor is there any more.
    for route in sorted(of_side(routes, Side.VENDOR), key=lambda route: route.endpoint == "vendor_team.leave"):
        status = route.ask(client, code=owner.code, vendor_id=owner.vendor_id).status_code
        if route.declared.role == Role.MEMBER:
            assert status in (200, 303, 404), route
        else:
            assert status == 403, route


@pytest.mark.parametrize("standing", [Status.SUSPENDED, Status.TRIAL_ENDED, Status.CANCELLED, Status.PENDING_PAYMENT])
def test_a_closed_vendor_is_led_to_its_plans(routes: list[Route], client: FlaskClient, standing: Status) -> None:
    owner = people.sign_up(client)
    with tenancy.unscoped("a test"), unit_of_work():
        lock(owner.vendor_id).status = standing
    for route in of_side(routes, Side.VENDOR):
        answer = route.ask(client, code=owner.code, vendor_id=owner.vendor_id)
        if route.declared.needs == Needs.PRODUCT:
            assert answer.status_code == 303, route
            assert answer.headers["Location"] == f"/vendor/{owner.code}/plans?why={standing}"
        else:
            assert answer.status_code in (200, 303, 404, 409, 422), route


def test_staff_open_what_their_kind_may(routes: list[Route], catalog: Flask) -> None:
    owner = people.register()
    for kind in StaffKind:
        client = catalog.test_client()
        people.sign_in(client, people.staff(f"{kind}@portal.example", kind).email)
        for route in of_side(routes, Side.STAFF):
            status = route.ask(client, code=owner.code, vendor_id=owner.vendor_id).status_code
            allowed = kind in route.declared.staff
            assert (status != 403) == allowed, (kind, route, status)
            assert status < 500, (kind, route)


def test_programs_without_proof_or_with_a_cookie_are_refused(routes: list[Route], client: FlaskClient) -> None:
    """Being signed in on the web opens nothing here: no cookie, so no forged request either."""
    owner = people.sign_up(client)
    for route in of_side(routes, Side.API):
        answer = route.ask(client, code=owner.code, vendor_id=owner.vendor_id)
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json"), route
        assert answer.headers["WWW-Authenticate"] == "Bearer", route


def test_a_key_opens_what_it_reaches_and_for_its_vendor_alone(routes: list[Route], client: FlaskClient) -> None:
    """Nobody's, another vendor's, one that reaches nothing of it, and a suspended vendor's key."""
    owner, other = (
        people.register(tier="business"),
        people.register("bob@other.example", business="Other", tier="business"),
    )
    full, bare = programs.key(owner.vendor_id), {reach: programs.key(owner.vendor_id, reach) for reach in Reach}
    for route in of_side(routes, Side.API):
        for sent, expected in [
            (programs.bearer(full), {200, 422}),
            (programs.bearer(full, other.code), {404}),
            (programs.bearer(full, "no-such-vendor"), {404}),
            (programs.bearer(programs.altered(full)), {401}),
        ]:
            client.environ_base.update({f"HTTP_{k.upper().replace('-', '_')}": v for k, v in sent.items()})
            answer = route.ask(client, code=owner.code, vendor_id=owner.vendor_id)
            assert answer.status_code in expected, (route, sent, answer.get_json())
            client.environ_base.pop("HTTP_X_VENDOR", None)
        for reach, key in bare.items():
            client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
            status = route.ask(client, code=owner.code, vendor_id=owner.vendor_id).status_code
            asks = (route.endpoint, reach) == ("api_entitlements.check", Reach.USAGE_WRITE)  # which is for taking
            assert (status == 403) == (asks or reach not in route.declared.reach), (route, reach, status)
    with tenancy.unscoped("a test"), unit_of_work():
        lock(owner.vendor_id).status = Status.SUSPENDED
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {full}"
    for route in of_side(routes, Side.API):
        status = route.ask(client, code=owner.code, vendor_id=owner.vendor_id).status_code
        assert (status == 402) == (route.declared.needs == Needs.PRODUCT), route


def test_a_missing_vendor_is_not_found_for_staff_either(routes: list[Route], client: FlaskClient) -> None:
    people.sign_in(client, people.staff().email)
    for route in of_side(routes, Side.STAFF):
        if "{vendor_id}" in route.knock.path:
            assert route.ask(client, code="x", vendor_id=MISSING_ID).status_code == 404, route


def test_a_blocked_person_is_out_at_the_next_request(client: FlaskClient) -> None:
    from portal.identity.models import User
    from portal.kit.db import db

    owner = people.sign_up(client)
    assert client.get("/profile").status_code == 200
    with unit_of_work():
        db.session.get_one(User, owner.user_id).blocked_at = clock.business()
    assert client.get("/profile").status_code == 303


def test_forms_take_only_the_fields_they_name(client: FlaskClient) -> None:
    """Sending columns that no form has changes nothing of them."""
    from portal.identity.models import User
    from portal.kit.db import db

    owner = people.sign_up(client)
    extra = {"id": "1", "email": "evil@evil.example", "email_key": "evil@evil.example", "password_hash": "x"}
    extra |= {"email_verified_at": "", "blocked_at": "", "role": "owner", "vendor_id": "99", "stage": "active"}
    people.post(client, "/profile/details", {"name": "New Name", "locale": "en", "theme": "auto", **extra})
    user = db.session.get_one(User, owner.user_id, populate_existing=True)
    assert (user.email, user.password_hash != "x", user.email_verified_at is not None) == (owner.email, True, True)


def join(vendor_id: int, user_id: int, role: Role) -> None:
    with tenancy.unscoped("a test"), unit_of_work() as session:
        session.add(Membership(vendor_id=vendor_id, user_id=user_id, role=role, created_at=clock.business()))


def without_noise(answer: TestResponse) -> str:
    """The page without what differs from one answer to the next: tokens and ids of the request."""
    text = re.sub(r'content="[^"]*"|value="[^"]*"|action="[^"]*"', "", answer.get_data(as_text=True))
    return re.sub(r"[0-9a-f]{16}|\d{4}-\d\d-\d\dT[\d:.+]+", "", text)
