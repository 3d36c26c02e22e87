"""Outgoing webhooks (API-3): events go to a vendor's systems and to the operator's platform, once to each endpoint.

``publish`` writes a delivery for each endpoint and its job in the transaction of the cause; webhook_flows sends it.
``vendor_id`` None means the operator's platform. Who did something is written down by the door, since this room is
beside the audit log. Times of deliveries are the wall's, that of an event is business time.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, column, or_, select, table

from portal.gateways import outgoing
from portal.kit import clock, crypto, outbox, tenancy
from portal.kit.actor import Actor
from portal.kit.db import db, insert_once
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.text import N_
from portal.notifications.models import WebhookDelivery, WebhookEndpoint
from portal.notifications.webhook_rules import (
    KINDS,
    MOST_ENDPOINTS,
    OVERLAP,
    TEST,
    envelope,
    known,
    new_secret,
    short_id,
    wants,
)

#: Vendors belong to a room above; their codes are all that a payload needs of them.
_vendors = table("vendors", column("id"), column("code"))


def publish(kind: str, *, vendor_id: int | None, event_id: str, data: Mapping[str, Any], now: datetime) -> int:
    """Tell every endpoint that wants ``kind``: the vendor's own and the platform's; gives how many.

    Inside the caller's unit of work. ``event_id`` names the event: published again, nobody is told twice. ``data`` is
    JSON without secrets. Raises WrongWebhookError for a kind that is not in webhook_rules.KINDS.
    """
    known(kind)
    endpoints = [row for row in _listening(vendor_id) if wants(row.kinds, kind)]
    if not endpoints:
        return 0
    whose = {"id": vendor_id, "code": _code(vendor_id)} if vendor_id is not None else None
    payload = envelope(kind, now.isoformat(), whose, data)
    return sum(_deliver(row.id, row.vendor_id, short_id(event_id), kind, payload, now) for row in endpoints)


def listened_to(kind: str, vendor_id: int | None) -> bool:
    """Is anybody told of this kind? One statement that flushes nothing: callers may be in the midst of a change."""
    with db.session.no_autoflush:
        return any(wants(row.kinds, kind) for row in _listening(vendor_id))


def add(vendor_id: int | None, url: str, kinds: Sequence[str], *, actor: Actor, now: datetime) -> tuple[int, str]:
    """Tell ``url`` of these kinds (none: all); gives the endpoint's id and its secret, which is shown once.

    Invalid (fields ``url``, ``kinds``), Conflict when there are as many as may be or this address is told already.
    """
    chosen = sorted(set(kinds))
    _check(url, chosen)
    present = _urls(vendor_id)
    if len(present) >= MOST_ENDPOINTS:
        raise Conflict(
            N_("There are 10 endpoints already. Remove one that is no longer used."), code="too_many_endpoints"
        )
    if url in present:
        raise Invalid(fields={"url": N_("This address is told already.")})
    row = WebhookEndpoint(
        vendor_id=vendor_id,
        scope="vendor" if vendor_id else "platform",
        url=url,
        secret="",
        secret_last4="",
        kinds=chosen,
        state="active",
        created_by=actor.label[:120],
        created_at=now,
    )
    db.session.add(row)
    db.session.flush()
    return row.id, _give_secret(row)


def rotate(vendor_id: int | None, endpoint_id: int) -> str:
    """A new secret, shown once; what is sent from now on is signed with it, tries that wait included.

    For ``OVERLAP`` with the one before as well; of three, the oldest no longer.
    """
    row = _locked(vendor_id, endpoint_id)
    before = crypto.unseal(row.secret, bound_to=place(row.id))
    row.previous_secret = crypto.seal(before, bound_to=previous_place(row.id))
    row.previous_until = clock.wall() + OVERLAP
    return _give_secret(row)


def end_previous(vendor_id: int | None, endpoint_id: int) -> bool:
    """Sign with the newest secret alone from now on: somebody has the old one. False when it was so already."""
    row = _locked(vendor_id, endpoint_id)
    if row.previous_secret is None:
        return False
    row.previous_secret = row.previous_until = None
    db.session.flush()
    return True


def secrets_of(endpoint: WebhookEndpoint) -> list[str]:
    """What is signed with now: the newest secret first, then the one before while it holds."""
    held = [crypto.unseal(endpoint.secret, bound_to=place(endpoint.id))]
    until = endpoint.previous_until
    if endpoint.previous_secret and until is not None and until > clock.wall():
        held.append(crypto.unseal(endpoint.previous_secret, bound_to=previous_place(endpoint.id)))
    return held


def pause(vendor_id: int | None, endpoint_id: int) -> bool:
    """Send nothing until it is resumed; what happens meanwhile is not kept for it. False when it rests already."""
    row = _locked(vendor_id, endpoint_id)
    if row.state == "paused":
        return False
    row.state = "paused"
    db.session.flush()
    return True


def resume(vendor_id: int | None, endpoint_id: int) -> bool:
    """Send again, what waited first; False when it was not paused."""
    row = _locked(vendor_id, endpoint_id)
    if row.state != "paused":
        return False
    row.state, row.failing_since = "active", None
    waiting = select(WebhookDelivery).where(
        WebhookDelivery.endpoint_id == row.id, WebhookDelivery.state == "pending", _owned(WebhookDelivery, vendor_id)
    )
    for delivery in db.session.scalars(waiting):
        _enqueue(delivery, cause="resumed")
    db.session.flush()
    return True


def remove(vendor_id: int | None, endpoint_id: int, *, now: datetime) -> str:
    """Forget an endpoint for good, with its secret; gives its address. What was sent stays readable."""
    row = _locked(vendor_id, endpoint_id)
    row.removed_at, row.secret, row.secret_last4 = now, "", ""
    row.previous_secret = row.previous_until = None
    db.session.flush()
    return row.url


def send_test(vendor_id: int | None, endpoint_id: int, *, now: datetime) -> int:
    """Send an event that means nothing to this endpoint alone; gives the delivery's id. Conflict while it is paused."""
    row = _locked(vendor_id, endpoint_id)
    if row.state == "paused":
        raise Conflict(N_("This endpoint is paused. Resume it first."), code="paused")
    whose = {"id": vendor_id, "code": _code(vendor_id)} if vendor_id is not None else None
    event_id = f"test:{endpoint_id}:{clock.wall().timestamp():.6f}"
    _deliver(row.id, vendor_id, event_id, TEST, envelope(TEST, now.isoformat(), whose, {}), now)
    return _delivery_id(row.id, event_id)


def send_again(vendor_id: int | None, delivery_id: int) -> WebhookDelivery:
    """Send an event once more, whatever became of it, from the first try; it keeps its id. NotFound for another's.

    Conflict when its endpoint is paused or gone. A try that is due by itself finds that it was overtaken.
    """
    statement = select(WebhookDelivery).where(
        WebhookDelivery.id == delivery_id, _owned(WebhookDelivery, vendor_id)
    ).with_for_update()  # fmt: skip
    row = db.session.scalar(statement.execution_options(populate_existing=True))
    if row is None:
        raise NotFound
    endpoint = db.session.get_one(WebhookEndpoint, row.endpoint_id, populate_existing=True)
    if endpoint.removed_at is not None or endpoint.state == "paused":
        raise Conflict(N_("This endpoint takes nothing now: it is paused or removed."), code="paused")
    row.state, row.attempts, row.delivered_at, row.next_try_at = "pending", 0, None, clock.wall()
    db.session.flush()
    _enqueue(row, cause=f"again:{clock.wall().timestamp():.6f}")
    return row


def reseal(after: int, limit: int) -> tuple[int, int | None]:
    """Seal secrets anew that are under an old key, of endpoints above ``after``: how many, and where to go on."""
    with tenancy.unscoped("keys are changed for everybody"):
        statement = select(WebhookEndpoint).where(WebhookEndpoint.id > after).order_by(WebhookEndpoint.id).limit(limit)
        rows = db.session.scalars(statement.with_for_update()).all()
    count = 0
    for row in rows:
        if row.secret and crypto.is_outdated(row.secret):
            row.secret = crypto.resealed(row.secret, bound_to=place(row.id))
            count += 1
        if row.previous_secret and crypto.is_outdated(row.previous_secret):
            row.previous_secret = crypto.resealed(row.previous_secret, bound_to=previous_place(row.id))
            count += 1
    db.session.flush()
    return count, rows[-1].id if len(rows) == limit else None


def place(endpoint_id: int) -> str:
    """What an endpoint's secret is bound to."""
    return f"webhook_endpoints.secret:{endpoint_id}"


def previous_place(endpoint_id: int) -> str:
    """What the secret before it is bound to."""
    return f"webhook_endpoints.previous_secret:{endpoint_id}"


def _listening(vendor_id: int | None) -> Sequence[Any]:
    """Endpoints of this vendor and of the platform that are told of what happens now."""
    whose: ColumnElement[bool] = WebhookEndpoint.vendor_id.is_(None)
    if vendor_id is not None:
        whose = or_(whose, WebhookEndpoint.vendor_id == vendor_id)
    statement = (
        select(WebhookEndpoint.id, WebhookEndpoint.vendor_id, WebhookEndpoint.kinds)
        .where(whose, WebhookEndpoint.removed_at.is_(None), WebhookEndpoint.state != "paused")
        .order_by(WebhookEndpoint.id)
    )
    with tenancy.unscoped("the platform hears of every vendor"):
        return db.session.execute(statement).all()


def _deliver(
    endpoint_id: int, owner_id: int | None, event_id: str, kind: str, payload: dict[str, Any], now: datetime
) -> bool:
    values = {
        "vendor_id": owner_id,
        "endpoint_id": endpoint_id,
        "event_id": event_id,
        "kind": kind,
        "payload": payload,
        "state": "pending",
        "attempts": 0,
        "next_try_at": clock.wall(),
        "created_at": now,
    }
    if not insert_once(WebhookDelivery, values, ["endpoint_id", "event_id"]):
        return False
    number = _delivery_id(endpoint_id, event_id)
    return outbox.enqueue(
        "webhooks.deliver", dedupe_key=f"webhook:{number}:0", vendor_id=owner_id, delivery_id=number, tried=0
    )


def _delivery_id(endpoint_id: int, event_id: str) -> int:
    found = (WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.event_id == event_id)
    with tenancy.unscoped("an endpoint's own delivery"):
        return int(db.session.scalars(select(WebhookDelivery.id).where(*found)).one())


def _enqueue(row: WebhookDelivery, *, cause: str) -> None:
    outbox.enqueue(
        "webhooks.deliver",
        dedupe_key=f"webhook:{row.id}:{row.attempts}:{cause}:{clock.wall().timestamp():.6f}",
        vendor_id=row.vendor_id,
        delivery_id=row.id,
        tried=row.attempts,
    )


def _give_secret(row: WebhookEndpoint) -> str:
    secret = new_secret()
    row.secret = crypto.seal(secret, bound_to=place(row.id))
    row.secret_last4 = secret[-4:]
    db.session.flush()
    return secret


def _check(url: str, kinds: Sequence[str]) -> None:
    fields: dict[str, str] = {}
    if why := outgoing.fault(url):
        fields["url"] = why
    if set(kinds) - set(KINDS):
        fields["kinds"] = N_("This is not one of the values that can be chosen.")
    if fields:
        raise Invalid(fields=fields)


def _urls(vendor_id: int | None) -> list[str]:
    statement = select(WebhookEndpoint.url).where(
        _owned(WebhookEndpoint, vendor_id), WebhookEndpoint.removed_at.is_(None)
    )
    return list(db.session.scalars(statement))


def _locked(vendor_id: int | None, endpoint_id: int) -> WebhookEndpoint:
    statement = (
        select(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, _owned(WebhookEndpoint, vendor_id))
        .where(WebhookEndpoint.removed_at.is_(None))
        .with_for_update()
    )
    row = db.session.scalar(statement.execution_options(populate_existing=True))
    if row is None:
        raise NotFound
    return row


def _owned(model: type[WebhookEndpoint] | type[WebhookDelivery], vendor_id: int | None) -> ColumnElement[bool]:
    return model.vendor_id.is_(None) if vendor_id is None else model.vendor_id == vendor_id


def _code(vendor_id: int) -> str | None:
    return db.session.scalar(select(_vendors.c.code).where(_vendors.c.id == vendor_id))
