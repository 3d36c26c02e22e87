"""For machines that watch: liveness, readiness, metrics."""

import hmac
import time
from datetime import timedelta
from functools import cache

from flask import Blueprint, Flask, Response, abort, current_app, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from portal.kit import clock, outbox
from portal.kit.db import db
from portal.kit.models import Heartbeat, OutboxJob
from portal.web.kit import audience

blueprint = Blueprint("ops", __name__)

REQUESTS = Counter("portal_requests_total", "Requests by route, method and status.", ["route", "method", "status"])
SECONDS = Histogram("portal_request_seconds", "Time to answer by route.", ["route"])


@blueprint.get("/healthz")
@audience.public
def healthz() -> Response:
    """The process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@audience.public
def readyz() -> tuple[Response, int]:
    """Database, Redis and a worker are there; 503 names what is not."""
    checks = {"database": _database(), "redis": _redis(), "worker": seen("worker"), "scheduler": seen("scheduler")}
    ready = all(checks.values())
    return jsonify(status="ready" if ready else "not ready", **checks), 200 if ready else 503


def _database() -> bool:
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _redis() -> bool:
    try:
        return bool(current_app.extensions["portal_redis"].ping())
    except RedisError:
        return False


def seen(kind: str, within: timedelta = timedelta(seconds=40)) -> bool:
    """Did a process of this kind say within the time that it lives?"""
    try:
        last = db.session.scalar(select(func.max(Heartbeat.seen_at)).where(Heartbeat.kind == kind))
    except SQLAlchemyError:
        return False
    return last is not None and last > clock.wall() - within


@blueprint.get("/metrics")
@audience.public
def metrics() -> Response:
    """Prometheus text; needs the bearer token where one is configured, and in production always."""
    config = current_app.extensions["portal_config"]
    token = config.metrics_token.get_secret_value()
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token and not hmac.compare_digest(token.encode(), given.encode()):
        abort(404)
    if not token and config.app_env == "production":
        abort(404)
    return Response(_exposition(bool(config.prometheus_multiproc_dir)), content_type=CONTENT_TYPE_LATEST)


def _exposition(many_processes: bool) -> bytes:
    jobs = db.session.execute(select(OutboxJob.state, func.count()).group_by(OutboxJob.state)).all()
    lines = ["# HELP portal_jobs Jobs by state.", "# TYPE portal_jobs gauge"]
    lines += [f'portal_jobs{{state="{state}"}} {count}' for state, count in jobs]
    lines += [
        "# HELP portal_jobs_due Jobs due or under way.",
        "# TYPE portal_jobs_due gauge",
        f"portal_jobs_due {outbox.pending(clock.wall())}",
    ]
    if not many_processes:
        return generate_latest() + ("\n".join(lines) + "\n").encode()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry) + ("\n".join(lines) + "\n").encode()


@cache
def _meters(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """What counts such requests; looking for it by its labels took longer than counting."""
    return REQUESTS.labels(route, method, status), SECONDS.labels(route)


def count(route: str, method: str, status: int, took: float) -> None:
    """One request more, and the seconds it took."""
    requests, seconds = _meters(route, method, status)
    requests.inc()
    seconds.observe(took)


def init_app(app: Flask) -> None:
    """Register the routes and count every request."""
    app.register_blueprint(blueprint)

    @app.before_request
    def _start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def _count(response: Response) -> Response:
        now, rule = time.perf_counter(), request.url_rule
        route = rule.rule if rule else "unmatched"
        count(route, request.method, response.status_code, now - g.get("started", now))
        return response
