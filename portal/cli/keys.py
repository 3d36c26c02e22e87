"""``flask keys``: seal secrets anew after ENCRYPTION_KEYS got a new first key."""

from collections.abc import Callable, Mapping

import click
from flask import Flask
from flask.cli import AppGroup

from portal.addons import certificates, mailboxes
from portal.identity import second_factor
from portal.kit.crypto import CannotOpenError
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhooks

group = AppGroup("keys", help="The keys that secrets in the database are kept under.")
BATCH = 200

#: Who keeps sealed values: (after which id, how many) → (how many were sealed anew, where to go on or None).
KEEPERS: Mapping[str, Callable[[int, int], tuple[int, int | None]]] = {
    "second factors": second_factor.reseal,
    "webhook endpoints": webhooks.reseal,
    "certificates": certificates.reseal,
    "mailboxes": mailboxes.reseal,
}


def register(app: Flask) -> None:
    """Add ``flask keys``."""
    app.cli.add_command(group)


@group.command("rotate")
def rotate() -> None:
    """Seal every secret anew that is under an older key; afterwards that key may be taken out of ENCRYPTION_KEYS.

    Put a new key in front first, restart, then run this. It works in small steps while the portal runs, and can be
    interrupted and repeated.
    """
    for name, reseal in KEEPERS.items():
        try:
            click.echo(f"{name}: {_all(reseal)} sealed anew")
        except CannotOpenError as error:
            raise click.ClickException(f"{name}: one does not open; is the key that sealed it still listed?") from error


def _all(reseal: Callable[[int, int], tuple[int, int | None]]) -> int:
    done, place = 0, 0
    while True:
        with unit_of_work():
            count, following = reseal(place, BATCH)
        done += count
        if following is None:
            return done
        place = following
