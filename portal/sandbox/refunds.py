"""Refunds of charges: whole or in part, at once, after a while, or failing later, as Stripe's test cards let them."""

from portal.sandbox import cards, events, lines, paging
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

#: How long a refund that does not succeed at once takes (business seconds).
UNDER_WAY = 3_600


def create(tx: Tx, params: Params) -> Doc:
    """Give back what is left of a charge, or a part of it; refuses more than is left."""
    charge = _charge(tx, params)
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} did not succeed, so there is nothing to refund.", param="charge")
    if charge["disputed"]:
        raise invalid(f"Charge {charge['id']} has been charged back.", code="charge_disputed")
    left = charge["amount"] - charge["amount_refunded"]
    if not left:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = params.get("amount", left)
    _check_amount(amount, left, charge["currency"])
    return _give_back(tx, charge, amount, params)


def _charge(tx: Tx, params: Params) -> Doc:
    if "payment_intent" in params:
        intent = tx.get("payment_intent", params["payment_intent"], param="payment_intent", status=400)
        if params.get("charge") not in (None, intent["latest_charge"]):
            raise invalid("The charge does not belong to this payment intent.", param="charge")
        if intent["status"] != "succeeded":
            raise invalid(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        return tx.get("charge", intent["latest_charge"])
    if "charge" not in params:
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    return tx.get("charge", params["charge"], param="charge", status=400)


def _check_amount(amount: int, left: int, currency: str) -> None:
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Refund amount ({lines.money(amount, currency)}) is greater than unrefunded amount on charge "
            f"({lines.money(left, currency)})",
            param="amount",
        )


def _give_back(tx: Tx, charge: Doc, amount: int, params: Params) -> Doc:
    method = tx.get("payment_method", charge["payment_method"])
    later = cards.behaviour(method["_private"]["number"]).refund
    empty = ("balance_transaction", "receipt_number", "source_transfer_reversal", "transfer_reversal")
    refund = tx.insert(
        "refund",
        {
            **dict.fromkeys(empty),
            "amount": amount,
            "charge": charge["id"],
            "currency": charge["currency"],
            "destination_details": {"type": "card", "card": {"type": "refund"}},
            "metadata": metadata_of(params.get("metadata")),
            "payment_intent": charge["payment_intent"],
            "reason": params.get("reason"),
            "status": "pending" if later == "pending" else "succeeded",
        },
    )
    refund.pop("livemode")  # Stripe's refunds have none
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    if later:
        tx.schedule(tx.now + UNDER_WAY, "settle_refund", refund["id"])
    events.emit(tx, "refund.created", refund)
    events.emit(tx, "charge.refunded", charge)
    return refund


def settle(tx: Tx, refund: Doc) -> None:
    """A refund that was under way arrives, or comes back because the bank does not take it."""
    charge = tx.get("charge", refund["charge"])
    if refund["status"] == "pending":
        refund["status"] = "succeeded"
        events.emit(tx, "refund.updated", refund)
        events.emit(tx, "charge.refund.updated", refund)
    elif refund["status"] == "succeeded":
        refund.update(status="failed", failure_reason="expired_or_canceled_card")
        charge.update(amount_refunded=charge["amount_refunded"] - refund["amount"], refunded=False)
        events.emit(tx, "refund.updated", refund)
        tx.mark_told(refund)
        events.emit(tx, "refund.failed", refund)
        events.emit(tx, "charge.updated", charge)


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The refund."""
    return tx.get("refund", ident)


def update(tx: Tx, params: Params, ident: str) -> Doc:
    """Only the metadata of a refund can change."""
    refund = tx.get("refund", ident)
    refund["metadata"] = metadata_of(params.get("metadata"), refund["metadata"])
    events.emit(tx, "refund.updated", refund)
    return refund


def list_all(tx: Tx, params: Params) -> Doc:
    """Refunds, by charge or by payment intent."""

    def matches(doc: Doc) -> bool:
        return params.get("charge") in (None, doc["charge"])

    return paging.page(tx, "refund", params, "/v1/refunds", parent=params.get("payment_intent"), matches=matches)


CREATE = "amount charge metadata payment_intent reason"
CALLS = [
    Call("POST", "/v1/refunds", "RefundCreateParams", create, CREATE),
    Call("GET", "/v1/refunds", "RefundListParams", list_all, f"{LIST} charge created payment_intent"),
    Call("GET", "/v1/refunds/{}", "RefundRetrieveParams", retrieve),
    Call("POST", "/v1/refunds/{}", "RefundUpdateParams", update, "metadata"),
]
