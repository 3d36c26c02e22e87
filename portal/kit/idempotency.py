"""One key, one effect, one answer: the door's side of writes that may be sent twice."""

import hashlib
import json
from typing import Any

from sqlalchemy import select

from portal.kit import clock
from portal.kit.db import db, insert_once
from portal.kit.errors import Conflict, Invalid
from portal.kit.models import IdempotencyKey
from portal.kit.text import N_

Answer = tuple[int, dict[str, Any]]


def fingerprint(method: str, path: str, body: Any) -> str:
    """A hash of what was asked; the body as canonical JSON."""
    text = json.dumps([method, path, body], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def begin(scope: str, key: str, request_hash: str) -> Answer | None:
    """Claim ``key`` for this transaction, or give the stored answer. Inside a unit of work.

    Raises Invalid when the key stood for another request, Conflict while its first use is not answered yet.
    Because the row is inserted first, a twin that runs at the same time waits for the first one's commit.
    """
    values = {"scope": scope, "key": key[:255], "request_hash": request_hash, "created_at": clock.wall()}
    if insert_once(IdempotencyKey, values, ["scope", "key"]):
        return None
    row = db.session.scalars(
        select(IdempotencyKey).where(IdempotencyKey.scope == scope, IdempotencyKey.key == key[:255])
    ).one()
    if row.request_hash != request_hash:
        raise Invalid(N_("This Idempotency-Key was used for another request."), code="idempotency_mismatch")
    if row.status is None or row.answer is None:
        raise Conflict(N_("The first request with this Idempotency-Key is still under way."), code="in_progress")
    return row.status, row.answer


def remember(scope: str, key: str, answer: Answer) -> None:
    """Keep the answer in the transaction of its effect."""
    row = db.session.scalars(
        select(IdempotencyKey).where(IdempotencyKey.scope == scope, IdempotencyKey.key == key[:255])
    ).one()
    row.status, row.answer = answer
