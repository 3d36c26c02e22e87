"""Asking Stripe to give money back, and following what it says about refunds, whoever made them."""

from typing import Any

from portal.billing import refund_rules, refunds
from portal.billing.refund_rules import State
from portal.billing.refunds import Asked, Wish
from portal.gateways import stripe
from portal.gateways.stripe import CardRefused, StripeMismatch
from portal.kit import clock
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, NotFound, Unavailable
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work

UNKNOWN = N_("Stripe does not know this payment. Was another Stripe account connected? Nothing was given back.")


def give_back(vendor_id: int, invoice_id: int, wish: Wish, *, actor: Actor) -> State:
    """Write the intent, then ask Stripe; gives where the refund stands. Raises what ``refunds.request`` raises.

    StripeMismatch when Stripe refuses: then nothing went back. Unavailable when it does not answer: the job goes on.
    """
    with unit_of_work():
        refund_id = refunds.request(vendor_id, invoice_id, wish, actor=actor, now=clock.business())
    return carry_on(refund_id)


def carry_on(refund_id: int) -> State:
    """Ask Stripe for a refund that was written down, once however often this runs; gives where it stands."""
    ours = refunds.asked(refund_id)
    end_reading()
    if ours.state != State.REQUESTED:
        return ours.state
    try:
        _ask(ours)
    except (StripeMismatch, CardRefused) as error:
        with unit_of_work():
            refunds.refuse(refund_id, str(error.params.get("detail") or error.code), now=clock.business())
        raise
    except NotFound as error:
        with unit_of_work():
            refunds.refuse(refund_id, error.code, now=clock.business())
        raise Conflict(UNKNOWN, code="not_refundable") from error
    follow(ours.reference)
    return refunds.state_of(refund_id)


def _ask(ours: Asked) -> None:
    """Stripe repeats a 500 for its key, so after one the refund is looked for before giving up."""
    gateway = stripe.current()
    params: dict[str, Any] = {"amount": ours.amount_minor, "metadata": {"refund": str(ours.id)}}
    params["payment_intent" if ours.reference.startswith("pi_") else "charge"] = ours.reference
    try:
        gateway.refund_create(params, f"refund-{ours.id}")
    except Unavailable:
        made = [(each.get("metadata") or {}).get("refund") for each in gateway.refunds(ours.reference)]
        if str(ours.id) not in made:
            raise


def follow(payment_reference: str) -> int | None:
    """Mirror every refund of a payment as Stripe has it now; gives the vendor, None where the payment is not known."""
    known = refunds.payment_of(payment_reference)
    end_reading()
    if known is None:
        return None
    found = [refund_rules.read(each) for each in reversed(stripe.current().refunds(payment_reference))]
    with unit_of_work():
        refunds.mirror(payment_reference, found, now=clock.business())
    return known[0]
