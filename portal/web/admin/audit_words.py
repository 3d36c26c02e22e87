"""Acts of the audit log in words."""

from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _

from portal.reporting.vendor_detail import AuditRow
from portal.web.admin import audit_details, words


@dataclass(frozen=True, slots=True)
class Act:
    """An act as the table shows it; ``action`` keeps the stable code for those who search a log by it."""

    title: str
    action: str
    details: tuple[tuple[str, str], ...]
    actor: str
    request_id: str
    at: datetime


def act(row: AuditRow) -> Act:
    """One act in words."""
    details = tuple(audit_details.shown(row.data))
    return Act(_title(row.action), row.action, details, words.who(row.actor_kind, row.by), row.request_id, row.at)


def _title(action: str) -> str:
    return {
        "account.registered": _("Account opened"),
        "entitlements.granted": _("Limits and features of the tier granted anew"),
        "entitlements.override_set": _("Limit set by hand"),
        "entitlements.override_ended": _("Limit set by hand ended"),
        "catalog.agreed_price_withdrawn": _("Agreed price withdrawn"),
        "catalog.price_agreed": _("Price agreed"),
        "catalog.price_changed": _("Price changed"),
        "credits.adjusted": _("Credits adjusted"),
        "addon.added": _("Add-on added"),
        "addon.charged": _("Add-on charged to the vendor"),
        "addon.changed": _("Add-on changed"),
        "addon.change_planned": _("Change of an add-on planned"),
        "addon.change_undone": _("Planned change of an add-on taken back"),
        "addon.cancelled": _("Add-on cancelled"),
        "addon.resumed": _("Add-on kept after all"),
        "addon.removal": _("Add-on taken away"),
        "addon.ended": _("Add-on ended"),
        "catalog.addon_changed": _("Add-on product changed"),
        "catalog.addon_price_changed": _("Price of an add-on changed"),
        "catalog.addon_created": _("Add-on product made"),
        "catalog.addon_sold_again": _("Add-on sold again"),
        "catalog.addon_moved": _("Order of add-ons changed"),
        "catalog.addon_tiers_changed": _("Tiers that sell an add-on changed"),
        "catalog.addon_retired": _("Add-on taken off the market"),
        "billing.balance_paid_out": _("Credit paid out"),
        "billing.credited": _("Credit note written"),
        "billing.tax_rate_added": _("Tax rate added"),
        "billing.tax_rate_ended": _("End of a tax rate changed"),
        "billing.method_chosen": _("Payment method chosen"),
        "billing.method_removed": _("Payment method removed"),
        "invoice.refunded": _("Money given back"),
        "invoice.refund_failed": _("Refund came back"),
        "invoice.disputed": _("Payment disputed"),
        "invoice.dispute_closed": _("Dispute decided"),
        "certificate.delivered": _("Certificate handed in"),
        "certificate.key_taken": _("Private key of a certificate taken"),
        "order.refused": _("Order refused"),
        "provisioning.cancelled": _("Setting up stopped"),
        "provisioning.completed": _("Step completed by hand"),
        "provisioning.skipped": _("Step left out"),
        "provisioning.undone": _("Step undone"),
        "subscription.cancel_requested": _("Subscription cancelled"),
        "subscription.resumed": _("Cancellation taken back"),
        "subscription.change_given_up": _("Change given up before it was paid"),
        "subscription.change_requested": _("Change of tier asked for"),
        "subscription.change_undone": _("Planned change taken back"),
        "subscription.tier_changed": _("Tier changed"),
        "subscription.trial_extended": _("Trial extended"),
        "support.answered": _("Question answered"),
        "support.closed": _("Question closed"),
        "stripe.reconciled": _("Brought in step with Stripe"),
        "statement.imported": _("Bank statement imported"),
        "transfer.approved": _("Bank transfer counted"),
        "transfer.cancelled": _("Bank transfer cancelled"),
        "transfer.first_approval": _("Bank transfer approved by the first of two"),
        "transfer.kept_as_credit": _("Late bank transfer kept as credit"),
        "transfer.rejected": _("Bank transfer rejected"),
        "team.invited": _("Invited to the team"),
        "team.invitation_sent_again": _("Invitation sent again"),
        "team.invitation_withdrawn": _("Invitation withdrawn"),
        "team.joined": _("Joined the team"),
        "team.left": _("Left the team"),
        "team.removed": _("Removed from the team"),
        "team.role_changed": _("Role changed"),
        "team.ownership_transferred": _("Ownership handed over"),
        "user.email_changed": _("Email address changed"),
        "user.password_changed": _("Password changed"),
        "vendor.legal_data_changed": _("Billing details changed"),
        "settings.changed": _("Setting changed"),
        "webhook.replayed": _("Stripe event replayed"),
    }.get(action, action.replace(".", ": ").replace("_", " ").capitalize())
