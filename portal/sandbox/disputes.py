"""Disputes: the cardholder's bank takes the money back; won or lost by a button of the sandbox's page."""

from portal.sandbox import events, paging
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid
from portal.sandbox.periods import DAY
from portal.sandbox.tx import Doc, Params, Tx

ANSWER_WITHIN = 7 * DAY
EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt "
    "refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number "
    "uncategorized_file uncategorized_text"
)


def open_dispute(tx: Tx, charge: Doc, reason: str = "fraudulent") -> Doc:
    """The bank asks for the whole charge back; the money is taken at once. A charge is disputed once."""
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise invalid(f"Charge {charge['id']} cannot be disputed (again).", param="charge")
    dispute = tx.insert(
        "dispute",
        {
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {**dict.fromkeys(EVIDENCE.split()), "enhanced_evidence": {}},
            "evidence_details": {
                "due_by": tx.now + ANSWER_WITHIN,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "payment_method_details": {
                "type": "card",
                "card": {
                    "brand": charge["payment_method_details"]["card"]["brand"],
                    "case_type": "chargeback",
                    "network_reason_code": "83",
                },
            },
            "reason": reason,
            "status": "needs_response",
        },
    )
    charge["disputed"] = True
    events.emit(tx, "charge.dispute.created", dispute)
    events.emit(tx, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def close(tx: Tx, dispute: Doc, *, won: bool) -> None:
    """The bank has decided; a won dispute brings the money back."""
    if dispute["status"] not in ("needs_response", "under_review"):
        raise invalid(f"Dispute {dispute['id']} is closed already.")
    dispute["status"] = "won" if won else "lost"
    events.emit(tx, "charge.dispute.updated", dispute)
    events.emit(tx, "charge.dispute.closed", dispute)
    if won:
        events.emit(tx, "charge.dispute.funds_reinstated", dispute)


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The dispute."""
    return tx.get("dispute", ident)


def list_all(tx: Tx, params: Params) -> Doc:
    """Disputes, by charge or by payment intent."""

    def matches(doc: Doc) -> bool:
        return params.get("charge") in (None, doc["charge"])

    return paging.page(tx, "dispute", params, "/v1/disputes", parent=params.get("payment_intent"), matches=matches)


CALLS = [
    Call("GET", "/v1/disputes", "DisputeListParams", list_all, f"{LIST} charge created payment_intent"),
    Call("GET", "/v1/disputes/{}", "DisputeRetrieveParams", retrieve),
]
