"""Jobs of billing: a refund whose request died between us and Stripe is carried on."""

from portal.billing import refund_flows
from portal.gateways.stripe import CardRefused, StripeMismatch
from portal.kit.errors import Conflict
from portal.kit.tasks import task


@task("billing.carry_on_refund", kind="flow")
def carry_on_refund(refund_id: int) -> None:
    """Ask Stripe for a refund that was written down; a refusal is kept with it and is the end."""
    try:
        refund_flows.carry_on(refund_id)
    except (CardRefused, StripeMismatch, Conflict):
        return
