"""Jobs of checkout."""

from portal.checkout import flows
from portal.kit.tasks import task


@task("checkout.fulfil", kind="flow")
def fulfil(order_id: int) -> None:
    """Ask Stripe what became of an order's page and act on it."""
    flows.fulfil(order_id)


@task("checkout.cancel_refused", kind="flow")
def cancel_refused(stripe_subscription_id: str) -> None:
    """End a subscription whose order was refused."""
    flows.cancel_refused(stripe_subscription_id)
