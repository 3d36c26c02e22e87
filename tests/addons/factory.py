"""Add-ons for tests of their setting up."""

from typing import Any

from portal.addons import jobs as addon_jobs
from portal.addons import provisioning
from portal.addons.models import ProvisioningLog, ProvisioningRun, ProvisioningStep, VendorAddon
from portal.addons.rules import AddonStatus, Origin, RunKind
from portal.catalog.models import AddonProduct
from portal.kit import clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.periodic import insert_due
from portal.kit.unit_of_work import unit_of_work


def product(provisioning: str = "manual", *, hours: int = 48, grants: dict[str, Any] | None = None) -> int:
    """A product that is set up in this way; one of each."""
    code = f"{provisioning}-{hours}"
    known = db.session.query(AddonProduct.id).filter_by(code=code).scalar()
    if known:
        return int(known)
    with unit_of_work() as session:
        row = AddonProduct(
            code=code, name="Shop window", provisioning=provisioning, promised_hours=hours, max_quantity=9,
            grants={"limits": {"": grants or {"sites": 2}}}, created_at=clock.business(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def addon(vendor_id: int, product_id: int, *, quantity: int = 1, variant: str = "", **config: Any) -> int:
    """An add-on that was given and waits to be set up."""
    with unit_of_work() as session:
        row = VendorAddon(
            vendor_id=vendor_id, addon_id=product_id, variant=variant, origin=Origin.GIVEN, provider="none",
            status=AddonStatus.PENDING_SETUP, quantity=quantity, config=config, created_at=clock.business(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def begin(addon_id: int, kind: RunKind = RunKind.SETUP, **given: Any) -> int:
    """Begin a run; gives its id. Jobs wait for ``jobs.run_all()``."""
    with unit_of_work() as session:
        row = session.get_one(VendorAddon, addon_id)
        return provisioning.begin(row, kind, input=given, actor=SYSTEM, now=clock.business()).id


def tend() -> int:
    """What the clock brings by now, and all that follows; steps are looked after as if ten minutes were over."""
    with unit_of_work():
        insert_due()
        addon_jobs.tend()
    return jobs.run_all()


def run_row(run_id: int) -> ProvisioningRun:
    """The run as committed now."""
    return _plain(db.session.query(ProvisioningRun).filter_by(id=run_id))[0]


def addon_row(addon_id: int) -> VendorAddon:
    """The add-on as committed now."""
    return _plain(db.session.query(VendorAddon).filter_by(id=addon_id))[0]


def steps(run_id: int) -> list[ProvisioningStep]:
    """The run's steps as committed now."""
    return _plain(db.session.query(ProvisioningStep).filter_by(run_id=run_id).order_by(ProvisioningStep.position))


def states(run_id: int) -> list[str]:
    """Where each step stands."""
    return [step.state for step in steps(run_id)]


def logged(run_id: int) -> list[str]:
    """The log's messages."""
    rows = db.session.query(ProvisioningLog.message).filter_by(run_id=run_id).order_by(ProvisioningLog.id)
    return [message for (message,) in rows]


def _plain(query: Any) -> list[Any]:
    """Rows as committed now, which stay readable whatever the session does later."""
    db.session.rollback()
    found = list(query.populate_existing())
    for row in found:
        db.session.expunge(row)
    return found
