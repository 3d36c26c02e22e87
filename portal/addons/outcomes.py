"""What follows when an add-on is ready, could not be set up, or is gone: its state, its grants, and who is told."""

from datetime import datetime

from portal.addons import provisioning_mails as mails
from portal.addons import provisioning_rules as rules
from portal.addons.models import ProvisioningRun, ProvisioningStep, VendorAddon
from portal.addons.rules import AddonStatus, RunKind
from portal.entitlements import service as entitlements
from portal.kit.db import db
from portal.notifications import notes, webhooks


def ready(addon: VendorAddon, run: ProvisioningRun, *, now: datetime) -> None:
    """A SETUP or CHANGE is through: the add-on works, and grants what its size and quantity bring by now.

    Safe to repeat. An add-on that was cancelled meanwhile stays so.
    """
    if addon.status == AddonStatus.CANCELLED:
        return
    addon.status, addon.provisioned_at = AddonStatus.ACTIVE, addon.provisioned_at or now
    db.session.flush()
    limits = rules.granted(addon.addon.grants, addon.variant, addon.quantity)
    entitlements.grant_addon(addon.vendor_id, grant_ref(addon), limits, now=now)
    if run.kind == RunKind.SETUP:
        mails.ready(addon, run, now=now)
        _tell(addon, run, "ready", now)


def failed(addon: VendorAddon, run: ProvisioningRun, step: ProvisioningStep, *, now: datetime) -> None:
    """A run was given up: staff is alerted; of a SETUP the vendor is told too. A working add-on goes on working."""
    mails.staff_failed(addon, run, step, now=now)
    if run.kind != RunKind.SETUP or addon.status == AddonStatus.CANCELLED:
        return
    addon.status = AddonStatus.FAILED
    mails.failed(addon, run, now=now)
    _tell(addon, run, "failed", now)


def _tell(addon: VendorAddon, run: ProvisioningRun, what: str, now: datetime) -> None:
    """A note in the portal, and the systems that listen; once for each run."""
    key = f"addon_{what}:{run.id}"
    notes.tell(addon.vendor_id, f"addon_{what}", {"addon": addon.addon.name}, dedupe_key=key, now=now)
    _publish(addon, f"addon.{what}", key, now)


def _publish(addon: VendorAddon, kind: str, event_id: str, now: datetime) -> None:
    data = {"addon": addon.id, "product": addon.addon.code, "variant": addon.variant, "quantity": addon.quantity}
    webhooks.publish(kind, vendor_id=addon.vendor_id, event_id=event_id, data=data, now=now)


def resumed(addon: VendorAddon, run: ProvisioningRun) -> None:
    """Staff goes on with a SETUP that had failed."""
    if run.kind == RunKind.SETUP and addon.status == AddonStatus.FAILED:
        addon.status = AddonStatus.PENDING_SETUP


def given_up(addon: VendorAddon, run: ProvisioningRun, *, now: datetime) -> None:
    """Staff stopped a run for good. A removal that is stopped leaves at the provider what stands there."""
    if run.kind == RunKind.TEARDOWN:
        torn_down(addon, now=now)
    elif run.kind == RunKind.SETUP and addon.status == AddonStatus.PENDING_SETUP:
        addon.status = AddonStatus.FAILED


def torn_down(addon: VendorAddon, *, now: datetime) -> None:
    """The add-on is gone. Safe to repeat."""
    if addon.status != AddonStatus.CANCELLED:
        addon.status, addon.cancelled_at = AddonStatus.CANCELLED, now
    end_grants(addon, now=now)


def end_grants(addon: VendorAddon, *, now: datetime) -> None:
    """What the add-on brought is over, whether or not the provider has taken it down yet. Safe to repeat."""
    db.session.flush()
    entitlements.end_addon(addon.vendor_id, grant_ref(addon), now=now)
    _publish(addon, "addon.ended", f"addon_ended:{addon.id}", now)


def grant_ref(addon: VendorAddon) -> str:
    """How the add-on's grants are named."""
    return f"addon:{addon.id}"
