"""Set up an operator that takes bank transfers: a command of tests/browser/one_process.py."""

import click

from portal.kit import clock
from portal.kit.actor import SYSTEM
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service

SETTINGS = {
    "pay_by_transfer": "live",
    "bank_holder": "Kilim Portal Ltd",
    "bank_iban": "DE02120300000000202051",
    "bank_bic": "BYLADEM1001",
    "bank_name": "DKB Berlin",
    "grace_days": "3",
    "legal_name": "Kilim Portal Ltd",
    "legal_address": "Hafenstr. 1\n20457 Hamburg",
    "legal_country": "DE",
}


@click.command("take-transfers")
def take_transfers() -> None:
    """Change the settings as an admin would."""
    with unit_of_work():
        for key, value in SETTINGS.items():
            service.change(key, value, actor=SYSTEM, now=clock.business())
