"""The API's calls on payment methods: cards."""

from portal.sandbox import cards, customers, events, paging
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import card_declined, invalid
from portal.sandbox.tx import Doc, Params, Tx, metadata_of


def create_method(tx: Tx, params: Params) -> Doc:
    """A card by number; only with numbers that pass the check digit."""
    given = params.get("card")
    if params.get("type") != "card" or not given:
        raise invalid("Only payment methods of type card exist here.", param="type")
    if not cards.plausible(given["number"]):
        raise card_declined("Your card number is incorrect.", "incorrect_number", None)
    return customers.new_card(tx, given["number"], given["exp_month"], given["exp_year"])


def retrieve_method(tx: Tx, params: Params, ident: str) -> Doc:
    """The payment method."""
    return tx.get("payment_method", ident)


def attach(tx: Tx, params: Params, ident: str) -> Doc:
    """POST /v1/payment_methods/{}/attach."""
    if "customer" not in params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = tx.get("customer", params["customer"], param="customer", status=400)
    return customers.attach_to(tx, ident, customer, "payment_method")


def detach(tx: Tx, params: Params, ident: str) -> Doc:
    """Take the card from its customer, and from whatever used it by default."""
    method = tx.get("payment_method", ident)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    customer = tx.get("customer", method["customer"])
    if customer["invoice_settings"]["default_payment_method"] == ident:
        customer["invoice_settings"]["default_payment_method"] = None
        events.emit(tx, "customer.updated", customer)
    for subscription in list(tx.scan("subscription", customer=customer["id"])):
        if subscription["default_payment_method"] == ident:
            subscription["default_payment_method"] = None
            events.emit(tx, "customer.subscription.updated", subscription)
    method["customer"] = None
    events.emit(tx, "payment_method.detached", method)
    return method


def update(tx: Tx, params: Params, ident: str) -> Doc:
    """Another expiry date, or who it belongs to; the number of a card never changes."""
    method = tx.get("payment_method", ident)
    if method["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.")
    for name, value in params.get("card", {}).items():
        method["card"][name] = value
    if not 1 <= method["card"]["exp_month"] <= 12:
        raise card_declined("Your card's expiration month is invalid.", "invalid_expiry_month", None)
    for name, text in params.get("billing_details", {}).items():
        method["billing_details"][name] = text or None
    method["metadata"] = metadata_of(params.get("metadata"), method["metadata"])
    events.emit(tx, "payment_method.updated", method)
    return method


def renewed_by_bank(tx: Tx, method: Doc) -> None:
    """The bank has sent a new card with the same number; the card network tells Stripe its expiry date."""
    method["card"]["exp_year"] += 4
    events.emit(tx, "payment_method.automatically_updated", method)


def list_methods(tx: Tx, params: Params, ident: str | None = None) -> Doc:
    """The cards of one customer."""
    customer = ident or params.get("customer")
    if customer is None:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    tx.get("customer", customer, param="customer", status=404 if ident else 400)
    url = f"/v1/customers/{ident}/payment_methods" if ident else "/v1/payment_methods"
    wanted = params.get("type")
    return paging.page(
        tx, "payment_method", params, url, customer=customer, matches=lambda doc: wanted in (None, doc["type"])
    )


UPDATE = "billing_details.email billing_details.name billing_details.phone card.exp_month card.exp_year metadata"
CALLS = [
    Call("GET", "/v1/customers/{}/payment_methods", "CustomerPaymentMethodListParams", list_methods, f"{LIST} type"),
    Call("GET", "/v1/payment_methods", "PaymentMethodListParams", list_methods, f"{LIST} customer type"),
    Call(
        "POST",
        "/v1/payment_methods",
        "PaymentMethodCreateParams",
        create_method,
        "type card.number card.exp_month card.exp_year card.cvc",
    ),
    Call("GET", "/v1/payment_methods/{}", "PaymentMethodRetrieveParams", retrieve_method),
    Call("POST", "/v1/payment_methods/{}/attach", "PaymentMethodAttachParams", attach, "customer"),
    Call("POST", "/v1/payment_methods/{}/detach", "PaymentMethodDetachParams", detach),
    Call("POST", "/v1/payment_methods/{}", "PaymentMethodUpdateParams", update, UPDATE),
]
