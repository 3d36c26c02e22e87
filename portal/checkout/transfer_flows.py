"""Bank transfer where something lies outside the database: pages at Stripe that give way, and files handed in."""

from typing import Any

from portal.billing import parties, transfers
from portal.billing.transfer_rules import missing_details
from portal.checkout import flows, queries, transfer
from portal.entitlements import files
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit import clock, outbox
from portal.kit.actor import Actor
from portal.kit.errors import Conflict, Invalid, NotFound, PortalError
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work
from portal.kit.uploads import document
from portal.settings import queries as settings
from portal.settings.rules import Offer
from portal.subscriptions import flows as subscriptions
from portal.subscriptions import transfer_mails
from portal.subscriptions.history import lock, note

#: The longest file name that is shown.
NAME_MAX = 100


def is_offered() -> bool:
    """Does the operator take transfers, and is there an account to pay to?"""
    return settings.current().pay_by_transfer == Offer.LIVE and transfers.account().is_complete


def missing(vendor_id: int) -> list[str]:
    """What a proforma needs to know of the payer and does not: names of the billing details."""
    vendor = identity.vendor(vendor_id)
    if vendor is None:
        raise NotFound
    return missing_details(parties.buyer(vendor), has_name=bool(vendor.legal_name))


def start(vendor_id: int, price_id: int, *, actor: Actor) -> int | None:
    """Order a tier by transfer; gives the transfer that is waited for, None when the vendor's balance paid it all.

    Two clicks lead to the same proforma. Conflict when the method is not offered, or a tier is paid for already;
    Invalid (code ``payer_details``) while details of the payer are missing.
    """
    if not is_offered():
        raise Conflict(N_("Bank transfer is not offered here. Please choose another way to pay."), code="not_offered")
    price, tier = subscriptions.offered(price_id, vendor_id)
    if missing(vendor_id):
        raise Invalid(N_("Please complete your billing details first."), code="payer_details")
    pages = [order for order in queries.open_of(vendor_id) if order.stripe_session_id]
    with unit_of_work():
        order = transfer.open_order(vendor_id, price, tier, actor=actor, now=clock.business())
        expected = transfers.of_invoice(order.invoice_id, vendor_id) if order.invoice_id else None
    for page in pages if stripe.is_configured() else ():
        flows.close_page(page)
    return expected.id if expected is not None else None


def hand_in(vendor_id: int, transfer_id: int, name: str, data: bytes, *, actor: Actor) -> None:
    """Keep the vendor's proof of payment, privately; a new one replaces the one before.

    Its bytes count as storage, but it is taken also when the storage is full: who wants to pay is never turned away.
    Invalid at the field ``proof`` for what is no document, TooLarge beyond 10 MB, Conflict when it is decided already.
    """
    found = document(data, field="proof")
    end_reading()
    now = clock.business()
    key = files.keep(vendor_id, "proofs", found.data, found.ending, field="proof", now=now, may_refuse=False)
    shown = {"key": key, "name": shown_name(name, found.ending), "type": found.media_type, "size": len(found.data)}
    try:
        with unit_of_work():
            _attach(vendor_id, transfer_id, shown, actor)
    except PortalError:
        files.forget(key, now=now)
        raise


def _attach(vendor_id: int, transfer_id: int, proof: dict[str, Any], actor: Actor) -> None:
    now = clock.business()
    subscription = lock(vendor_id)
    expected, invoice = transfers.locked(transfer_id, vendor_id)
    before = transfers.hand_in(expected, proof, now=now)
    note(subscription, "proof_sent", actor=actor, now=now, proforma=invoice.proforma_number)
    transfer_mails.received(expected, invoice, now, amount_minor=None)
    if before:
        outbox.enqueue("checkout.forget_file", dedupe_key=f"forget:{before['key']}", vendor_id=vendor_id,
                       key=before["key"])  # fmt: skip


def shown_name(name: str, ending: str) -> str:
    """A file's name as people may read it: no folders, nothing that does not print, the ending that its content has."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join(c for c in last if c.isprintable()).strip(" .")
    stem = plain.rsplit(".", 1)[0][:NAME_MAX].strip(" .") or "proof"
    return f"{stem}.{ending}"
