"""``flask stripe``: push the catalog, and bring the portal in step with Stripe when events were lost."""

import click
from flask import Flask
from flask.cli import AppGroup
from sqlalchemy import select

from portal.cli.catalog import push_command
from portal.identity import queries as identity
from portal.identity.models import Vendor
from portal.kit import tenancy
from portal.kit.db import db
from portal.kit.errors import PortalError
from portal.kit.unit_of_work import end_reading
from portal.stripe_events import reconcile
from portal.stripe_events.reconcile import Difference

group = AppGroup("stripe", help="Push the catalog; bring the portal in step with Stripe.")
group.add_command(push_command, "push")


def register(app: Flask) -> None:
    """Add ``flask stripe``."""
    app.cli.add_command(group)


@group.command("reconcile")
@click.option("--vendor", "code", help="Only the vendor with this code.")
@click.option("--all", "everyone", is_flag=True, help="Every vendor that Stripe knows.")
def reconcile_command(code: str | None, everyone: bool) -> None:
    """Ask Stripe how things stand, put right what differs here, and show each field that did.

    Can be repeated at any time; the second time there is nothing to show. One vendor's trouble does not stop the
    others; the exit status is 1 when there was any.
    """
    if (code is not None) == everyone:
        raise click.UsageError("Choose one of --vendor CODE and --all.")
    wanted = _everyone() if everyone else [_named(code or "")]
    outcomes = [_reconcile(vendor_id, vendor_code) for vendor_id, vendor_code in wanted]
    failed, differing = outcomes.count(None), sum(1 for found in outcomes if found)
    click.echo(f"{len(wanted)} vendors looked at: {differing} put right, {len(wanted) - differing - failed} in step.")
    if failed:
        raise click.ClickException(f"{failed} vendors could not be brought in step, see above.")


def _everyone() -> list[tuple[int, str]]:
    ids = identity.vendors_with_customer()
    rows = db.session.execute(select(Vendor.id, Vendor.code).where(Vendor.id.in_(ids)).order_by(Vendor.code)).all()
    end_reading()
    return [(row.id, row.code) for row in rows]


def _named(code: str) -> tuple[int, str]:
    vendor_id = db.session.scalar(select(Vendor.id).where(Vendor.code == code))
    end_reading()
    if vendor_id is None:
        raise click.ClickException(f"There is no vendor with the code {code}.")
    return vendor_id, code


def _reconcile(vendor_id: int, code: str) -> list[Difference] | None:
    """Put one vendor right and say how; None when that failed."""
    try:
        with tenancy.scoped(vendor_id):
            found = reconcile.vendor(vendor_id)
    except PortalError as error:
        click.echo(f"{code}: {error}", err=True)
        return None
    if found:
        click.echo(f"{code}:")
    for difference in found:
        click.echo(f"  {difference.what}: {_shown(difference.before)} → {_shown(difference.after)}")
    return found


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)
