"""The JSON door: /api/v1, with and without the trailing slash, errors as problem details."""

import importlib

from flask import Flask
from flask_wtf import CSRFProtect

#: Every module here has a ``blueprint``; programs bring tokens or signatures, never cookies, so CSRF does not apply.
DOORS: tuple[str, ...] = ("plans", "registration", "stripe_hook", "entitlements", "usage", "reference")


def register(app: Flask, csrf: CSRFProtect) -> None:
    """Hang every API door into the app."""
    for door in DOORS:
        blueprint = importlib.import_module(f"portal.api.{door}").blueprint
        csrf.exempt(blueprint)
        app.register_blueprint(blueprint)
