"""The statement behind a vendor's plan card: plan, price, what is planned, credits (``queries.overview``)."""

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, func, select

from portal.billing import coming_tax
from portal.billing.models import BalanceEntry, Invoice
from portal.billing.rules import InvoiceStatus
from portal.catalog.models import SubscriptionTier, TierPrice
from portal.credits.models import CreditAccount
from portal.identity.models import Vendor
from portal.kit.direct import Direct
from portal.subscriptions.changes import UNDER_WAY
from portal.subscriptions.models import TierChange, VendorSubscription
from portal.subscriptions.rules import Provider


@cache
def statement(beside: tuple[ColumnElement[Any], ...]) -> Direct:
    """It is told the vendor as ``vendor``; built once for each set of columns, which takes longer than to ask."""
    to_price, to_tier = TierPrice.__table__.alias("to_price"), SubscriptionTier.__table__.alias("to_tier")
    ahead = Invoice.__table__.alias("ahead")
    open_change = and_(TierChange.subscription_id == VendorSubscription.id, TierChange.state.in_(UNDER_WAY))
    paid_until = (
        select(func.max(ahead.c.period_end))
        .where(
            ahead.c.vendor_id == VendorSubscription.vendor_id, ahead.c.provider == Provider.TRANSFER,
            ahead.c.status == InvoiceStatus.PAID, ahead.c.applied_at.is_(None),
            ahead.c.period_start >= VendorSubscription.period_end,
        )
        .scalar_subquery()
    )  # fmt: skip
    kept_here = (
        select(BalanceEntry.balance_after_minor)
        .where(BalanceEntry.vendor_id == VendorSubscription.vendor_id, BalanceEntry.currency == TierPrice.currency)
        .order_by(BalanceEntry.id.desc())
        .limit(1)
        .correlate(VendorSubscription, TierPrice)
        .scalar_subquery()
    )
    by_transfer = VendorSubscription.provider == Provider.TRANSFER
    last, buyer = Invoice.__table__.alias("last"), Vendor.__table__.alias("buyer")
    last_of = coming_tax.last_invoice(VendorSubscription.vendor_id, VendorSubscription.stripe_subscription_id)
    return Direct(
        select(
            VendorSubscription.id, VendorSubscription.version, VendorSubscription.status, VendorSubscription.provider,
            VendorSubscription.tier_id, VendorSubscription.tier_code, VendorSubscription.price_id,
            VendorSubscription.started_at, VendorSubscription.trial_ends_at, VendorSubscription.period_start,
            VendorSubscription.period_end, VendorSubscription.cancel_at_period_end, VendorSubscription.payment_method,
            VendorSubscription.past_due_since, VendorSubscription.cancelled_at, VendorSubscription.cancel_at,
            paid_until.label("paid_until"),
            case((by_transfer, kept_here), else_=VendorSubscription.stripe_credit_minor).label("on_balance"),
            VendorSubscription.stripe_credit_minor, *coming_tax.columns(last, buyer, by_transfer),
            SubscriptionTier.name.label("tier_name"), TierPrice.amount_minor, TierPrice.currency, TierPrice.cycle,
            CreditAccount.balance, TierChange.state.label("change_state"), TierChange.effective_at,
            TierChange.actor_label, TierChange.expires_at, TierChange.choices,
            Invoice.hosted_url, Invoice.due_minor, Invoice.currency.label("due_currency"),
            to_tier.c.name.label("to_name"), to_price.c.amount_minor.label("to_minor"),
            to_price.c.currency.label("to_currency"), to_price.c.cycle.label("to_cycle"), *beside,
        )
        .outerjoin(SubscriptionTier, SubscriptionTier.id == VendorSubscription.tier_id)
        .outerjoin(TierPrice, TierPrice.id == VendorSubscription.price_id)
        .outerjoin(CreditAccount, CreditAccount.vendor_id == VendorSubscription.vendor_id)
        .outerjoin(TierChange, open_change)
        .outerjoin(Invoice, Invoice.stripe_invoice_id == TierChange.stripe_invoice_id)
        .outerjoin(to_price, to_price.c.id == TierChange.to_price_id)
        .outerjoin(to_tier, to_tier.c.id == to_price.c.tier_id)
        .outerjoin(last, last.c.id == last_of)
        .outerjoin(buyer, buyer.c.id == VendorSubscription.vendor_id)
        .where(VendorSubscription.vendor_id == bindparam("vendor"), VendorSubscription.ended_at.is_(None))
    )  # fmt: skip
