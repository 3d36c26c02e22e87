"""``flask demo``: believable vendors with a few months of history, and how to sign in as one of them."""

import click
from flask import Flask
from flask.cli import AppGroup

from portal.cli import demo_load, prepare
from portal.cli.conduct import ConductorError
from portal.cli.demo_cast import ADMIN_EMAIL, OWNER_EMAIL, PASSWORD
from portal.kit.errors import PortalError

group = AppGroup("demo", help="Load demo vendors; show how to sign in.")


def register(app: Flask) -> None:
    """Add ``flask demo``."""
    app.cli.add_command(group)


@group.command("load")
def load() -> None:
    """Load the demo into a fresh installation; one that is loaded stays as it is."""
    if demo_load.is_loaded():
        click.echo("The demo is loaded already.")
        return
    try:
        demo_load.require_possible()
        demo_load.begin()
        prepare.fill_catalog()
        prepare.push_catalog()
        demo_load.load(click.echo)
    except (PortalError, ConductorError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("The demo is loaded.")


@group.command("sign-ins")
def sign_ins() -> None:
    """Show the demo's addresses and their password."""
    if not demo_load.is_loaded():
        click.echo("No demo is loaded.")
        return
    click.echo("Sign in as")
    click.echo(f"  vendor owner  {OWNER_EMAIL}   (in a trial)")
    click.echo(f"  admin         {ADMIN_EMAIL}")
    click.echo(f"  password      {PASSWORD}")
