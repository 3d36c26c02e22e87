"""Taxes on top of prices: rates of one's own, and automatic ones by the customer's country. Exclusive, line by line."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from portal.sandbox import events, paging, render
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid, missing, unsupported
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

#: What automatic tax charges where the account is registered; elsewhere nothing is collected (percent).
AUTOMATIC = {
    "AT": "20",
    "BE": "21",
    "CH": "8.1",
    "DE": "19",
    "DK": "25",
    "ES": "21",
    "FI": "25.5",
    "FR": "20",
    "GB": "20",
    "IE": "23",
    "IT": "22",
    "NL": "21",
    "PL": "23",
    "SE": "25",
}
EXEMPT = {"exempt": "customer_exempt", "reverse": "reverse_charge"}
MOST_RATES = 5


def create(tx: Tx, params: Params) -> Doc:
    """A rate that is added to prices (the sandbox knows no inclusive ones)."""
    if params["inclusive"]:
        raise unsupported("inclusive tax rates", param="inclusive")
    if not 0 <= params["percentage"] <= 100:
        raise invalid("This value must be between 0 and 100.", param="percentage")
    rate = _insert(tx, params["display_name"], params["percentage"], params)
    events.emit(tx, "tax_rate.created", rate)
    return rate


def _insert(tx: Tx, name: str, percentage: Decimal, more: Params, **private: Any) -> Doc:
    return tx.insert(
        "tax_rate",
        {
            "active": more.get("active", True),
            "country": more.get("country"),
            "description": more.get("description"),
            "display_name": name,
            "effective_percentage": float(percentage) if private else None,
            "flat_amount": None,
            "inclusive": False,
            "jurisdiction": more.get("jurisdiction"),
            "jurisdiction_level": "country" if private else None,
            "metadata": metadata_of(more.get("metadata")),
            "percentage": float(percentage),
            "rate_type": "percentage" if private else None,
            "state": more.get("state"),
            "tax_type": more.get("tax_type"),
        },
        **private,
    )


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The tax rate."""
    return tx.get("tax_rate", ident)


def update(tx: Tx, params: Params, ident: str) -> Doc:
    """Everything but the percentage."""
    rate = tx.get("tax_rate", ident)
    for name in ("active", "country", "description", "display_name", "jurisdiction", "state", "tax_type"):
        if name in params:
            rate[name] = params[name] if params[name] != "" else None
    rate["metadata"] = metadata_of(params.get("metadata"), rate["metadata"])
    events.emit(tx, "tax_rate.updated", rate)
    return rate


def list_all(tx: Tx, params: Params) -> Doc:
    """The rates that were made by hand."""

    def matches(doc: Doc) -> bool:
        right = all(params.get(name) in (None, doc[name]) for name in ("active", "inclusive"))
        return right and not doc["_private"].get("automatic")

    return paging.page(tx, "tax_rate", params, "/v1/tax_rates", matches=matches)


# --- what a subscription, a session or a phase says about taxes


def settings(tx: Tx, params: Params, customer: Doc | None, path: str = "") -> Doc:
    """`automatic_tax` and `default_tax_rates` as they were asked for, checked, in the fields that documents carry."""
    given = params.get("default_tax_rates") or []
    found: Doc = {}
    if "default_tax_rates" in params:
        found["default_tax_rates"] = _rates(tx, given, f"{path}[default_tax_rates]" if path else "default_tax_rates")
    if "automatic_tax" in params:
        enabled = bool(params["automatic_tax"].get("enabled"))
        if enabled and given:
            raise invalid("You cannot set default_tax_rates when automatic tax is enabled.", param="default_tax_rates")
        if enabled:
            _country(customer)
        found["automatic_tax"] = automatic(enabled)
    return found


def automatic(enabled: bool) -> Doc:
    """How documents show whether taxes are worked out by themselves."""
    return {"disabled_reason": None, "enabled": enabled, "liability": {"type": "self"} if enabled else None}


def _rates(tx: Tx, given: list[str], param: str) -> list[Doc]:
    if len(given) > MOST_RATES:
        raise invalid(f"You can pass at most {MOST_RATES} tax rates.", param=param)
    found = []
    for ident in given:
        rate = tx.find(ident)
        if rate is None or rate["object"] != "tax_rate":
            raise missing("tax rate", ident, param=param, status=400)
        if not rate["active"]:
            raise invalid(f"The tax rate {ident} has been archived and cannot be used.", param=param)
        found.append(render.present(tx, rate))
    return found


def _country(customer: Doc | None) -> str:
    country = ((customer or {}).get("address") or {}).get("country")
    if not country:
        raise invalid(
            "The customer's location isn't recognized. Set a valid customer address in order to automatically "
            "calculate tax.",
            param="automatic_tax[enabled]",
            code="customer_tax_location_invalid",
        )
    return str(country)


# --- arithmetic


def put_on(tx: Tx, customer: Doc | None, source: Doc, lines: list[Doc]) -> list[Doc]:
    """Write each line's taxes into it (minor units, each rounded half away from zero); returns them summed by rate."""
    rates = _rates_of(tx, customer, source)
    reason = EXEMPT.get((customer or {}).get("tax_exempt") or "", "standard_rated")
    for line in lines:
        line["taxes"] = [_tax(rate, line["amount"], reason) for rate in rates]
    return [_summed([line["taxes"][place] for line in lines]) for place in range(len(rates))] if lines else []


def on(tx: Tx, customer: Doc | None, source: Doc, amount: int) -> int:
    """The tax on an amount that is no line yet (minor units)."""
    reason = EXEMPT.get((customer or {}).get("tax_exempt") or "", "standard_rated")
    return sum(_tax(rate, amount, reason)["amount"] for rate in _rates_of(tx, customer, source))


def _rates_of(tx: Tx, customer: Doc | None, source: Doc) -> list[Doc]:
    if not (source.get("automatic_tax") or {}).get("enabled"):
        return list(source.get("default_tax_rates") or [])
    country = _country(customer)
    if country not in AUTOMATIC:
        return []
    for rate in tx.scan("tax_rate"):
        if rate["_private"].get("automatic") == country:
            return [rate]
    more = {"country": country, "jurisdiction": country, "tax_type": "vat"}
    return [_insert(tx, "VAT", Decimal(AUTOMATIC[country]), more, automatic=country)]


def _tax(rate: Doc, amount: int, reason: str) -> Doc:
    share = Decimal(amount) * Decimal(str(rate["percentage"])) / 100
    figure = int(share.quantize(Decimal(1), ROUND_HALF_UP)) if reason == "standard_rated" else 0
    return {
        "amount": figure,
        "tax_behavior": "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]},
        "taxability_reason": reason,
        "taxable_amount": amount,
        "type": "tax_rate_details",
    }


def _summed(taxes: list[Doc]) -> Doc:
    return {**taxes[0], **{name: sum(tax[name] for tax in taxes) for name in ("amount", "taxable_amount")}}


CREATE = "active country description display_name inclusive jurisdiction metadata percentage state tax_type"
UPDATE = "active country description display_name jurisdiction metadata state tax_type"
CALLS = [
    Call("POST", "/v1/tax_rates", "TaxRateCreateParams", create, CREATE),
    Call("GET", "/v1/tax_rates", "TaxRateListParams", list_all, f"{LIST} active created inclusive"),
    Call("GET", "/v1/tax_rates/{}", "TaxRateRetrieveParams", retrieve),
    Call("POST", "/v1/tax_rates/{}", "TaxRateUpdateParams", update, UPDATE),
]
