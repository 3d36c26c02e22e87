"""The JSON door: /api/v1, with and without the trailing slash, errors as problem details."""

import importlib
from collections.abc import Callable

from flask import Blueprint, Flask
from flask_wtf import CSRFProtect

#: Every module here has a ``blueprint``; programs bring tokens or signatures, never cookies, so CSRF does not apply.
DOORS: tuple[str, ...] = ("plans", "registration", "stripe_hook", "entitlements", "usage", "reference")
#: Of these, what people read.
PAGES = frozenset({"reference"})


def register(app: Flask, csrf: CSRFProtect, for_programs: Callable[[Blueprint], None]) -> None:
    """Hang every API door into the app; ``for_programs`` is told which are not for people."""
    for door in DOORS:
        blueprint = importlib.import_module(f"portal.api.{door}").blueprint
        csrf.exempt(blueprint)
        if door not in PAGES:
            for_programs(blueprint)
        app.register_blueprint(blueprint)
