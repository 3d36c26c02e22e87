"""What a proforma with these lines would come to, without writing one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from portal.billing import balance, parties, tax
from portal.billing.papers import NewLine
from portal.billing.rules import TaxSum, sum_up
from portal.identity.models import Vendor
from portal.kit.db import db
from portal.kit.money import Money


@dataclass(frozen=True, slots=True)
class Quote:
    """subtotal + taxes + balance = due. ``balance`` is below zero where the vendor's balance pays for some of it, and
    above zero where something is given back to it.
    """

    subtotal: Money
    taxes: tuple[TaxSum, ...]
    balance: Money
    due: Money

    @property
    def tax(self) -> Money:
        """All taxes together."""
        return Money(sum(found.amount_minor for found in self.taxes), self.due.currency)


def quote(vendor_id: int, lines: Sequence[NewLine], currency: str, *, now: datetime) -> Quote:
    """As ``papers.issue_proforma`` would compute it at this moment."""
    buyer = parties.buyer(db.session.get_one(Vendor, vendor_id))
    amounts = [line.amount_minor for line in lines]
    taxes, _ = sum_up(amounts, tax.of_lines([line.period_start for line in lines], buyer, now))
    total = sum(amounts) + sum(found.amount_minor for found in taxes)
    used = min(balance.balance(vendor_id, currency).minor, total) if total > 0 else total
    return Quote(Money(sum(amounts), currency), tuple(taxes), Money(-used, currency), Money(total - used, currency))
