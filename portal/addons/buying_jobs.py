"""What runs in the background for add-ons that are bought, kept, unpaid or over; ``jobs.py`` imports it."""

from datetime import timedelta

from portal.addons import endings, included, keeping_flows, transfers
from portal.kit import clock, outbox
from portal.kit.tasks import periodic, task
from portal.subscriptions import transfer_renewals


@periodic("addons.tend_transfers", every=timedelta(hours=1))
@task("addons.tend_transfers")
def tend_transfers() -> None:
    """Write one job per add-on paid by transfer whose next period wants an invoice, or has come."""
    for due in list(transfers.due(clock.business())):
        outbox.enqueue("addons.tend_transfer", dedupe_key=f"addons.tend_transfer:{due.cause}",
                       vendor_id=due.vendor_id, vendor=due.vendor_id, addon_id=due.addon_id)  # fmt: skip


@task("addons.tend_transfer")
def tend_transfer(vendor: int, addon_id: int) -> None:
    """Invoice, begin or miss the next period of one add-on."""
    transfers.tend(addon_id, vendor, now=clock.business())


@periodic("addons.tend_closed", every=timedelta(hours=6))
@task("addons.tend_closed")
def tend_closed() -> None:
    """Write one job per vendor that was closed for so long that its add-ons are warned of or end (SUB-8)."""
    for due in list(endings.due(clock.business())):
        outbox.enqueue("addons.tend_closed_one",
                       dedupe_key=f"addons.closed:{due.vendor_id}:{due.since.isoformat()}:{due.day}",
                       vendor_id=due.vendor_id, vendor=due.vendor_id, day=due.day)  # fmt: skip


@task("addons.tend_closed_one", kind="flow")
def tend_closed_one(vendor: int, day: int) -> None:
    """Warn one vendor of the end of its add-ons, or end them."""
    endings.tend(vendor, day)


@task("addons.end_unpaid", kind="flow")
def end_unpaid(vendor: int, addon_id: int) -> None:
    """End one add-on whose own payment has failed for longer than the grace."""
    endings.end_unpaid(vendor, addon_id)


@periodic("addons.tend_unpaid", every=timedelta(hours=6))
@task("addons.tend_unpaid")
def tend_unpaid() -> None:
    """Write one job per add-on at Stripe whose own payment has failed for longer than the grace."""
    for vendor_id, addon_id, since in list(endings.due_unpaid(clock.business())):
        outbox.enqueue("addons.end_unpaid", dedupe_key=f"addons.end_unpaid:{addon_id}:{since.isoformat()}",
                       vendor_id=vendor_id, vendor=vendor_id, addon_id=addon_id)  # fmt: skip


@task("addons.end_with_plan", kind="flow")
def end_with_plan(vendor: int) -> None:
    """The subscription has ended: its add-ons end with what is paid for."""
    endings.with_plan(vendor)


@task("addons.follow_tier")
def follow_tier(vendor: int) -> None:
    """The tier or its standing has changed: what it includes is there, what it does not is kept or ends."""
    included.follow(vendor, now=clock.business())


@task("addons.keep", kind="flow")
def keep(vendor: int, addon_id: int, price_id: int) -> None:
    """Buy what the tier before included and the vendor keeps."""
    keeping_flows.keep(addon_id, vendor, price_id)


transfer_renewals.along(transfers.beside)
