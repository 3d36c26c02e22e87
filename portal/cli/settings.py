"""``flask settings``: see and change what the operator decides at run time."""

import json

import click
from flask import Flask
from flask.cli import AppGroup

from portal.audit import service as audit
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work
from portal.settings import queries, service
from portal.settings.rules import KEYS

group = AppGroup("settings", help="See and change the operator's settings.")


def register(app: Flask) -> None:
    """Add ``flask settings``."""
    app.cli.add_command(group)


@group.command("list")
def list_() -> None:
    """Show every setting with its value."""
    current = queries.current()
    width = max(map(len, KEYS))
    for key in KEYS:
        click.echo(f"{key:<{width}}  {json.dumps(getattr(current, key), ensure_ascii=False)}")


@group.command("set")
@click.argument("key")
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Set KEY to VALUE."""
    before = getattr(queries.current(), key, None)
    try:
        with unit_of_work():
            now = clock.business()
            after = service.change(key, value, actor=SYSTEM, now=now)
            data = {"key": key, "before": before, "after": after}
            audit.record(SYSTEM, "settings.changed", vendor_id=None, data=data, now=now)
    except Invalid as error:
        raise click.ClickException(f"{key}: {error.fields.get(key, error.message)}") from error
    click.echo(f"{key} is now {json.dumps(after, ensure_ascii=False)}")
