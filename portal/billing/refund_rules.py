"""How far a refund has come, and how much of a payment is left; pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """requested → pending → succeeded; it may fail at any point, even after it had succeeded."""

    REQUESTED = "requested"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


#: What counts as gone: all but what failed.
LASTING = (State.REQUESTED, State.PENDING, State.SUCCEEDED)
_ORDER = list(State)
_FROM_STRIPE = {
    "pending": State.PENDING,
    "requires_action": State.PENDING,
    "succeeded": State.SUCCEEDED,
    "failed": State.FAILED,
    "canceled": State.FAILED,
}


@dataclass(frozen=True, slots=True)
class CameBack:
    """A refund as Stripe has it now; ``asked_as`` is our id of it, if we asked for it."""

    reference: str
    state: State
    amount_minor: int
    reason: str
    error: str | None
    asked_as: str | None
    at: datetime


def read(document: dict[str, Any]) -> CameBack:
    """Read Stripe's refund."""
    return CameBack(
        reference=document["id"],
        state=_FROM_STRIPE.get(document.get("status") or "", State.PENDING),
        amount_minor=document["amount"],
        reason=(document.get("reason") or "").replace("_", " "),
        error=document.get("failure_reason"),
        asked_as=(document.get("metadata") or {}).get("refund"),
        at=datetime.fromtimestamp(document["created"], UTC),
    )


def further(ours: State, theirs: State) -> State:
    """The later of the two: an answer that is older than what we know takes nothing back."""
    return max(ours, theirs, key=_ORDER.index)


def left_of(paid_minor: int, back_minor: int) -> int:
    """What may still go back of a payment, in minor units; never less than nothing."""
    return max(paid_minor - back_minor, 0)


@dataclass(frozen=True, slots=True)
class Books:
    """A paid invoice of ours, in minor units: what it came to, what of it went back, and what was credited.

    ``to_balance`` was credited and kept for the vendor's next invoices, ``by_hand`` credited to be sent back.
    """

    total: int
    back: int
    to_balance: int
    by_hand: int

    def left_of(self, paid: int, surplus: int, back: int) -> int:
        """What may still be sent back of one payment, ``surplus`` of which went to the vendor's balance.

        Nothing goes back twice: neither what was sent already nor what the balance gives.
        """
        return max(min(paid - surplus - back, self.total - self.to_balance - self.back), 0)

    def uncorrected(self, amount: int) -> int:
        """How much of an amount that goes back has no credit note yet."""
        return max(amount - max(self.by_hand - self.back, 0), 0)
