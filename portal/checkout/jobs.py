"""Jobs of checkout."""

from datetime import timedelta

from portal.checkout import addon_flows, flows, purchases, transfer
from portal.entitlements import files
from portal.kit import clock, outbox
from portal.kit.tasks import periodic, task


@task("checkout.fulfil", kind="flow")
def fulfil(order_id: int) -> None:
    """Ask Stripe what became of an order's page and act on it."""
    flows.fulfil(order_id)


@task("checkout.record_change")
def record_change(change_id: int) -> None:
    """Write the purchase of a change of the tier that was paid."""
    purchases.record_change(change_id)


@task("checkout.cancel_refused", kind="flow")
def cancel_refused(stripe_subscription_id: str) -> None:
    """End a subscription whose order was refused."""
    flows.cancel_refused(stripe_subscription_id)


@task("checkout.remove_refused_item", kind="flow")
def remove_refused_item(order_id: int, item_id: str) -> None:
    """Take an item whose order was refused from the tier's subscription."""
    addon_flows.remove_refused_item(order_id, item_id)


@periodic("checkout.tend_orders", every=timedelta(hours=1))
@task("checkout.tend_orders")
def tend_orders() -> None:
    """Write one job per order by transfer that nobody paid."""
    for transfer_id, vendor_id in transfer.overdue_orders(clock.business()):
        outbox.enqueue(
            "checkout.lapse_order",
            dedupe_key=f"lapse-order:{transfer_id}",
            vendor_id=vendor_id,
            vendor=vendor_id,
            transfer_id=transfer_id,
        )


@task("checkout.lapse_order")
def lapse_order(vendor: int, transfer_id: int) -> None:
    """Wait no longer for one order."""
    transfer.lapse(transfer_id, vendor, now=clock.business())


@task("checkout.after_end")
def after_end(vendor: int) -> None:
    """A subscription has ended: what was asked for it is not waited for."""
    transfer.after_end(vendor, now=clock.business())


@task("checkout.forget_file", kind="flow")
def forget_file(key: str) -> None:
    """A file was replaced: it goes, and its bytes count no longer."""
    files.forget(key, now=clock.business())
