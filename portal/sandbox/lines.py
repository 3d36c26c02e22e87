"""Invoice lines: what they cost, for which time, and which subscription item they come from."""

from datetime import UTC, datetime

from portal.sandbox.ids import new_id
from portal.sandbox.tx import Doc, Tx

SYMBOLS = {"eur": "€", "usd": "$", "gbp": "£", "chf": "CHF "}
NO_CENTS = frozenset(("jpy",))


def money(amount: int, currency: str) -> str:
    """An amount of minor units as text for people."""
    sign, cents = ("-" if amount < 0 else ""), abs(amount)
    figure = f"{cents:,}" if currency in NO_CENTS else f"{cents / 100:,.2f}"
    return f"{sign}{SYMBOLS.get(currency, currency.upper() + ' ')}{figure}"


def day(moment: int) -> str:
    """A date for people."""
    found = datetime.fromtimestamp(moment, UTC)
    return f"{found.day} {found:%b %Y}"


def per(recurring: Doc) -> str:
    """ "month", or "3 months"."""
    count = recurring["interval_count"]
    return recurring["interval"] if count == 1 else f"{count} {recurring['interval']}s"


def product_name(tx: Tx, price: Doc) -> str:
    """What the customer bought."""
    return str(tx.get("product", price["product"])["name"])


def full(tx: Tx, item: Doc, start: int, end: int) -> Doc:
    """A whole period of an item."""
    price = tx.get("price", item["price"])
    each = f"{money(price['unit_amount'], price['currency'])} / {per(price['recurring'])}"
    text = f"{item['quantity']} × {product_name(tx, price)} (at {each})"
    return _line(item, price, item["quantity"] * price["unit_amount"], start, end, text)


def trial(tx: Tx, item: Doc, start: int, end: int) -> Doc:
    """A free period of an item."""
    price = tx.get("price", item["price"])
    return _line(item, price, 0, start, end, f"Free trial for {item['quantity']} × {product_name(tx, price)}")


def unused(tx: Tx, item: Doc, amount: int, at: int) -> Doc:
    """Credit (a negative amount) for the rest of a period that was debited before."""
    price = tx.get("price", item["price"])
    text = f"Unused time on {_times(item)}{product_name(tx, price)} after {day(at)}"
    return _line(item, price, amount, at, item["current_period_end"], text, proration=True)


def remaining(tx: Tx, item: Doc, amount: int, at: int) -> Doc:
    """Charge for the rest of the running period."""
    price = tx.get("price", item["price"])
    text = f"Remaining time on {_times(item)}{product_name(tx, price)} after {day(at)}"
    return _line(item, price, amount, at, item["current_period_end"], text, proration=True)


def once(tx: Tx, price: Doc, quantity: int, invoice_item: str) -> Doc:
    """Something bought once; it belongs to no subscription."""
    bought = {"subscription": None, "id": None, "quantity": quantity}
    line = _line(bought, price, quantity * price["unit_amount"], tx.now, tx.now, product_name(tx, price))
    line["parent"] = {
        "type": "invoice_item_details",
        "invoice_item_details": {
            "invoice_item": invoice_item,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": None,
        },
        "subscription_item_details": None,
    }
    return line


def _times(item: Doc) -> str:
    return f"{item['quantity']} × " if item["quantity"] > 1 else ""


def _line(item: Doc, price: Doc, amount: int, start: int, end: int, text: str, *, proration: bool = False) -> Doc:
    return {
        "id": new_id("line_item"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": text,
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
        },
        "period": {"start": start, "end": end},
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": str(price["unit_amount"]),
        },
        "quantity": item["quantity"],
        "quantity_decimal": str(item["quantity"]),
        "subscription": item["subscription"],
        "subtotal": amount,
        "taxes": [],
    }
