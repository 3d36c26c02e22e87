"""Checkout in setup mode, and the setup intent behind it: a card is asked for and kept, nothing is charged."""

from portal.sandbox import cards, customers, events, paging, session_shape
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid
from portal.sandbox.ids import random_text
from portal.sandbox.payments import Outcome, reason_of
from portal.sandbox.tx import Doc, Params, Tx, metadata_of


def create(tx: Tx, params: Params, customer: Doc | None) -> Doc:
    """A session that keeps a card for its customer."""
    for name in ("line_items", "automatic_tax"):
        if name in params:
            raise invalid(f"You can not pass `{name}` in `setup` mode.", param=name)
    if "currency" not in params and "allowed_payment_method_types" not in params:
        raise invalid(
            "You must provide either `currency` or `allowed_payment_method_types` in `setup` mode.",
            param="currency",
            code="parameter_missing",
        )
    intent = _intent(tx, customer, params.get("setup_intent_data", {}))
    fields = {
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "currency": params.get("currency"),
        "mode": "setup",
        "payment_status": "no_payment_required",
        "setup_intent": intent["id"],
    }
    return session_shape.insert(tx, params, customer, fields)


def _intent(tx: Tx, customer: Doc | None, data: Params) -> Doc:
    empty = (
        "application automatic_payment_methods cancellation_reason customer_account excluded_payment_method_types "
        "flow_directions last_setup_error latest_attempt mandate next_action on_behalf_of payment_method "
        "payment_method_configuration_details single_use_mandate"
    )
    intent = tx.insert(
        "setup_intent",
        {
            **dict.fromkeys(empty.split()),
            "customer": customer["id"] if customer else None,
            "description": data.get("description"),
            "metadata": metadata_of(data.get("metadata")),
            "payment_method_options": {
                "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
            },
            "payment_method_types": ["card"],
            "status": "requires_payment_method",
            "usage": "off_session",
        },
    )
    intent["client_secret"] = f"{intent['id']}_secret_{random_text(25)}"
    events.emit(tx, "setup_intent.created", intent)
    return intent


def judge(method: Doc, *, authenticated: bool) -> Outcome:
    """What the issuer says when a card is only to be kept: is it good, and is it its owner?"""
    card = cards.behaviour(method["_private"]["number"])
    if card.authenticate != "never" and not authenticated:
        return Outcome("action")
    return Outcome("declined", card.attach) if card.attach else Outcome("paid")


def refused(tx: Tx, session: Doc, method: Doc, outcome: Outcome) -> None:
    """The card was declined, or its owner failed to authenticate."""
    intent = tx.get("setup_intent", session["setup_intent"])
    code, message = reason_of(outcome)
    if outcome.kind == "action":
        code, message = "setup_intent_authentication_failure", "The provided payment method has failed authentication."
    error = {"type": "card_error", "code": code, "message": message}
    if outcome.decline:
        error["decline_code"] = outcome.decline
    intent.update(status="requires_payment_method", last_setup_error=error, payment_method=None)
    events.emit(tx, "setup_intent.setup_failed", intent)


def complete(tx: Tx, session: Doc, method: Doc, name: str | None) -> None:
    """The card is the customer's now; it becomes nobody's default by itself."""
    customer = session_shape.or_new_customer(tx, session, name)
    customers.attach_card(tx, method, customer)
    intent = tx.get("setup_intent", session["setup_intent"])
    intent.update(customer=customer["id"], status="succeeded", payment_method=method["id"], last_setup_error=None)
    events.emit(tx, "setup_intent.succeeded", intent)
    session_shape.finish(tx, session, customer, name, {})


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The setup intent."""
    return tx.get("setup_intent", ident)


def list_all(tx: Tx, params: Params) -> Doc:
    """Setup intents, by customer and payment method."""

    def matches(doc: Doc) -> bool:
        return params.get("payment_method") in (None, doc["payment_method"])

    customer = params.get("customer")
    return paging.page(tx, "setup_intent", params, "/v1/setup_intents", customer=customer, matches=matches)


CALLS = [
    Call("GET", "/v1/setup_intents", "SetupIntentListParams", list_all, f"{LIST} created customer payment_method"),
    Call("GET", "/v1/setup_intents/{}", "SetupIntentRetrieveParams", retrieve),
]
