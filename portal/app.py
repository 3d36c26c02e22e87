"""The house is put together here: extensions, doors, error pages, and which event wakes which verb."""

import importlib
import os
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from flask import Flask, Request, Response, g, has_request_context, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_babel import Babel
from flask_wtf import CSRFProtect
from itsdangerous import BadSignature, URLSafeTimedSerializer
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter, Map, UnicodeConverter

from config import Config
from portal.kit import clock, crypto, dispatcher, log, outbox, tasks
from portal.kit.db import db, engine_options, relax_durability
from portal.web.kit import answers
from portal.web.kit.hooks import HookedFlask, for_people

ROOT = Path(__file__).resolve().parent.parent

#: Rooms whose jobs.py registers tasks.
ROOMS_WITH_JOBS = (
    "notifications",
    "identity",
    "credits",
    "billing",
    "subscriptions",
    "addons",
    "accounts",
    "checkout",
    "stripe_events",
)

#: Named events, and the tasks that each wakes. Rooms that emit do not know who listens.
EVENTS: dict[str, tuple[str, ...]] = {
    "user.email_changed": ("accounts.tell_stripe_address",),
    "vendor.legal_data_changed": ("accounts.tell_stripe_legal_data",),
    "subscription.tier_changed": ("checkout.record_change",),
    "subscription.ended": ("checkout.after_end", "addons.end_with_plan"),
    "subscription.moved": ("addons.follow_tier",),
    "webhook_endpoint.failing": ("accounts.tell_webhook_failing",),
}

csrf = CSRFProtect()
babel = Babel()


class PageSession(SecureCookieSession):
    """A cookie's session that knows when it was signed; None for one that is new."""

    signed_at: datetime | None = None


class PageSessions(SecureCookieSessionInterface):
    """Cookies are for people: whoever brings a key, a token or a signature is no person with a cookie."""

    PROOFS = ("Authorization", "Stripe-Signature")

    session_class = PageSession
    #: A cookie in use is signed anew once a day, not with every answer: that took a tenth of a fragment.
    RENEWED_AFTER = timedelta(days=1)
    _serializer: URLSafeTimedSerializer | None = None

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The cookie's session; for programs an empty one that cannot be written."""
        if request.path.startswith("/api/") and any(name in request.headers for name in self.PROOFS):
            return self.make_null_session(app)
        signer, value = self.get_signing_serializer(app), request.cookies.get(self.get_cookie_name(app))
        if signer is None or not value:
            return super().open_session(app, request)
        try:
            longest = int(app.permanent_session_lifetime.total_seconds())
            data, signed_at = signer.loads(value, max_age=longest, return_timestamp=True)
        except BadSignature:
            return self.session_class()
        session = self.session_class(data)
        session.signed_at = signed_at
        return session

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Made once, not for every cookie: the key stays while the process lives."""
        if self._serializer is None:
            self._serializer = super().get_signing_serializer(app)
        return self._serializer

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Mostly there is nothing to save, and then no need to find out what the cookie is called and where it goes."""
        if not session or self.should_set_cookie(app, session):
            super().save_session(app, session, response)
        elif session.accessed:
            response.vary.add("Cookie")

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        """Where something in it changed, and once a day where it is to last."""
        if session.modified or not session.permanent:
            return bool(session.modified)
        signed_at = getattr(session, "signed_at", None)
        return signed_at is None or clock.wall() - signed_at > self.RENEWED_AFTER


class RowId(IntegerConverter):
    """An id that a database can hold. A larger one becomes the largest, which no row has: not found, not a fault."""

    def to_python(self, value: str) -> int:
        """Read the digits."""
        return min(int(super().to_python(value)), 2**63 - 1)


class Segment(UnicodeConverter):
    """A part of an address: no control characters (PostgreSQL refuses NUL), and no longer than a signed link."""

    def __init__(self, map: Map) -> None:
        super().__init__(map)
        self.regex = r"[^/\x00-\x1f\x7f]{1,1000}"


def create_app(config: Config | None = None) -> HookedFlask:
    """Build the app from the environment (or a given Config). Raises ConfigurationError naming what is wrong."""
    config = config or Config()
    config.require_sound()
    log.configure(config.log_format, config.log_level)
    clock.configure(config.clock_offset_file or None)
    app = HookedFlask(
        "portal",
        root_path=str(ROOT / "portal"),
        template_folder=str(ROOT / "templates"),
        static_folder=str(ROOT / "static"),
    )
    app.session_interface = PageSessions()
    app.response_class, app.json = answers.Answer, answers.Json(app)
    app.url_map.converters.update(default=Segment, string=Segment, int=RowId)
    app.config.from_mapping(config.flask())
    app.extensions["portal_config"] = config
    _database(app, config)
    _redis(app, config)
    _pages(app, config)
    _doors(app)
    if app.testing or os.environ.get("FLASK_RUN_FROM_CLI"):
        _commands(app)
    _wire(app, config)
    return app


def _database(app: Flask, config: Config) -> None:
    if config.app_env == "test":
        relax_durability()
    if config.sqlalchemy_url.startswith("sqlite:///"):
        Path(config.sqlalchemy_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(config.sqlalchemy_url, durable=config.app_env != "test")
    db.init_app(app)


def _redis(app: Flask, config: Config) -> None:
    redis = dispatcher.connect(config.redis_url)
    app.extensions["portal_redis"] = redis
    app.extensions["portal_redis_blocking"] = dispatcher.connect(config.redis_url, patience=60)
    outbox.on_wake(lambda: dispatcher.wake(redis))


def _pages(app: HookedFlask, config: Config) -> None:
    from portal.web.kit import (
        callers,
        errors,
        filters,
        forms_globals,
        frame,
        headers,
        limits,
        signed_in,
        static_files,
        texts,
        uploads,
    )

    if config.trusted_proxies:
        n = config.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=n, x_proto=n, x_host=n)  # type: ignore[method-assign]
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    _follow_request(app, config)
    babel.init_app(app, default_translation_directories=str(ROOT / "portal" / "translations"), locale_selector=_locale)
    texts.init_app(babel)
    uploads.init_app(app)
    with app.hooks_where(for_people):
        csrf.init_app(app)
    limits.init_app(app)
    headers.init_app(app, config)
    filters.init_app(app)
    static_files.init_app(app)
    forms_globals.init_app(app)
    signed_in.init_app(app)
    callers.init_app(app)
    frame.init_app(app)
    errors.init_app(app)


def _follow_request(app: HookedFlask, config: Config) -> None:
    """Give each request an id that its jobs inherit, and one origin, so that cookies are found again."""

    @app.before_request
    def _begin() -> None:
        log.follow(request.headers.get("X-Request-Id", ""))

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers["X-Request-Id"] = log.request_id.get()
        return response

    if config.app_env == "development":
        with app.hooks_where(for_people):
            app.before_request(partial(_to_one_origin, config.base_url.rstrip("/")))


def _to_one_origin(base: str) -> Response | None:
    """On a developer's machine localhost and 127.0.0.1 are two origins: lead pages to the configured one."""
    for_machines = request.path.startswith(("/healthz", "/readyz", "/metrics", "/api/", "/static/"))
    elsewhere = request.host != base.split("://", 1)[-1]
    if request.method != "GET" or for_machines or not elsewhere:
        return None
    return Response(status=302, headers={"Location": base + request.full_path.rstrip("?")})


def _locale() -> str:
    from portal.web.kit import signed_in

    languages: tuple[str, ...] = ("en", "de")
    if not has_request_context():
        return languages[0]
    who = signed_in.visitor() if "audience" in g else None
    chosen = session.get("locale") or (who.locale if who else None)
    if chosen in languages:
        return str(chosen)
    return request.accept_languages.best_match(languages) or languages[0]


def _doors(app: HookedFlask) -> None:
    from portal import api, web

    web.register(app)
    api.register(app, csrf, app.for_programs)


def _commands(app: Flask) -> None:
    """Commands and migrations: what only the command line needs would cost every web process memory and time."""
    from flask_migrate import Migrate

    from portal import cli

    Migrate(app, db, directory=str(ROOT / "migrations"), render_as_batch=True)
    cli.register(app)


def _wire(app: Flask, config: Config) -> None:
    from portal import gateways
    from portal.addons import domain_names, platform_address
    from portal.identity import links, passwords, tokens
    from portal.web.kit import mails

    secret = config.secret_key.get_secret_value()
    passwords.configure(config.argon2_memory_kib)
    links.configure(secret)
    tokens.configure(secret)
    crypto.configure(config.sealing_keys)
    mails.init_app(app)
    importlib.import_module("portal.subscriptions.frames")  # listens to the session wherever subscriptions are written
    importlib.import_module("portal.kit.forgetting")
    for room in ROOMS_WITH_JOBS:
        importlib.import_module(f"portal.{room}.jobs")
    for event, listeners in EVENTS.items():
        tasks.listen(event, *listeners)
    gateways.configure(config)
    platform_address.configure(platform_address.Platform(config.platform_base, config.shop_addresses))
    domain_names.configure(
        domain_names.rules_for(config.platform_base, config.base_url, trying=not config.in_production)
    )
