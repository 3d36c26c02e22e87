"""Items of a subscription one by one: the same changes as through the subscription, with the same prorations."""

from portal.sandbox import events, paging, timers
from portal.sandbox.calls import LIST, Call
from portal.sandbox.errors import invalid, missing
from portal.sandbox.subscription_update import change, refuse_beside_pending
from portal.sandbox.tx import Doc, Params, Tx

ITEM = ("price", "quantity", "metadata")


def create(tx: Tx, params: Params) -> Doc:
    """Put an item on a subscription; with pending_if_incomplete it is there once it is paid."""
    if "price" not in params:
        raise invalid("Missing required param: price.", param="price", code="parameter_missing")
    subscription = tx.get("subscription", params["subscription"], param="subscription", status=400)
    before = {item["id"] for item in subscription["items"]["data"]}
    _carry_out(tx, subscription, {name: params[name] for name in ITEM if name in params}, params)
    return next(item for item in _planned(subscription) if item["id"] not in before)


def _planned(subscription: Doc) -> list[Doc]:
    """The items as they are or, while a change waits for its payment, as they will be."""
    pending = subscription["_private"]["pending"]
    found: list[Doc] = (pending["plan"] if pending else subscription["items"])["items" if pending else "data"]
    return found


def _carry_out(tx: Tx, subscription: Doc, item: Doc, params: Params) -> None:
    if subscription["status"] not in timers.LIVE:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    refuse_beside_pending({name: value for name, value in params.items() if name not in ("subscription", *ITEM[:2])})
    change(tx, subscription, {**params, "items": [item]})
    timers.appoint(tx, subscription)
    events.emit(tx, "customer.subscription.updated", subscription)


def _owner(tx: Tx, ident: str) -> Doc:
    """The subscription that an item stands on."""
    for subscription in tx.scan("subscription", extra="AND instr(body, ?) > 0 ORDER BY seq DESC", args=(ident,)):
        if any(item["id"] == ident for item in subscription["items"]["data"]):
            return subscription
    raise missing("subscription_item", ident)


def _item(subscription: Doc, ident: str) -> Doc:
    found: Doc = next(item for item in subscription["items"]["data"] if item["id"] == ident)
    return found


def retrieve(tx: Tx, params: Params, ident: str) -> Doc:
    """The item."""
    return _item(_owner(tx, ident), ident)


def update(tx: Tx, params: Params, ident: str) -> Doc:
    """Another price or quantity; another price alone starts with a quantity of one."""
    subscription = _owner(tx, ident)
    _carry_out(tx, subscription, {"id": ident, **{name: params[name] for name in ITEM if name in params}}, params)
    return next(item for item in _planned(subscription) if item["id"] == ident)


def delete(tx: Tx, params: Params, ident: str) -> Doc:
    """Take an item off; the last one stays, since a subscription without any would be none."""
    _carry_out(tx, _owner(tx, ident), {"id": ident, "deleted": True}, params)
    return {"id": ident, "object": "subscription_item", "deleted": True}


def list_all(tx: Tx, params: Params) -> Doc:
    """All items of a subscription."""
    subscription = tx.get("subscription", params["subscription"], param="subscription", status=400)
    return paging.of_list(tx, subscription["items"]["data"], params, BASE)


BASE = "/v1/subscription_items"
HOW = "payment_behavior proration_behavior proration_date"
CALLS = [
    Call("POST", BASE, "SubscriptionItemCreateParams", create, f"{HOW} metadata price quantity subscription"),
    Call("GET", BASE, "SubscriptionItemListParams", list_all, f"{LIST} subscription"),
    Call("GET", BASE + "/{}", "SubscriptionItemRetrieveParams", retrieve),
    Call("POST", BASE + "/{}", "SubscriptionItemUpdateParams", update, f"{HOW} metadata off_session price quantity"),
    Call("DELETE", BASE + "/{}", "SubscriptionItemDeleteParams", delete, HOW),
]
