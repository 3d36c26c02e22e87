"""Customers and their cards."""

import re

from portal.sandbox import cards, events, paging
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import card_declined, invalid, missing
from portal.sandbox.ids import random_text
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

TEXTS = ("description", "name", "phone", "business_name", "individual_name")


def create(tx: Tx, params: Params) -> Doc:
    """A new customer; two with one email are two customers, as at Stripe."""
    _check_email(params)
    customer = tx.insert(
        "customer",
        {
            "address": _address(params.get("address")),
            "balance": params.get("balance", 0),
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": params.get("description"),
            "discount": None,
            "email": params.get("email"),
            "invoice_prefix": random_text(8).upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "metadata": metadata_of(params.get("metadata")),
            "name": params.get("name"),
            "next_invoice_sequence": 1,
            "phone": params.get("phone"),
            "preferred_locales": params.get("preferred_locales", []),
            "shipping": None,
            "tax_exempt": params.get("tax_exempt") or "none",
            "test_clock": None,
            **{name: params[name] for name in ("business_name", "individual_name") if params.get(name)},
        },
    )
    events.emit(tx, "customer.created", customer)
    if "payment_method" in params:
        _make_default(tx, customer, attach_to(tx, params["payment_method"], customer, "payment_method")["id"])
    _set_default(tx, customer, params)
    events.emit(tx, "customer.updated", customer)
    return customer


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The customer."""
    return tx.get("customer", ident)


def update(tx: Tx, params: Params, ident: str) -> Doc:
    """Change what was given; an empty text unsets."""
    customer = tx.get("customer", ident)
    _check_email(params)
    for name in (*TEXTS, "email", "balance", "preferred_locales", "tax_exempt"):
        if name in params:
            customer[name] = params[name] if params[name] != "" else None
    if "address" in params:
        customer["address"] = _address(params["address"])
    customer["metadata"] = metadata_of(params.get("metadata"), customer["metadata"])
    _set_default(tx, customer, params)
    events.emit(tx, "customer.updated", customer)
    return customer


def _address(given: Params | str | None) -> Doc | None:
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {name: given.get(name) for name in names} if isinstance(given, dict) else None


def _check_email(params: Params) -> None:
    email = params.get("email")
    if email and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise invalid(f"Invalid email address: {email}", param="email", code="email_invalid")


def _set_default(tx: Tx, customer: Doc, params: Params) -> None:
    wanted = params.get("invoice_settings", {}).get("default_payment_method")
    if wanted:
        param = "invoice_settings[default_payment_method]"
        _make_default(tx, customer, owned(tx, wanted, customer, param)["id"])
    elif wanted == "":
        customer["invoice_settings"]["default_payment_method"] = None


def _make_default(tx: Tx, customer: Doc, method: str) -> None:
    customer["invoice_settings"]["default_payment_method"] = method


def list_all(tx: Tx, params: Params) -> Doc:
    """Customers, by exact email."""
    return paging.page(
        tx, "customer", params, "/v1/customers", matches=lambda doc: params.get("email") in (None, doc["email"])
    )


# --- payment methods


def new_card(tx: Tx, number: str, exp_month: int, exp_year: int, name: str | None = None) -> Doc:
    """A payment method for this number, attached to nobody yet; only its last four digits are ever shown."""
    card = cards.behaviour(number)
    checks = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}
    return tx.insert(
        "payment_method",
        {
            "allow_redisplay": "unspecified",
            "billing_details": {"address": None, "email": None, "name": name, "phone": None, "tax_id": None},
            "card": {
                "brand": card.brand,
                "checks": checks,
                "country": "US",
                "display_brand": card.brand,
                "exp_month": exp_month,
                "exp_year": exp_year,
                "fingerprint": card.fingerprint,
                "funding": "credit",
                "generated_from": None,
                "last4": number[-4:],
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "customer": None,
            "metadata": {},
            "type": "card",
        },
        number=number,
    )


def token_card(tx: Tx, ident: str, param: str) -> Doc:
    """The payment method with this id; a test token (pm_card_…) makes a fresh one."""
    if ident in cards.TOKENS:
        return new_card(tx, cards.TOKENS[ident], 12, 2034)
    doc = tx.find(ident)
    if doc is None or doc["object"] != "payment_method":
        raise missing("PaymentMethod", ident, param=param, status=400)
    return doc


def owned(tx: Tx, ident: str, customer: Doc, param: str) -> Doc:
    """A payment method of this customer's; raises 400 for anybody else's."""
    method = tx.find(ident)
    if method is None or method["object"] != "payment_method":
        raise missing("PaymentMethod", ident, param=param, status=400)
    if method["customer"] != customer["id"]:
        raise invalid(
            f"The customer does not have a payment method with the ID {ident}. "
            "The payment method must be attached to the customer.",
            param=param,
            code="resource_missing",
        )
    return method


def attach_to(tx: Tx, ident: str, customer: Doc, param: str) -> Doc:
    """Attach a card; a card that the issuer refuses is a 402 and stays away."""
    method = token_card(tx, ident, param)
    decline = cards.behaviour(method["_private"]["number"]).attach
    if decline:
        code, message = cards.DECLINES[decline]
        raise card_declined(message, code, decline if code == "card_declined" else None)
    attach_card(tx, method, customer)
    return method


def attach_card(tx: Tx, method: Doc, customer: Doc) -> None:
    """Attach without asking the issuer (who was asked already); twice is once."""
    if method["customer"] not in (None, customer["id"]):
        raise invalid(
            "The payment method you provided has already been attached to a customer.", param="payment_method"
        )
    if method["customer"] is None:
        method["customer"] = customer["id"]
        events.emit(tx, "payment_method.attached", method)


FIELDS = (
    "address balance business_name description email individual_name metadata name phone preferred_locales "
    "tax_exempt invoice_settings.default_payment_method"
)
CALLS = [
    Call("POST", "/v1/customers", "CustomerCreateParams", create, f"{FIELDS} payment_method"),
    Call("GET", "/v1/customers", "CustomerListParams", list_all, f"{LIST} created email"),
    Call("GET", "/v1/customers/{}", "CustomerRetrieveParams", retrieve),
    Call("POST", "/v1/customers/{}", "CustomerUpdateParams", update, FIELDS),
]
