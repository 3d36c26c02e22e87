"""States of a transfer that is waited for; pure."""

from enum import StrEnum


class TransferState(StrEnum):
    """awaiting → proof_sent → part_paid → approved; or rejected (by staff), or cancelled."""

    AWAITING = "awaiting"
    PROOF_SENT = "proof_sent"
    PART_PAID = "part_paid"
    APPROVED = "approved"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


#: Nobody has decided yet.
WAITING = frozenset({TransferState.AWAITING, TransferState.PROOF_SENT, TransferState.PART_PAID})
