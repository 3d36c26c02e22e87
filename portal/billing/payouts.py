"""Paying out what stands on a vendor's balance: too much paid, or credited. Somebody sends the money from the bank."""

from dataclasses import dataclass
from datetime import datetime

from portal.audit import service as audit
from portal.billing import balance, money_mails, refunds
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.text import N_


@dataclass(frozen=True, slots=True)
class PayOut:
    """How much was sent by which transfer, why, and what the balance was when somebody looked."""

    amount: Money
    reference: str
    reason: str
    seen_minor: int


def pay_out(vendor_id: int, wish: PayOut, *, actor: Actor, now: datetime) -> None:
    """Take it from the balance, once per transfer; the vendor is mailed. The caller holds the vendor's lock.

    Conflict when the balance is another than was shown; Invalid at the field ``amount`` for more than there is, at
    ``reference`` for a transfer without one or one that is written down already.
    """
    present = balance.balance(vendor_id, wish.amount.currency)
    if present.minor != wish.seen_minor:
        raise Conflict
    if not 0 < wish.amount.minor <= present.minor:
        raise Invalid(fields={"amount": N_("Please enter an amount that is more than zero and not more than is left.")})
    refunds.check_reference(wish.reference)
    balance.add(
        vendor_id, Money(-wish.amount.minor, wish.amount.currency), cause=refunds.payout_cause(wish.reference),
        description=wish.reference, actor_label=actor.label, now=now,
    )  # fmt: skip
    told = {"amount_minor": wish.amount.minor, "currency": wish.amount.currency, "reference": wish.reference,
            "reason": wish.reason}  # fmt: skip
    audit.record(actor, "billing.balance_paid_out", vendor_id=vendor_id, data=told, now=now)
    money_mails.paid_out(vendor_id, wish.amount, wish.reference, now)
