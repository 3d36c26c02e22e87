"""``flask roles``: the table of what each role may do, as docs/roles.md holds it."""

import click
from flask import Flask, current_app


def register(app: Flask) -> None:
    """Add ``flask roles``."""
    app.cli.add_command(roles)


@click.command("roles", help="Print docs/roles.md anew from what the routes declare.")
def roles() -> None:
    """Print the page."""
    from portal.web.kit import roles as table

    click.echo(table.page(current_app), nl=False)
