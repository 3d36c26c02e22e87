"""``flask staff``: the operator's people."""

import click
from flask import Flask
from flask.cli import AppGroup

from portal.gateways import mail
from portal.identity import addresses, links, mails, second_factor
from portal.identity import queries as identity_queries
from portal.identity import service as identity
from portal.identity.links import Purpose
from portal.identity.models import User
from portal.identity.rules import StaffKind, email_key
from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.errors import Invalid
from portal.kit.unit_of_work import unit_of_work

group = AppGroup("staff", help="The operator's people.")


def register(app: Flask) -> None:
    """Add ``flask staff``."""
    app.cli.add_command(group)


@group.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice([kind.value for kind in StaffKind]), required=True)
@click.option("--name", default="", help="How they are called; what stands before the @ when left out.")
def add(email: str, role: str, name: str) -> None:
    """Give EMAIL a role, and a link to choose a password with where they have none.

    The link is mailed where there is a mail server, and printed where there is none. Running it again changes the
    role and makes a new link.
    """
    try:
        address = addresses.checked(email)
    except Invalid as error:
        raise click.ClickException(error.fields["email"]) from error
    with unit_of_work():
        user = _found_or_made(address, name or address.partition("@")[0])
        identity.make_staff(user, StaffKind(role), actor=SYSTEM, now=clock.business())
        if user.password_hash is None and mail.transport():
            mails.first_password(user, now=clock.business())
    click.echo(f"{user.email} is {role} now.")
    if user.password_hash is None:
        click.echo("A link to choose a password is on its way." if mail.transport() else _link(user))


@group.command("reset-second-factor")
@click.argument("email")
def reset_second_factor(email: str) -> None:
    """Switch two-step sign-in off for EMAIL, who has lost phone and recovery codes, and sign them out everywhere.

    They are told by mail; where staff need two-step sign-in, they set it up anew when they sign in next.
    """
    user = identity_queries.user_by_key(email_key(email))
    if user is None:
        raise click.ClickException(f"Nobody has the address {email}.")
    with unit_of_work():
        done = second_factor.reset(user.id, actor=SYSTEM, now=clock.business())
    click.echo(f"Two-step sign-in of {user.email} is off." if done else f"{user.email} had no two-step sign-in.")


def _found_or_made(address: str, name: str) -> User:
    user = identity_queries.user_by_key(email_key(address))
    if user:
        return user
    return identity.create_user(address, name[:120], password_hash=None, locale="en", now=clock.business())


def _link(user: User) -> str:
    from flask import current_app

    from portal.web.kit.mails import full_address

    token = links.make(Purpose.FIRST_PASSWORD, user)
    return f"Choose a password here: {full_address(current_app, 'public_password.reset', token=token)}"
