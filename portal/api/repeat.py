"""Writes that may be sent twice: one Idempotency-Key, one effect, one answer, for each vendor by itself."""

from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, request

from portal.api import operation
from portal.kit import idempotency
from portal.kit.unit_of_work import unit_of_work
from portal.web.kit import callers


def once(given: Any, act: Callable[[], dict[str, Any]]) -> Response:
    """Do ``act`` in a unit of work and answer what it gives; with a key that was used before, answer that again.

    ``given`` is what was sent, as JSON values. Invalid (``idempotency_mismatch``) when the key stood for something
    else. What is refused is not kept: after it was put right, the same key may be used.
    """
    key = operation.key()
    if key is None:
        with unit_of_work():
            answer = act()
        return jsonify(answer)
    path = request.path.rstrip("/")
    scope = f"api:{callers.vendor().id}:{request.method} {path}"[:120]
    with unit_of_work():
        stored = idempotency.begin(scope, key, idempotency.fingerprint(request.method, path, given))
        if stored is None:
            answer = act()
            idempotency.remember(scope, key, (200, answer))
        else:
            answer = stored[1]
    return jsonify(answer)
