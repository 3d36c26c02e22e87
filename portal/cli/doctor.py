"""``flask doctor``: is this installation sound, and if not, what is to be done (GEN-4)."""

import click
from flask import Flask
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from portal.cli import doctor_checks, doctor_domains, doctor_files, doctor_papers, doctor_stripe
from portal.cli.doctor_findings import FAIL, Check, Finding
from portal.kit.db import db
from portal.kit.errors import PortalError

_COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


def register(app: Flask) -> None:
    """Add ``flask doctor``."""
    app.cli.add_command(doctor)


@click.command()
def doctor() -> None:
    """Look at settings, database, Redis, processes, mail, Stripe, files, domains, clock and disk.

    Nothing is changed when it ends. The exit status is 1 when anything fails. No secret is shown.
    """
    groups = (doctor_checks, doctor_stripe, doctor_files, doctor_papers, doctor_domains)
    findings = examine(tuple(check for group in groups for check in group.CHECKS))
    for finding in findings:
        label = click.style(f"{finding.level:<4}", fg=_COLOURS[finding.level])
        click.echo(f"{label}  {finding.what:<12} {finding.says}")
        if finding.do:
            click.echo(f"{'':<19}→ {finding.do}")
    failed = sum(finding.level == FAIL for finding in findings)
    if failed:
        click.echo(f"{failed} of {len(findings)} checks failed.")
        raise click.exceptions.Exit(1)
    click.echo(f"{len(findings)} checks, none failed.")


def examine(checks: tuple[Check, ...]) -> list[Finding]:
    """Every check's findings; one that cannot be made, because what it asks does not answer, has failed."""
    found: list[Finding] = []
    for check in checks:
        try:
            found.extend(check())
        except (SQLAlchemyError, RedisError, PortalError) as error:
            name = check.__name__.replace("_", " ")
            found.append(Finding(FAIL, name, f"could not be looked at: {type(error).__name__}"))
        finally:
            db.session.remove()
    return found
