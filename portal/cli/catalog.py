"""``flask catalog``: load a preset, look at what is sold, push it to Stripe."""

from collections.abc import Iterator
from decimal import Decimal

import click
from flask import Flask
from flask.cli import AppGroup

from portal.catalog import flows, queries, service
from portal.catalog.presets import PRESETS
from portal.catalog.push_plan import PriceRow, PushStep
from portal.catalog.rules import Tier
from portal.gateways import stripe
from portal.kit import clock, tenancy
from portal.kit.actor import SYSTEM
from portal.kit.errors import PortalError
from portal.kit.money import Money, minor_digits
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import regrant

group = AppGroup("catalog", help="Load, show and push what is sold.")
_SIGNS = {"create": "+", "update": "~", "adopt": "="}


def register(app: Flask) -> None:
    """Add ``flask catalog``."""
    app.cli.add_command(group)


@group.command("load")
@click.argument("preset", type=click.Choice(sorted(PRESETS)))
def load(preset: str) -> None:
    """Bring the catalog in step with PRESET; doing it twice changes nothing."""
    with unit_of_work():
        report = service.load_preset(preset, actor=SYSTEM, now=clock.business())
    for line in (*report.changes, *report.kept):
        click.echo(line)
    click.echo(f"{preset}: {len(report.changes)} changes" if report.changes else f"{preset}: in step, nothing changed")


@group.command("grant")
def grant() -> None:
    """Give every vendor the limits and features that its tier has today; doing it twice changes nothing."""
    with tenancy.unscoped("every vendor gets what its tier grants"):
        ids = regrant.vendors()
        changed = sum(_grant(vendor_id) for vendor_id in ids)
    click.echo(f"{len(ids)} vendors looked at, {changed} brought in step with their tier.")


def _grant(vendor_id: int) -> bool:
    with unit_of_work():
        return regrant.regrant(vendor_id, now=clock.business())


@group.command("show")
def show() -> None:
    """Show every active tier with its prices, limits and features."""
    found = queries.tiers(public_only=False)
    if not found:
        click.echo("The catalog is empty. Load a preset: flask catalog load marketplace")
    for tier in found:
        for line in _describe(tier):
            click.echo(line)


@group.command("push")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def push_command(yes: bool, dry_run: bool) -> None:
    """Bring Stripe's products and prices in step with the catalog; shows the changes, asks, then makes them."""
    try:
        gateway = stripe.current()
        steps = flows.push(gateway, dry_run=True)
        for step in steps:
            click.echo(_line(step))
        if not steps:
            click.echo("Stripe is in step with the catalog.")
        elif not dry_run and (yes or click.confirm(f"Make these {len(steps)} changes at Stripe?")):
            click.echo(f"{len(flows.push(gateway, dry_run=False))} changes made.")
    except PortalError as error:
        raise click.ClickException(str(error)) from error


def _line(step: PushStep) -> str:
    row = step.row
    if isinstance(row, PriceRow):
        name = row.lookup_key or f"agreed price of vendor {row.vendor_id} for {row.code}"
        what = f"price {name}  {plain(row.amount)} per {'month' if row.cycle == 'monthly' else 'year'}"
    else:
        what = f"product {row.owner} {row.code}  {row.name}"
    details = f"  ({', '.join(step.params)})" if step.action == "update" else ""
    return f"{_SIGNS[step.action]} {step.action:<6} {what}{details}"


def plain(amount: Money) -> str:
    """An amount for a terminal, such as ``49.00 EUR``."""
    digits = minor_digits(amount.currency)
    return f"{Decimal(amount.minor).scaleb(-digits):.{digits}f} {amount.currency}"


def _describe(tier: Tier) -> Iterator[str]:
    flags = [word for word, on in (("hidden", not tier.is_public), ("contact sales", not tier.self_service)) if on]
    yield f"{tier.code}: {tier.name}" + (f" ({', '.join(flags)})" if flags else "")
    for price in tier.prices:
        yield f"    {plain(price.amount)} {price.cycle}  {price.stripe_price_id or 'not at Stripe yet'}"
    limits = (f"{metric} {'unlimited' if value is None else value}" for metric, value in tier.limits.items())
    yield f"    limits: {', '.join(limits) or 'none'}"
    yield f"    features: {', '.join(f'{key} {level}' for key, level in tier.features.items()) or 'none'}"
    yield f"    credits: {tier.included_credits} a cycle, {tier.credit_policy}"
    if tier.addons:
        addons = (f"{a.quantity} × {a.code}{f' {a.variant}' if a.variant else ''}" for a in tier.addons)
        yield f"    brings along: {', '.join(addons)}"
