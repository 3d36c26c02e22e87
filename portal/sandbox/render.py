"""Documents as Stripe shows them: prices written out, private notes left away, `expand` obeyed."""

from collections.abc import Callable
from typing import Any

from portal.sandbox.errors import invalid
from portal.sandbox.tx import Doc, Tx

# Objects that always carry the whole price; elsewhere it is an id that can be expanded.
WITH_PRICE = ("subscription_item", "item")


def present(tx: Tx, doc: Doc) -> Doc:
    """A copy for the outside."""
    shown: Doc = _shown(tx, doc)
    return shown


def _shown(tx: Tx, value: Any) -> Any:
    if isinstance(value, dict):
        shown = {name: _shown(tx, part) for name, part in value.items() if name != "_private"}
        if shown.get("object") in WITH_PRICE and isinstance(shown.get("price"), str):
            shown["price"] = _shown(tx, tx.get("price", shown["price"]))
        return shown
    return [_shown(tx, part) for part in value] if isinstance(value, list) else value


def list_of(data: list[Doc], url: str, has_more: bool = False) -> Doc:
    """Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _line_items(tx: Tx, session: Doc) -> Doc:
    items = tx.get("checkout.session", session["id"])["_private"]["line_items"]
    return list_of([present(tx, item) for item in items], f"/v1/checkout/sessions/{session['id']}/line_items")


def _payments(tx: Tx, invoice: Doc) -> Doc:
    found = [present(tx, doc) for doc in tx.scan("invoice_payment", parent=invoice["id"])]
    return list_of(found, f"/v1/invoice_payments?invoice={invoice['id']}")


def _confirmation_secret(tx: Tx, invoice: Doc) -> Doc | None:
    for payment in tx.scan("invoice_payment", parent=invoice["id"]):
        intent = tx.get("payment_intent", payment["payment"]["payment_intent"])
        return {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return None


def _subscriptions(tx: Tx, customer: Doc) -> Doc:
    found = [
        present(tx, doc) for doc in tx.scan("subscription", customer=customer["id"]) if doc["status"] != "canceled"
    ]
    return list_of(found, f"/v1/customers/{customer['id']}/subscriptions")


# Fields that Stripe leaves out until they are asked for.
INCLUDABLE: dict[tuple[str, str], Callable[[Tx, Doc], Any]] = {
    ("checkout.session", "line_items"): _line_items,
    ("invoice", "payments"): _payments,
    ("invoice", "confirmation_secret"): _confirmation_secret,
    ("customer", "subscriptions"): _subscriptions,
}


def expand(tx: Tx, shown: Doc, paths: list[str]) -> Doc:
    """Replace ids along the dotted paths by their objects; a path that leads nowhere is refused."""
    for path in paths:
        steps = path.split(".")
        if len(steps) - (steps[0] == "data") > 4:
            raise invalid(f"You cannot expand more than 4 levels of a property. Property: {path}", param="expand")
        _walk(tx, shown, steps, path)
    return shown


def _walk(tx: Tx, shown: Any, steps: list[str], path: str) -> None:
    if isinstance(shown, list):
        for part in shown:
            _walk(tx, part, steps, path)
        return
    if not steps:
        return
    name, rest = steps[0], steps[1:]
    if not isinstance(shown, dict):
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    include = INCLUDABLE.get((str(shown.get("object")), name))
    if include and not shown.get(name):
        shown[name] = include(tx, shown)
    elif name not in shown:
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    if isinstance(shown[name], str):
        shown[name] = _object(tx, shown[name], path)
    if shown[name] is not None:
        _walk(tx, shown[name], rest, path)


def _object(tx: Tx, ident: str, path: str) -> Doc:
    doc = tx.find(ident)
    if doc is None:
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    return present(tx, doc)
