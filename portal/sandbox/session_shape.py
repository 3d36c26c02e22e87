"""What all Checkout Sessions share, whatever their mode: addresses, customer, life time, and the document."""

import re
from urllib.parse import urlsplit

from portal.sandbox import customers, events
from portal.sandbox.errors import invalid
from portal.sandbox.ids import new_id
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

HALF_HOUR, DAY = 1_800, 86_400
SLACK = 60  # seconds that a request may take on its way


def check_urls(params: Params) -> None:
    """Where the page leads back to."""
    if "success_url" not in params:
        raise invalid("Missing required param: success_url.", param="success_url", code="parameter_missing")
    for name in ("success_url", "cancel_url"):
        found = urlsplit(params.get(name, "https://example.com"))
        # The host goes into a header of the page, so it may hold nothing but a host.
        if found.scheme not in ("http", "https") or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", found.netloc):
            raise invalid("Not a valid URL", param=name, code="url_invalid")


def customer_of(tx: Tx, params: Params) -> Doc | None:
    """The customer that is named, if any."""
    if "customer" in params and "customer_email" in params:
        raise invalid("You may only specify one of these parameters: customer, customer_email.", param="customer")
    if "customer" not in params:
        return None
    return tx.get("customer", params["customer"], param="customer", status=400)


def expires_at(tx: Tx, params: Params) -> int:
    """Between half an hour and a day ahead; a day unless asked."""
    expires: int = params.get("expires_at", tx.now + DAY)
    if expires < tx.now + HALF_HOUR - SLACK:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.", param="expires_at"
        )
    if expires > tx.now + DAY + SLACK:
        raise invalid(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.", param="expires_at"
        )
    return expires


def insert(tx: Tx, params: Params, customer: Doc | None, more: Doc, **private: object) -> Doc:
    """Store an open session with its page; `more` are the fields that its mode sets."""
    empty = (
        "after_expiration allow_promotion_codes amount_subtotal amount_total client_secret collected_information "
        "consent consent_collection currency currency_conversion customer_account invoice invoice_creation "
        "managed_payments optional_items origin_context payment_intent payment_link "
        "payment_method_configuration_details permissions recovered_from saved_payment_method_options setup_intent "
        "shipping_address_collection shipping_cost submit_type subscription wallet_options "
        "allowed_payment_method_types integration_identifier discounts"
    )
    expires = expires_at(tx, params)
    session = tx.insert(
        "checkout.session",
        {
            **dict.fromkeys(empty.split()),
            "adaptive_pricing": params.get("adaptive_pricing", {"enabled": False}),
            "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
            "billing_address_collection": None,
            "cancel_url": params.get("cancel_url"),
            "client_reference_id": params.get("client_reference_id"),
            "custom_fields": [],
            "custom_text": {
                "after_submit": None,
                "shipping_address": None,
                "submit": None,
                "terms_of_service_acceptance": None,
            },
            "customer": customer["id"] if customer else None,
            "customer_creation": None if customer else "always",
            "customer_details": details(customer or {"email": params.get("customer_email")}, None),
            "customer_email": params.get("customer_email"),
            "excluded_payment_method_types": [],
            "expires_at": expires,
            "locale": params.get("locale"),
            "metadata": metadata_of(params.get("metadata")),
            "payment_method_collection": params.get("payment_method_collection", "always"),
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": ["card"],
            "payment_status": "unpaid",
            "phone_number_collection": {"enabled": False},
            "redirect_on_completion": "always",
            "shipping_options": [],
            "status": "open",
            "success_url": params["success_url"],
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page",
            "url": None,
            **more,
        },
        **{"line_items": [], "challenge": None, **private},
    )
    session["url"] = f"{tx.config.public_url}/c/pay/{session['id']}"
    tx.schedule(expires, "expire_session", session["id"])
    return session


def priced(mode: str, items: list[Doc], tax: Doc) -> Doc:
    """Mode, amounts and taxes of a session that sells something."""
    on_top = sum(item["amount_tax"] for item in items)
    total = sum(item["amount_total"] for item in items)
    enabled = bool((tax.get("automatic_tax") or {}).get("enabled"))
    return {
        "amount_subtotal": total - on_top,
        "amount_total": total,
        "automatic_tax": {
            "enabled": enabled,
            "liability": {"type": "self"} if enabled else None,
            "provider": "stripe" if enabled else None,
            "status": "complete" if enabled else None,
        },
        "currency": items[0]["currency"],
        "mode": mode,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": on_top},
    }


def item(price: Doc, quantity: int, subtotal: int, tax: int) -> Doc:
    """A line: amounts in minor units, today's (nothing in a trial)."""
    return {
        "id": new_id("item"),
        "object": "item",
        "amount_discount": 0,
        "adjustable_quantity": None,
        "amount_subtotal": subtotal,
        "amount_tax": tax,
        "amount_total": subtotal + tax,
        "currency": price["currency"],
        "description": price["nickname"],
        "metadata": {},
        "price": price["id"],
        "quantity": quantity,
    }


def finish(tx: Tx, session: Doc, customer: Doc, name: str | None, more: Doc) -> None:
    """The session is complete; `more` names what it made."""
    session.update(
        status="complete", url=None, customer=customer["id"], customer_details=details(customer, name), **more
    )
    session["_private"]["challenge"] = None
    tx.unschedule("expire_session", session["id"])
    events.emit(tx, "checkout.session.completed", session)


def close(tx: Tx, session: Doc) -> None:
    """The session expires, if it is still open."""
    if session["status"] == "open":
        session.update(status="expired", url=None)
        tx.unschedule("expire_session", session["id"])
        events.emit(tx, "checkout.session.expired", session)


def or_new_customer(tx: Tx, session: Doc, name: str | None) -> Doc:
    """The session's customer; a visitor becomes one."""
    if session["customer"]:
        return tx.get("customer", session["customer"])
    given = {"email": session["customer_email"], "name": name}
    return customers.create(tx, {key: text for key, text in given.items() if text})


def details(customer: Doc, name: str | None) -> Doc:
    """Who pays, as the session shows it."""
    return {
        "address": None,
        "business_name": None,
        "email": customer.get("email"),
        "individual_name": None,
        "name": name or customer.get("name"),
        "phone": customer.get("phone"),
        "tax_exempt": customer.get("tax_exempt", "none"),
        "tax_ids": [],
    }
