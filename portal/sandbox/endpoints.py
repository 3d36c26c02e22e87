"""Webhook endpoints, the list of events, and the account itself."""

from urllib.parse import urlsplit

from portal.sandbox import paging
from portal.sandbox.calls import LIST, Call
from portal.sandbox.config import API_VERSION
from portal.sandbox.errors import invalid
from portal.sandbox.ids import random_text
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

ACCOUNT = "acct_1SandboxOperator0"


def create(tx: Tx, params: Params) -> Doc:
    """Register an endpoint; its secret is answered this once."""
    secret = f"whsec_{random_text(32)}"
    if params.get("api_version", API_VERSION) != API_VERSION:
        raise invalid(f"The sandbox renders events as {API_VERSION} only.", param="api_version")
    endpoint = register(tx, params["url"], [secret], params["enabled_events"], params)
    return {**endpoint, "secret": secret}


def register(tx: Tx, url: str, secrets: list[str], enabled: list[str], params: Params | None = None) -> Doc:
    """Store an endpoint; every secret in the list signs (a rolled secret overlaps with its successor)."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise invalid(f"Invalid URL: {url}", param="url", code="url_invalid")
    more = params or {}
    return tx.insert(
        "webhook_endpoint",
        {
            "api_version": API_VERSION,
            "application": None,
            "description": more.get("description"),
            "enabled_events": enabled,
            "metadata": metadata_of(more.get("metadata")),
            "status": "enabled",
            "url": url,
        },
        secrets=secrets,
    )


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The endpoint, without its secret."""
    return tx.get("webhook_endpoint", ident)


def update(tx: Tx, params: Params, ident: str) -> Doc:
    """Change address, events, state or description."""
    endpoint = tx.get("webhook_endpoint", ident)
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    for name in ("description", "enabled_events", "url"):
        if name in params:
            endpoint[name] = params[name] or None
    endpoint["metadata"] = metadata_of(params.get("metadata"), endpoint["metadata"])
    return endpoint


def delete(tx: Tx, params: Params, ident: str) -> Doc:
    """Remove the endpoint with what is still waiting for it."""
    tx.delete(tx.get("webhook_endpoint", ident))
    tx.conn.execute("DELETE FROM deliveries WHERE endpoint = ? AND state = 'pending'", (ident,))
    return {"id": ident, "object": "webhook_endpoint", "deleted": True}


def list_all(tx: Tx, params: Params) -> Doc:
    """All endpoints."""
    return paging.page(tx, "webhook_endpoint", params, "/v1/webhook_endpoints")


def retrieve_event(tx: Tx, params: Params, ident: str) -> Doc:
    """The event as it was told."""
    return tx.get("event", ident)


def list_events(tx: Tx, params: Params) -> Doc:
    """Events by type (exact, or with a final *), time, and whether every endpoint has them."""
    wanted = params.get("types", [params["type"]] if "type" in params else None)
    if wanted and len(wanted) > 20:
        raise invalid("You may pass at most 20 types.", param="types")

    def matches(doc: Doc) -> bool:
        if wanted is not None and not any(_fits(doc["type"], kind) for kind in wanted):
            return False
        return "delivery_success" not in params or params["delivery_success"] == _delivered(tx, doc["id"])

    return paging.page(tx, "event", params, "/v1/events", matches=matches)


def _fits(kind: str, wanted: str) -> bool:
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted


def _delivered(tx: Tx, event: str) -> bool:
    query = "SELECT 1 FROM deliveries WHERE event = ? AND state <> 'delivered' LIMIT 1"
    return tx.conn.execute(query, (event,)).fetchone() is None


def account(tx: Tx, params: Params) -> Doc:
    """GET /v1/account: who holds the key."""
    name = tx.config.account_name
    return {
        "id": ACCOUNT,
        "object": "account",
        "business_profile": {
            "annual_revenue": None,
            "estimated_worker_count": None,
            "mcc": None,
            "minority_owned_business_designation": None,
            "name": name,
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": None,
        "charges_enabled": True,
        "country": "DE",
        "default_currency": "eur",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


FIELDS = "description enabled_events metadata url"
CALLS = [
    Call("POST", "/v1/webhook_endpoints", "WebhookEndpointCreateParams", create, f"{FIELDS} api_version"),
    Call("GET", "/v1/webhook_endpoints", "WebhookEndpointListParams", list_all, LIST),
    Call("GET", "/v1/webhook_endpoints/{}", "WebhookEndpointRetrieveParams", retrieve),
    Call("POST", "/v1/webhook_endpoints/{}", "WebhookEndpointUpdateParams", update, f"{FIELDS} disabled"),
    Call("DELETE", "/v1/webhook_endpoints/{}", "WebhookEndpointDeleteParams", delete),
    Call("GET", "/v1/events", "EventListParams", list_events, f"{LIST} created delivery_success type types"),
    Call("GET", "/v1/events/{}", "EventRetrieveParams", retrieve_event),
    Call("GET", "/v1/account", "AccountRetrieveCurrentParams", account),
]
