"""``flask prepare``: everything between an empty database and a portal that can be opened; nothing the second time."""

import click
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from sqlalchemy import select

from portal.catalog import flows, service
from portal.catalog.models import SubscriptionTier
from portal.cli import demo_load
from portal.cli.conduct import ConductorError
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import PortalError
from portal.kit.unit_of_work import end_reading, unit_of_work

PRESET = "marketplace"


def register(app: Flask) -> None:
    """Add ``flask prepare``."""
    app.cli.add_command(prepare)


@click.command()
def prepare() -> None:
    """Migrate, load the catalog, push it to Stripe and load the demo (DEMO=1): each only where it is still to do."""
    if behind():
        click.echo("Migrating the database …")
        migrate()
    try:
        if wanted := _wants_demo():
            demo_load.begin()
        fill_catalog()
        push_catalog()
        if wanted:
            demo_load.load(click.echo)
    except (PortalError, ConductorError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("Prepared.")


def revisions() -> tuple[set[str], set[str]]:
    """The revisions that the database has, and those that this code wants."""
    wanted = ScriptDirectory.from_config(current_app.extensions["migrate"].migrate.get_config()).get_heads()
    with db.engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_heads()
    return set(present), set(wanted)


def behind() -> bool:
    """Is there a migration to run?"""
    present, wanted = revisions()
    return present != wanted


def migrate() -> None:
    """Bring the database's schema to the head."""
    from flask_migrate import upgrade

    upgrade()


def fill_catalog() -> bool:
    """Load the preset into an empty catalog; one with tiers in it is the operator's, and stays as it is."""
    empty = db.session.scalar(select(SubscriptionTier.id).limit(1)) is None
    end_reading()
    if empty:
        with unit_of_work():
            service.load_preset(PRESET, actor=SYSTEM, now=clock.business())
        click.echo(f"Loaded the catalog: {PRESET}.")
    return empty


def push_catalog() -> int:
    """Bring Stripe in step with the catalog where Stripe is configured; gives the number of changes."""
    if not stripe.is_configured():
        return 0
    steps = flows.push(stripe.current(), dry_run=False)
    if steps:
        click.echo(f"Told Stripe about the catalog: {len(steps)} changes.")
    return len(steps)


def _wants_demo() -> bool:
    config = current_app.extensions["portal_config"]
    if not config.demo and demo_load.under_way():
        click.echo("The demo was interrupted and time stands in its past: DEMO=1 goes on with it, a reset begins anew.")
    if not config.demo or demo_load.is_loaded():
        return False
    if reason := demo_load.impossible():
        click.echo(f"No demo: {reason}")
        return False
    return True
