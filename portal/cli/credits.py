"""``flask credits``: prove the books."""

import click
from flask import Flask
from flask.cli import AppGroup

from portal.credits import queries
from portal.kit import tenancy

group = AppGroup("credits", help="Prove that every credit is accounted for.")


def register(app: Flask) -> None:
    """Add ``flask credits``."""
    app.cli.add_command(group)


@group.command("verify")
def verify() -> None:
    """Compare balances, ledgers and lots of all vendors; exit 1 when any disagree."""
    with tenancy.unscoped("credits verify looks at every vendor's books"):
        found = queries.verify()
    for wrong in found:
        click.echo(
            f"vendor {wrong.vendor_id}: balance {wrong.balance}, sum of the ledger {wrong.ledger}, "
            f"left in lots {wrong.lots}"
        )
    if found:
        raise click.exceptions.Exit(1)
    click.echo("Every balance is the sum of its ledger and of what its lots have left.")
