"""The ``webhooks`` of the OpenAPI document: what the portal sends by itself, kind by kind (API-3)."""

from typing import Any

from portal.notifications.webhook_rules import KINDS

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "integer"}
_AT: dict[str, Any] = {"type": ["string", "null"], "format": "date-time"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_ADDON: dict[str, Any] = {"addon": _NUMBER, "product": _TEXT, "variant": _TEXT, "quantity": _NUMBER}

#: What ``data`` holds, by kind; a test holds it against what is sent.
DATA: dict[str, dict[str, dict[str, Any]]] = {
    "subscription.changed": {
        "change": _TEXT, "subscription": _NUMBER, "version": _NUMBER, "status": _TEXT, "tier": _TEXT, "cycle": _MAYBE,
        "amount_minor": {"type": ["integer", "null"]}, "currency": _MAYBE, "provider": _TEXT, "trial_ends_at": _AT,
        "period_start": _AT, "period_end": _AT, "cancel_at_period_end": {"type": "boolean"}, "past_due_since": _AT,
        "ended_at": _AT,
    },
    "entitlements.changed": {"version": _NUMBER},
    "credits.changed": {
        "entry": _NUMBER, "kind": _TEXT, "amount": _NUMBER, "balance": _NUMBER, "description": _TEXT,
    },
    "usage.alert": {
        "metric": _TEXT, "unit": _TEXT, "threshold": _NUMBER, "usage": _NUMBER, "limit": _NUMBER, "period_start": _AT,
    },
    "addon.changed": {"change": _TEXT, **_ADDON, "status": _TEXT, "ends_at": _AT},
    "addon.ready": _ADDON,
    "addon.failed": _ADDON,
    "addon.ended": _ADDON,
    "domain.changed": {"change": _TEXT, "domain": _TEXT, "state": _TEXT, "primary": {"type": "boolean"}},
}  # fmt: skip


def build() -> dict[str, Any]:
    """Each kind as a POST to an endpoint of the listener's."""
    return {kind: {"post": _post(kind, words)} for kind, words in KINDS.items()}


def _post(kind: str, words: str) -> dict[str, Any]:
    return {
        "operationId": "webhook_" + kind.replace(".", "_"),
        "summary": words,
        "tags": ["Webhooks"],
        "parameters": [_header(name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _envelope(kind)}}},
        "responses": {"2XX": {"description": "Taken. Anything else is tried again for three days."}},
    }


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "schema": _TEXT}


def _envelope(kind: str) -> dict[str, Any]:
    fields = DATA[kind]
    whose = {"type": "object", "required": ["id", "code"], "properties": {"id": _NUMBER, "code": _TEXT}}
    return {
        "type": "object",
        "required": ["type", "timestamp", "vendor", "data"],
        "properties": {
            "type": {"const": kind},
            "timestamp": {"type": "string", "format": "date-time"},
            "vendor": whose,
            "data": {"type": "object", "required": list(fields), "properties": fields},
        },
    }
