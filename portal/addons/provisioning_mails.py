"""Mails about setting up. Each names its cause, so each goes out once."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from portal.addons import providers
from portal.addons.models import ProvisioningRun, ProvisioningStep, VendorAddon
from portal.addons.providers import Step
from portal.addons.provisioning_book import Held
from portal.addons.rules import RunKind
from portal.identity import queries as identity
from portal.notifications import notes
from portal.notifications import service as notifications
from portal.notifications.service import Recipient
from portal.settings import queries as settings


def ready(addon: VendorAddon, run: ProvisioningRun, *, now: datetime) -> None:
    """It works."""
    _to_owner("addon_ready", addon, f"{run.id}", now)


def failed(addon: VendorAddon, run: ProvisioningRun, *, now: datetime) -> None:
    """It did not work, and we are looking."""
    _to_owner("addon_failed", addon, f"{run.id}", now)


def late(addon: VendorAddon, run: ProvisioningRun, *, now: datetime) -> None:
    """It is not ready by the promised time; to the vendor and to staff."""
    promised = run.promised_at.isoformat() if run.promised_at else now.isoformat()
    _to_owner("addon_late", addon, f"{run.id}", now, promised_at=promised)
    _to_staff(addon, run, "late", f"late:{run.id}", now, step="", due_at=promised)


def needs_you(
    held: Held, row: ProvisioningStep, step: Step, message: str, data: Mapping[str, Any], *, now: datetime
) -> None:
    """A step waits for the vendor; the same request is made once, another one for the same step is a new cause."""
    cause = hashlib.sha256(f"{message}|{sorted(data.items())}".encode()).hexdigest()[:16]
    params = {"addon": held.addon.addon.name, "step": step.title}
    _to_owner("addon_needs_you", held.addon, f"{row.id}:{cause}", now, step=step.title)
    notes.tell(row.vendor_id, "addon_needs_you", params, dedupe_key=f"needs-you:{row.id}:{cause}", now=now)


def certificate_renewed(addon: VendorAddon, certificate_id: int, name: str, ends: datetime, *, now: datetime) -> None:
    """It runs out soon, and renewing it was begun."""
    _to_owner("certificate_renewed", addon, f"{certificate_id}", now, name=name, ends_at=ends.isoformat())


def staff_task(held: Held, row: ProvisioningStep, step: Step, *, now: datetime) -> None:
    """A step waits for a person of the operator."""
    due = row.due_at.isoformat() if row.due_at else None
    _to_staff(held.addon, held.run, "task", f"task:{row.id}", now, step=step.staff_title or step.title, due_at=due)


def staff_failed(addon: VendorAddon, run: ProvisioningRun, row: ProvisioningStep, *, now: datetime) -> None:
    """A run was given up and lies with those that staff must look at; each time it is given up anew."""
    step = providers.step(run.recipe, RunKind(run.kind), row.code)
    title = step.staff_title or step.title
    _to_staff(addon, run, "failed", f"failed:{row.id}:{now.isoformat()}", now, step=title, due_at=None)


def _to_owner(kind: str, addon: VendorAddon, cause: str, now: datetime, **params: Any) -> None:
    owner, vendor = identity.owner(addon.vendor_id), identity.vendor(addon.vendor_id)
    if vendor is None:
        return
    notifications.send(
        kind,
        Recipient(owner.email, owner.name, owner.locale),
        dedupe_key=f"{kind}:{addon.vendor_id}:{cause}",
        vendor_id=addon.vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        addon=addon.addon.name,
        addon_id=addon.id,
        **params,
    )


def _to_staff(addon: VendorAddon, run: ProvisioningRun, why: str, cause: str, now: datetime, **params: Any) -> None:
    """Only where the operator has a support address; the table of setting up shows it in any case."""
    operator, vendor = settings.current(), identity.vendor(addon.vendor_id)
    if not operator.support_email or vendor is None:
        return
    notifications.send(
        "provisioning_for_staff",
        Recipient(operator.support_email, operator.name, "en"),
        dedupe_key=f"provisioning_for_staff:{cause}",
        vendor_id=addon.vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        addon=addon.addon.name,
        run_id=run.id,
        why=why,
        **params,
    )
