"""The command-line door."""

import importlib

from flask import Flask

#: Every module here has ``register(app)``.
COMMANDS: tuple[str, ...] = (
    "processes",
    "staff",
    "keys",
    "catalog",
    "credits",
    "settings",
    "conduct",
    "demo",
    "doctor",
    "jobs",
    "prepare",
    "roles",
    "storage",
    "stripe",
)


def register(app: Flask) -> None:
    """Add every command; modules that are heavy import late themselves."""
    for name in COMMANDS:
        importlib.import_module(f"portal.cli.{name}").register(app)
