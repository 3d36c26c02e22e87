"""Mails about money that goes back: to the vendor's owner, and to the operator when somebody there must act."""

from datetime import datetime
from typing import Any

from portal.billing import details
from portal.billing.models import Dispute, Refund
from portal.identity import queries as identity
from portal.kit.money import Money
from portal.notifications import service as notifications
from portal.notifications.service import Recipient
from portal.settings import queries as settings


def _plain(minor: int, currency: str) -> dict[str, Any]:
    return {"minor": minor, "currency": currency}


def refunded(refund: Refund, number: str | None, now: datetime) -> None:
    """The vendor's money is on its way back; once per refund."""
    vendor = identity.vendor(refund.vendor_id)
    if vendor is None:
        return
    notifications.send(
        "refunded",
        details.recipient(vendor),
        dedupe_key=f"refunded:{refund.id}",
        vendor_id=refund.vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        number=number or "",
        amount=_plain(refund.amount_minor, refund.currency),
        provider=refund.provider,
    )


def paid_out(vendor_id: int, amount: Money, reference: str, now: datetime) -> None:
    """What stood on the vendor's balance is on its way back; once per transfer."""
    vendor = identity.vendor(vendor_id)
    if vendor is None:
        return
    notifications.send(
        "refunded",
        details.recipient(vendor),
        dedupe_key=f"paid-out:{vendor_id}:{reference}"[:120],
        vendor_id=vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        number="",
        amount=_plain(amount.minor, amount.currency),
        provider="transfer",
    )


def refund_failed(refund: Refund, number: str | None, now: datetime) -> None:
    """The bank did not take it: the operator must send it another way."""
    amount = _plain(refund.amount_minor, refund.currency)
    _to_operator("refund_failed", f"{refund.id}", refund.vendor_id, now, number=number or "", amount=amount)


def dispute_opened(dispute: Dispute, now: datetime) -> None:
    """There is a date until which the operator can answer."""
    _to_operator(
        "dispute_opened", dispute.stripe_dispute_id, dispute.vendor_id, now, reason=dispute.reason,
        amount=_plain(dispute.amount_minor, dispute.currency),
        answer_by_at=dispute.answer_by.isoformat() if dispute.answer_by else None,
    )  # fmt: skip


def dispute_closed(dispute: Dispute, now: datetime) -> None:
    """The bank has decided."""
    amount = _plain(dispute.amount_minor, dispute.currency)
    _to_operator("dispute_closed", dispute.stripe_dispute_id, dispute.vendor_id, now, amount=amount,
                 status=dispute.status)  # fmt: skip


def _to_operator(kind: str, cause: str, vendor_id: int, now: datetime, **params: Any) -> None:
    operator, vendor = settings.current(), identity.vendor(vendor_id)
    if not operator.support_email or vendor is None:
        return
    notifications.send(
        kind,
        Recipient(operator.support_email, operator.name, "en"),
        dedupe_key=f"{kind}:{cause}",
        vendor_id=vendor_id,
        now=now,
        vendor_code=vendor.code,
        vendor_name=vendor.name,
        **params,
    )
