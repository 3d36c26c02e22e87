"""The door of Stripe's API: key, parameters, idempotency, faults, then one transaction per request."""

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, request

from portal.sandbox import faults, forms, render, routes, strict
from portal.sandbox.calls import Call
from portal.sandbox.config import API_VERSION
from portal.sandbox.engine import Sandbox
from portal.sandbox.errors import StripeError, invalid
from portal.sandbox.ids import random_text
from portal.sandbox.tx import Tx

log = logging.getLogger(__name__)

Answer = tuple[int, dict[str, Any]]
bp = Blueprint("api", __name__)


def sandbox() -> Sandbox:
    """The instance that this request reached."""
    found: Sandbox = current_app.extensions["sandbox"]
    return found


@bp.route("/v1/<path:path>", methods=["GET", "POST", "DELETE"])
def answer(path: str) -> Response:
    """Any call of the API."""
    request_id, replayed = f"req_{random_text(14)}", False
    try:
        status, body, replayed = _answer(f"/v1/{path}", request_id)
    except StripeError as error:
        status, body = error.status, error.body()
    except Exception:
        # Everything was rolled back; the caller sees what Stripe shows on a bad day, the operator sees why.
        log.exception("sandbox: %s /v1/%s failed", request.method, path)
        status, body = 500, StripeError(500, "api_error", "An unexpected error occurred in the sandbox.").body()
    return _response(status, body, request_id, replayed)


def _response(status: int, body: dict[str, Any], request_id: str, replayed: bool) -> Response:
    response = Response(json.dumps(body), status, mimetype="application/json")
    response.headers["Request-Id"] = request_id
    response.headers["Stripe-Version"] = API_VERSION
    if key := request.headers.get("Idempotency-Key"):
        response.headers["Idempotency-Key"] = key
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="Stripe"'
    return response


def _answer(path: str, request_id: str) -> tuple[int, dict[str, Any], bool]:
    _authenticate()
    call, ids = routes.find(request.method, path)
    work = Work(
        call, ids, path, forms.decode([*request.args.items(multi=True), *request.form.items(multi=True)]), request_id
    )
    if fault := _planned(path):
        _stall(fault)
        if fault["kind"] == "status":
            return (*_injected(fault), False)
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    if key is None:
        return (*work.run(None), False)
    if len(key) > 255:
        raise invalid("Idempotency keys may have at most 255 characters.")
    with _alone(key):
        if stored := _stored(key, work.fingerprint):
            return (*stored, True)
        return (*work.run(key), False)


@dataclass(frozen=True)
class Work:
    """One call with its parameters as they came."""

    call: Call
    ids: tuple[str, ...]
    path: str
    raw: dict[str, Any]
    request_id: str

    @property
    def fingerprint(self) -> str:
        """What a repeated idempotency key is compared by."""
        return hashlib.sha256(json.dumps([self.path, self.raw], sort_keys=True).encode()).hexdigest()

    def run(self, key: str | None) -> Answer:
        """Check, execute and remember the answer under the key; effect and memory commit together."""
        params = self._checked()
        sandbox().run_due()
        try:
            with sandbox().begin(request_id=self.request_id, idempotency_key=key) as tx:
                answer = self._handle(tx, params)
                fault = faults.take(tx, ("status", "stall"), f"{request.method} {self.path}", "after")
                told = _injected(fault) if fault and fault["kind"] == "status" else answer
                # A server error is what was answered first, so it is what is replayed.
                self._remember(tx, key, told if told[0] >= 500 else answer)
        except StripeError as error:
            if error.status != 402:
                raise
            with sandbox().begin() as after:
                self._remember(after, key, (402, error.body()))
                for ident in tx.spent_faults:
                    faults.spend(after, ident)
            raise
        _stall(fault)
        return told

    def _checked(self) -> dict[str, Any]:
        if "payment_method_types" in self.raw and self.call.params == "checkout.SessionCreateParams":
            raise invalid(
                "`payment_method_types` is no longer supported. Use `allowed_payment_method_types` instead.",
                param="payment_method_types",
                code="payment_method_types_no_longer_supported",
            )
        params = strict.check(self.raw, strict.params_type(self.call.params))
        self.call.refuse_unsupported(params)
        return params

    def _handle(self, tx: Tx, params: dict[str, Any]) -> Answer:
        try:
            found = self.call.handler(tx, params, *self.ids)
        except StripeError as error:
            if not error.keep:
                raise
            return error.status, error.body()
        return 200, render.expand(tx, render.present(tx, found), params.get("expand", []))

    def _remember(self, tx: Tx, key: str | None, answer: Answer) -> None:
        if key is not None:
            row = (key, self.fingerprint, answer[0], json.dumps(answer[1]))
            tx.conn.execute("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?)", row)


@contextmanager
def _alone(key: str) -> Iterator[None]:
    box = sandbox()
    with box.in_flight_lock:
        if key in box.in_flight:
            raise StripeError(
                409,
                "idempotency_error",
                "There is currently another in-progress request using this Idempotency Key. Please try again later.",
                code="idempotency_key_in_use",
            )
        box.in_flight.add(key)
    try:
        yield
    finally:
        with box.in_flight_lock:
            box.in_flight.discard(key)


def _stored(key: str, fingerprint: str) -> Answer | None:
    with sandbox().begin() as tx:
        row = tx.conn.execute("SELECT fingerprint, status, body FROM idempotency WHERE key = ?", (key,)).fetchone()
    if row and row[0] != fingerprint:
        raise StripeError(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request.",
        )
    return (row[1], json.loads(row[2])) if row else None


def _planned(path: str) -> dict[str, Any] | None:
    with sandbox().begin() as tx:
        return faults.take(tx, ("status", "stall"), f"{request.method} {path}", "before")


def _stall(fault: dict[str, Any] | None) -> None:
    if fault and fault["kind"] == "stall":
        time.sleep(fault["seconds"])


def _injected(fault: dict[str, Any]) -> Answer:
    status = fault["status"]
    if status == 429:
        error = StripeError(429, "invalid_request_error", "Request rate limit exceeded.", code="rate_limit")
    elif status == 409:
        error = StripeError(
            409, "invalid_request_error", "This object cannot be accessed right now.", code="lock_timeout"
        )
    else:
        error = StripeError(status, "api_error", "An unknown error occurred (requested from the sandbox).")
    return status, error.body()


def _authenticate() -> None:
    auth = request.authorization
    given = (auth.token if auth and auth.type == "bearer" else auth.username if auth else None) or ""
    if not given:
        raise StripeError(
            401,
            "invalid_request_error",
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    if not hmac.compare_digest(given.encode(), sandbox().config.secret_key.encode()):
        hidden = f"{given[:8]}{'*' * max(len(given) - 12, 0)}{given[-4:]}" if len(given) > 12 else "****"
        raise StripeError(401, "invalid_request_error", f"Invalid API Key provided: {hidden}")
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise invalid(f"The sandbox speaks Stripe's API of version {API_VERSION} only, not {version}.")
