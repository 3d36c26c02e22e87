"""The doctor's check of invoices that the portal writes itself: who sends them, and can they be printed?"""

from collections.abc import Iterator

from portal.billing import documents, tax, transfers
from portal.cli.doctor_findings import FAIL, OK, WARN, Check, Finding
from portal.kit.unit_of_work import end_reading
from portal.settings import queries as settings
from portal.settings.rules import Offer

#: What a paper should say of its sender.
LEGAL = ("legal_name", "legal_address", "legal_country")


def papers() -> Iterator[Finding]:
    """Needed only where somebody may pay by bank transfer."""
    operator, rates, account = settings.current(), tax.rates(), transfers.account()
    end_reading()
    if operator.pay_by_transfer != Offer.LIVE:
        yield Finding(OK, "invoices", "all by Stripe; none of our own while bank transfer is not offered")
        return
    if not account.is_complete:
        says = "bank transfer is switched on, but nobody can choose it: there is no account to pay to"
        yield Finding(FAIL, "bank", says, "flask --app wsgi settings set bank_holder …, then bank_iban …")
    wanted = (*LEGAL, "vat_id") if rates else LEGAL
    if lacking := [name for name in wanted if not getattr(operator, name)]:
        yield Finding(WARN, "invoices", f"they do not say {', '.join(lacking)}", "fill in Taxes and papers")
    else:
        yield Finding(OK, "invoices", f"from {operator.legal_name}, rates of tax: {len(rates)}")
    if not any(documents.FONTS.glob("*.ttf")):
        yield Finding(FAIL, "invoices", "their font is missing", "python -m portal.cli.assets")


CHECKS: tuple[Check, ...] = (papers,)
