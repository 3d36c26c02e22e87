"""Products and prices."""

from collections.abc import Iterable

from portal.sandbox import events, paging
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid, missing
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

CURRENCIES = frozenset(("aud", "cad", "chf", "czk", "dkk", "eur", "gbp", "jpy", "nok", "pln", "sek", "usd"))


def create_product(tx: Tx, params: Params) -> Doc:
    """A new product; an id of the caller's own must be free."""
    if "id" in params and tx.find(params["id"]):
        raise invalid(f"Product already exists: {params['id']}", param="id", code="resource_already_exists")
    product = tx.insert(
        "product",
        {
            "active": params.get("active", True),
            "default_price": None,
            "description": params.get("description"),
            "images": [],
            "marketing_features": params.get("marketing_features", []),
            "metadata": metadata_of(params.get("metadata")),
            "name": params["name"],
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "tax_details": None,
            "type": "service",
            "unit_label": params.get("unit_label"),
            "updated": tx.now,
            "url": params.get("url"),
            **({"id": params["id"]} if "id" in params else {}),
        },
    )
    events.emit(tx, "product.created", product)
    return product


def retrieve_product(tx: Tx, params: Params, ident: str) -> Doc:
    """The product."""
    return tx.get("product", ident)


def update_product(tx: Tx, params: Params, ident: str) -> Doc:
    """Change what was given; an empty text unsets."""
    product = tx.get("product", ident)
    for name in ("active", "description", "marketing_features", "name", "unit_label", "url"):
        if name in params:
            product[name] = params[name] if params[name] != "" else ([] if name == "marketing_features" else None)
    if "default_price" in params:
        tx.get("price", params["default_price"], param="default_price", status=400)
        product["default_price"] = params["default_price"]
    product["metadata"] = metadata_of(params.get("metadata"), product["metadata"])
    product["updated"] = tx.now
    events.emit(tx, "product.updated", product)
    return product


def list_products(tx: Tx, params: Params) -> Doc:
    """Products, by activity or by ids."""

    def matches(doc: Doc) -> bool:
        return params.get("active") in (None, doc["active"]) and doc["id"] in params.get("ids", [doc["id"]])

    return paging.page(tx, "product", params, "/v1/products", matches=matches)


def create_price(tx: Tx, params: Params) -> Doc:
    """A new price of an existing product; amounts are minor units."""
    if params["currency"] not in CURRENCIES:
        raise invalid(f"Invalid currency: {params['currency']}.", param="currency")
    if "product" not in params:
        raise invalid("Missing required param: product.", param="product", code="parameter_missing")
    if "unit_amount" not in params:
        raise invalid("Missing required param: unit_amount.", param="unit_amount", code="parameter_missing")
    if params["unit_amount"] < 0:
        raise invalid("This value must be greater than or equal to 0.", param="unit_amount")
    if params["unit_amount"] > 99_999_999:
        raise invalid("Amount must be no more than 99999999.", param="unit_amount", code="amount_too_large")
    tx.get("product", params["product"], param="product", status=400)
    _free_lookup_key(tx, params)
    recurring = params.get("recurring")
    price = tx.insert(
        "price",
        {
            "active": params.get("active", True),
            "billing_scheme": "per_unit",
            "currency": params["currency"],
            "custom_unit_amount": None,
            "lookup_key": params.get("lookup_key"),
            "metadata": metadata_of(params.get("metadata")),
            "nickname": params.get("nickname"),
            "product": params["product"],
            "recurring": _recurring(recurring) if recurring else None,
            "tax_behavior": params.get("tax_behavior", "unspecified"),
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": params["unit_amount"],
            "unit_amount_decimal": str(params["unit_amount"]),
        },
    )
    events.emit(tx, "price.created", price)
    return price


def _recurring(given: Params) -> Doc:
    count = given.get("interval_count", 1)
    longest = {"day": 1095, "week": 156, "month": 36, "year": 3}[given["interval"]]
    if not 1 <= count <= longest:
        raise invalid("The interval must be at least 1 and at most 3 years.", param="recurring[interval_count]")
    return {"interval": given["interval"], "interval_count": count, "meter": None, "usage_type": "licensed"}


def _free_lookup_key(tx: Tx, params: Params, own: str | None = None) -> None:
    key = params.get("lookup_key")
    if not key:
        return
    for other in tx.scan("price"):
        if other["lookup_key"] == key and other["id"] != own:
            if not params.get("transfer_lookup_key"):
                raise invalid(
                    f"A price (`{other['id']}`) already uses that lookup key.",
                    param="lookup_key",
                    code="resource_already_exists",
                )
            other["lookup_key"] = None
            events.emit(tx, "price.updated", other)


def retrieve_price(tx: Tx, params: Params, ident: str) -> Doc:
    """The price."""
    return tx.get("price", ident)


def update_price(tx: Tx, params: Params, ident: str) -> Doc:
    """Change everything but the amount, which is for ever."""
    price = tx.get("price", ident)
    _free_lookup_key(tx, params, own=ident)
    for name in ("active", "lookup_key", "nickname", "tax_behavior"):
        if name in params:
            price[name] = params[name] if params[name] != "" else None
    price["metadata"] = metadata_of(params.get("metadata"), price["metadata"])
    events.emit(tx, "price.updated", price)
    return price


def list_prices(tx: Tx, params: Params) -> Doc:
    """Prices by product, activity, type, currency, lookup keys."""
    if len(params.get("lookup_keys", [])) > 10:
        raise invalid("You can pass at most 10 lookup keys.", param="lookup_keys")

    def matches(doc: Doc) -> bool:
        same = all(params.get(name) in (None, doc[name]) for name in ("active", "type", "currency"))
        return same and ("lookup_keys" not in params or doc["lookup_key"] in params["lookup_keys"])

    return paging.page(tx, "price", params, "/v1/prices", parent=params.get("product"), matches=matches)


def recurring_price(tx: Tx, ident: str, param: str, kept: Iterable[str] = ()) -> Doc:
    """A price that can be subscribed to; raises the 400 that names the parameter.

    `kept` are prices that the subscription has already: they stay good when they are no longer sold.
    """
    price = tx.find(ident)
    if price is None or price["object"] != "price":
        raise missing("price", ident, param=param, status=400)
    if price["type"] != "recurring":
        raise invalid(f"The price specified is set to `type=one_time`, expected recurring: {ident}", param=param)
    if not price["active"] and ident not in kept:
        raise invalid("The price specified is inactive. This field only accepts active prices.", param=param)
    return price


FIELDS = "active description marketing_features.name metadata name unit_label url"
PRICE = "active lookup_key metadata nickname tax_behavior transfer_lookup_key"
CALLS = [
    Call("POST", "/v1/products", "ProductCreateParams", create_product, f"{FIELDS} id"),
    Call("GET", "/v1/products", "ProductListParams", list_products, f"{LIST} active ids created"),
    Call("GET", "/v1/products/{}", "ProductRetrieveParams", retrieve_product),
    Call("POST", "/v1/products/{}", "ProductUpdateParams", update_product, f"{FIELDS} default_price"),
    Call(
        "POST",
        "/v1/prices",
        "PriceCreateParams",
        create_price,
        f"{PRICE} currency product unit_amount recurring.interval recurring.interval_count",
    ),
    Call(
        "GET", "/v1/prices", "PriceListParams", list_prices, f"{LIST} active created currency lookup_keys product type"
    ),
    Call("GET", "/v1/prices/{}", "PriceRetrieveParams", retrieve_price),
    Call("POST", "/v1/prices/{}", "PriceUpdateParams", update_price, PRICE),
]
