"""What can happen to an object without anybody asking the API: the buttons beside it on the sandbox's page."""

from collections.abc import Callable

from portal.sandbox import credit_notes, disputes, payment_methods, refunds
from portal.sandbox.tx import Doc, Tx

Act = Callable[[Tx, Doc], None]


def _dispute(tx: Tx, charge: Doc) -> None:
    disputes.open_dispute(tx, charge)


def _win(tx: Tx, dispute: Doc) -> None:
    disputes.close(tx, dispute, won=True)


def _lose(tx: Tx, dispute: Doc) -> None:
    disputes.close(tx, dispute, won=False)


def _credit(tx: Tx, invoice: Doc) -> None:
    credit_notes.write(tx, invoice)


def _settle(tx: Tx, refund: Doc) -> None:
    tx.unschedule("settle_refund", refund["id"])
    refunds.settle(tx, refund)


#: For each kind of object, the buttons: what is sent, and what stands on them.
ACTS: dict[str, tuple[tuple[str, str], ...]] = {
    "charge": (("dispute", "Open a dispute"),),
    "credit_note": (("void", "Void it"),),
    "dispute": (("win", "Win it"), ("lose", "Lose it")),
    "invoice": (("credit", "Credit half of what is left"),),
    "payment_method": (("renew", "The bank renews the card"),),
    "refund": (("settle", "Settle: a pending one arrives, another comes back"),),
}
DOES: dict[str, Act] = {
    "credit": _credit,
    "dispute": _dispute,
    "win": _win,
    "lose": _lose,
    "renew": payment_methods.renewed_by_bank,
    "settle": _settle,
    "void": credit_notes.void,
}


def found(doc: Doc, wanted: str) -> Act | None:
    """What the button of this name does to this object; None when it has no such button."""
    return DOES[wanted] if wanted in [name for name, _label in ACTS.get(doc["object"], ())] else None
