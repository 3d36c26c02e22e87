"""Following a dispute as Stripe has it now."""

from portal.billing import disputes
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.unit_of_work import unit_of_work


def follow(dispute_id: str) -> tuple[int | None, str]:
    """Fetch and mirror a dispute; gives the vendor (None where the payment is not known) and the payment's id."""
    remote = disputes.read(stripe.current().dispute(dispute_id))
    with unit_of_work():
        return disputes.mirror(remote, now=clock.business()), remote.payment_reference


def follow_payment(payment_reference: str) -> None:
    """Mirror every dispute of a payment."""
    for document in stripe.current().disputes(payment_reference):
        with unit_of_work():
            disputes.mirror(disputes.read(document), now=clock.business())
