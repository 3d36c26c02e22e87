"""What takes several transactions with Stripe between them: fetch and sync, release a schedule, extend a trial."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal.billing import service as billing
from portal.billing import stripe_invoice
from portal.billing.stripe_invoice import StripeInvoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Price, Tier
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, Invalid
from portal.kit.money import Money
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.subscriptions import queries, remote, service
from portal.subscriptions.history import expect_version, lock, lock_if_any
from portal.subscriptions.mirror import keep_former, keep_invoice, mirror
from portal.subscriptions.remote import Remote
from portal.subscriptions.rules import Provider, Status, extended_trial

#: How often a fetch is repeated because the row changed while Stripe was answering.
PATIENCE = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """Stripe's present state of a subscription with one of its invoices."""

    subscription: Remote
    invoice: StripeInvoice | None


def fetch(
    stripe_subscription_id: str, stripe_invoice_id: str | None = None, *, tier_item: str | None = None
) -> Fetched:
    """Ask Stripe for a subscription and an invoice of it (the latest when none is named, which costs no call more)."""
    gateway = stripe.current()
    document = gateway.subscription(stripe_subscription_id)
    found, latest = remote.read(document, tier_item), document.get("latest_invoice")
    wanted = stripe_invoice_id or found.latest_invoice_id
    if wanted is None:
        return Fetched(found, None)
    if not isinstance(latest, dict) or latest["id"] != wanted:
        return Fetched(found, stripe_invoice.read(gateway.invoice(wanted)))
    return Fetched(found, stripe_invoice.read(gateway.in_full(latest)))


def sync(vendor_id: int, stripe_subscription_id: str, stripe_invoice_id: str | None = None) -> bool:
    """Mirror Stripe's present state of the vendor's subscription and invoice in one commit; True when it is ours.

    A subscription of the vendor's that is not the one we hold is left alone (False). Because the fetch lies outside
    the transaction, it is repeated when somebody else changed the row meanwhile: an older answer never overwrites a
    newer one.
    """
    for _ in range(PATIENCE):
        before = queries.version(vendor_id)
        ours, tier_item = queries.owner(stripe_subscription_id)
        end_reading()
        if ours != vendor_id:
            return False
        fetched = fetch(stripe_subscription_id, stripe_invoice_id, tier_item=tier_item)
        with unit_of_work():
            subscription = lock_if_any(vendor_id)
            if subscription is None or subscription.stripe_subscription_id != stripe_subscription_id:
                return False
            if subscription.version != before:
                continue
            if fetched.invoice:
                keep_invoice(subscription, fetched.invoice, now=clock.business())
            mirror(subscription, fetched.subscription, now=clock.business())
            return True
    raise Conflict


def follow_balance(vendor_id: int, currency: str) -> bool:
    """Mirror what stands at Stripe for a vendor that pays by transfer now; no subscription there tells it any more.

    False where it pays in another way meanwhile. Repeated like ``sync``.
    """
    for _ in range(PATIENCE):
        before = queries.version(vendor_id)
        customer_id = queries.held(vendor_id).stripe_customer_id
        end_reading()
        if customer_id is None:
            return False
        credit = remote.credit_of(stripe.current().customer(customer_id), currency)
        with unit_of_work():
            subscription = lock_if_any(vendor_id)
            if subscription is None or subscription.provider != Provider.TRANSFER or credit is None:
                return False
            if subscription.version != before:
                continue
            subscription.stripe_credit_minor, subscription.version = credit, subscription.version + 1
            return True
    raise Conflict


def follow_former(vendor_id: int, stripe_subscription_id: str, stripe_invoice_id: str) -> bool:
    """Mirror an invoice of a subscription that another one has followed: a debt that is paid, or given up, after its
    vendor came again. False for a subscription of which we hold no invoice.

    Repeated like ``sync``, so that an older answer never overwrites a newer one.
    """
    for _ in range(PATIENCE):
        before = billing.of_subscription(vendor_id, stripe_subscription_id)
        end_reading()
        if not before:
            return False
        fetched = stripe_invoice.read(stripe.current().invoice(stripe_invoice_id))
        with unit_of_work():
            lock_if_any(vendor_id)
            if billing.of_subscription(vendor_id, stripe_subscription_id) != before:
                continue
            keep_former(vendor_id, fetched, now=clock.business())
            return True
    raise Conflict


def figures(document: dict[str, Any]) -> dict[str, Any]:
    """A preview's ``lines`` with their words, ``tax``, ``balance`` (less than zero: credit) and ``due``."""
    currency = document["currency"].upper()
    return {
        "lines": tuple(
            (line["description"] or "", Money(line["amount"], currency)) for line in document["lines"]["data"]
        ),
        "tax": Money(sum(tax["amount"] for tax in document.get("total_taxes") or []), currency),
        "balance": Money(document["amount_due"] - document["total"], currency),
        "due": Money(document["amount_due"], currency),
    }


def offered(price_id: int, vendor_id: int) -> tuple[Price, Tier]:
    """A price that this vendor may be given now, with its tier; Invalid at the field otherwise."""
    price = catalog.price(price_id)
    tier = catalog.tier_by_id(price.tier_id) if price else None
    offer = catalog.offer(tier.code, price.cycle, price.amount.currency, vendor_id) if price and tier else None
    if price is None or tier is None or offer is None or offer.id != price.id:
        raise Invalid(fields={"price": N_("Choose one of the tiers that are on offer.")})
    return price, tier


def release_schedule(held: queries.Held) -> None:
    """A schedule would overwrite what is changed beside it: let it go first."""
    present = remote.read(stripe.current().subscription(str(held.stripe_subscription_id)), held.stripe_item_id)
    if present.schedule_id:
        stripe.current().schedule_release(present.schedule_id, f"release-{present.schedule_id}")


def extend_trial(vendor_id: int, days: int, *, reason: str, actor: Actor, base_version: int) -> datetime:
    """Give more trial days, with Stripe's consent where a card is on file already; gives the new end.

    Invalid for days outside 1 to 90, Conflict when there is no trial or the subscription changed meanwhile.
    """
    service.check_days(days)
    held = queries.held(vendor_id)
    now = clock.business()
    if held.provider == Provider.NONE:
        tier = catalog.tier_by_id(held.tier_id) if held.tier_id else None
        if tier is None:
            raise Conflict(N_("There is no trial to extend."))
        with unit_of_work():
            service.extend_local_trial(
                vendor_id, tier, days, reason=reason, actor=actor, now=now, base_version=base_version
            )
        return extended_trial(held.trial_ends_at, now, days)
    if held.status != Status.ACTIVE or held.trial_ends_at is None or held.trial_ends_at <= now:
        raise Conflict(N_("There is no trial to extend."))
    return _extend_at_stripe(held, extended_trial(held.trial_ends_at, now, days), days, reason, actor, base_version)


def _extend_at_stripe(
    held: queries.Held, ends: datetime, days: int, reason: str, actor: Actor, base_version: int
) -> datetime:
    with unit_of_work():
        expect_version(lock(held.vendor_id), base_version)
    params = {"trial_end": int(ends.timestamp()), "proration_behavior": "none"}
    key = f"extend-trial-{held.id}-{base_version}-{days}"
    stripe.current().subscription_update(str(held.stripe_subscription_id), params, key)
    with unit_of_work():
        service.note_extension(lock(held.vendor_id), ends, days, reason, actor, clock.business())
    sync(held.vendor_id, str(held.stripe_subscription_id))
    return ends


def end_trial_now(vendor_id: int) -> None:
    """End what is left of a trial at Stripe: the first charge comes at once (SUB-1: the card had a trial before)."""
    held = queries.held(vendor_id)
    if held.stripe_subscription_id is None or held.trial_ends_at is None or held.trial_ends_at <= clock.business():
        return
    params = {"trial_end": "now", "proration_behavior": "none"}
    end_reading()
    stripe.current().subscription_update(
        held.stripe_subscription_id, params, f"end-trial-{held.stripe_subscription_id}"
    )
    sync(vendor_id, held.stripe_subscription_id)
