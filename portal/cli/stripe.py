"""``flask stripe``: push the catalog; compare the portal with Stripe, and bring it in step when events were lost."""

from collections.abc import Iterable

import click
from flask import Flask
from flask.cli import AppGroup
from sqlalchemy import select

from portal.cli.catalog import push_command
from portal.identity.models import Vendor
from portal.kit import tenancy
from portal.kit.db import db
from portal.kit.errors import PortalError
from portal.kit.unit_of_work import end_reading
from portal.stripe_events import reconcile
from portal.stripe_events.reconcile import Difference, text

group = AppGroup("stripe", help="Push the catalog; bring the portal in step with Stripe.")
group.add_command(push_command, "push")
#: Vendors between two lines that say how far it is.
STRIDE = 100


def register(app: Flask) -> None:
    """Add ``flask stripe``."""
    app.cli.add_command(group)


@group.command("reconcile")
@click.option("--vendor", "code", help="Only the vendor with this code.")
@click.option("--repair", is_flag=True, help="Put right what differs; without it nothing is changed.")
@click.option("--after", default="", help="Go on after the vendor with this code, where an earlier run was stopped.")
def reconcile_command(code: str | None, repair: bool, after: str) -> None:
    """Ask Stripe how things stand with every vendor that it knows, and show each field that differs here.

    Can be repeated at any time; once repaired, there is nothing to show. One vendor's trouble does not stop the
    others; the exit status is 1 when there was any, and 2 when something differs and was not repaired.
    """
    wanted = [_named(code)] if code else _everyone(after)
    tally = _Tally(len(wanted), repair)
    try:
        for vendor_id, vendor_code in wanted:
            tally.count(vendor_code, _look(vendor_id, vendor_code, repair))
    except KeyboardInterrupt:
        tally.say_where_to_go_on()
        raise
    tally.end()


class _Tally:
    """How many vendors were looked at and what was found; says how far it is."""

    def __init__(self, total: int, repair: bool) -> None:
        self.total, self.repair = total, repair
        self.seen = self.repaired = self.differing = self.failed = 0
        self.last = ""

    def count(self, code: str, found: tuple[int, int] | None) -> None:
        """``found``: how many differences there were and how many are gone; None when Stripe could not be asked."""
        self.seen, self.last = self.seen + 1, code
        self.failed += found is None
        if found and found[1]:
            self.repaired += 1
        if found and found[0] > found[1]:
            self.differing += 1
        if self.seen % STRIDE == 0 and self.seen < self.total:
            click.echo(f"… {self.seen} of {self.total} vendors, the last one {code}", err=True)

    def say_where_to_go_on(self) -> None:
        """After Ctrl-C."""
        option = " --repair" if self.repair else ""
        go_on = f" Go on with: flask stripe reconcile{option} --after {self.last}" if self.last else ""
        click.echo(f"Stopped after {self.seen} of {self.total} vendors.{go_on}", err=True)

    def end(self) -> None:
        """The last line, and the exit status."""
        in_step = self.total - self.failed - self.differing - self.repaired
        put_right = f"{self.repaired} put right, " if self.repair else ""
        click.echo(f"{self.total} vendors looked at: {put_right}{self.differing} differ, {max(in_step, 0)} in step.")
        if self.failed:
            raise click.ClickException(f"{self.failed} vendors could not be asked about, see above.")
        if self.differing:
            raise click.exceptions.Exit(2)


def _everyone(after: str) -> list[tuple[int, str]]:
    known = Vendor.stripe_customer_id.is_not(None)
    rows = db.session.execute(select(Vendor.id, Vendor.code).where(known, Vendor.code > after).order_by(Vendor.code))
    found = [(row.id, row.code) for row in rows]
    end_reading()
    return found


def _named(code: str) -> tuple[int, str]:
    vendor_id = db.session.scalar(select(Vendor.id).where(Vendor.code == code))
    end_reading()
    if vendor_id is None:
        raise click.ClickException(f"There is no vendor with the code {code}.")
    return vendor_id, code


def _look(vendor_id: int, code: str, repair: bool) -> tuple[int, int] | None:
    """Compare one vendor, repair it where that is wanted, and show both."""
    try:
        with tenancy.scoped(vendor_id):
            found = reconcile.compare(vendor_id)
            gone = reconcile.repair(vendor_id) if found and repair else []
    except PortalError as error:
        click.echo(f"{code}: {error}", err=True)
        return None
    _show(code, found, gone)
    return len(found), len(gone)


def _show(code: str, found: Iterable[Difference], gone: Iterable[Difference]) -> None:
    repaired = {(each.field, each.subject) for each in gone}
    lines = list(found)
    if lines:
        click.echo(f"{code}:")
    for each in lines:
        name = f"{each.field} {each.label}".strip()
        left = "differs" if each.repairable else "cannot be followed"
        mark = "repaired" if (each.field, each.subject) in repaired else left
        click.echo(f"  {name}: here {text(each.ours)}, at Stripe {text(each.theirs)} ({mark})")
