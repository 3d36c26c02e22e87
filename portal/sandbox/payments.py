"""Collecting an open invoice from a card: one attempt, one outcome, told by the events that Stripe sends."""

from dataclasses import dataclass

from portal.sandbox import cards, disputes, events, faults, invoices
from portal.sandbox.errors import StripeError, card_declined
from portal.sandbox.tx import Doc, Tx


@dataclass(frozen=True)
class Outcome:
    """`kind` is paid, declined or action (the person must authenticate); `decline` names why a card was refused."""

    kind: str
    decline: str | None = None

    def error(self, intent: Doc | None, *, keep: bool) -> StripeError:
        """The 402 that an API caller gets."""
        code, message = reason_of(self)
        shown = {"payment_intent": {"id": intent["id"], "object": "payment_intent"}} if intent else {}
        decline = self.decline if code in ("card_declined", "authentication_required") else None
        return card_declined(message, code, decline, keep=keep, **shown)


NO_METHOD = "no_payment_method"


def reason_of(outcome: Outcome) -> tuple[str, str]:
    """Stripe's code and sentence for a refusal."""
    if outcome.kind == "action":
        return "invoice_payment_intent_requires_action", (
            "Payment for this subscription requires additional user action before it can be completed successfully. "
            "Payment can be completed using the PaymentIntent associated with its latest invoice."
        )
    if outcome.decline == NO_METHOD:
        return "resource_missing", "This customer has no attached payment source or default payment method."
    return cards.DECLINES[outcome.decline or "generic_decline"]


def method_for(tx: Tx, subscription: Doc, customer: Doc) -> Doc | None:
    """The card that pays: the subscription's own outranks the customer's default."""
    ident = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    return tx.find(ident) if ident else None


def judge(tx: Tx, method: Doc, *, present: bool, authenticated: bool) -> Outcome:
    """What the issuer says. `present`: the person is at the screen; `authenticated`: passed 3-D Secure just now."""
    card = cards.behaviour(method["_private"]["number"])
    if faults.take(tx, ("decline_next",)):
        return Outcome("declined", "generic_decline")
    once = card.authenticate == "setup" and not method["_private"].get("authenticated")
    if (card.authenticate == "always" or once) and not authenticated:
        return Outcome("action") if present else Outcome("action", "authentication_required")
    if card.charge:
        return Outcome("declined", card.charge)
    return Outcome("paid")


def collect(
    tx: Tx,
    invoice: Doc,
    method: Doc | None,
    *,
    present: bool = False,
    authenticated: bool = False,
    approved: bool = False,
) -> Outcome:
    """One attempt to collect an open invoice; the invoice, its payment intent and a charge record what came of it.

    `approved`: the issuer was asked a moment ago (Checkout asks before it makes the invoice) and said yes.
    """
    found = invoices.payment_of(tx, invoice)
    if invoice["status"] == "paid" or found is None:
        return Outcome("paid")
    payment, intent = found
    invoice["attempted"] = True
    invoice["attempt_count"] += 1
    if method is None:
        _refused(tx, invoice, intent, None, Outcome("declined", NO_METHOD))
        return Outcome("declined", NO_METHOD)
    if authenticated:
        method["_private"]["authenticated"] = True
    outcome = Outcome("paid") if approved else judge(tx, method, present=present, authenticated=authenticated)
    if outcome.kind == "paid":
        _succeed(tx, invoice, payment, intent, method)
    else:
        _refused(tx, invoice, intent, method, outcome)
    return outcome


def _succeed(tx: Tx, invoice: Doc, payment: Doc, intent: Doc, method: Doc) -> None:
    charge = charge_card(tx, intent, method, None)
    intent.update(
        status="succeeded",
        amount_received=intent["amount"],
        latest_charge=charge["id"],
        payment_method=method["id"],
        last_payment_error=None,
        next_action=None,
    )
    payment.update(status="paid", amount_paid=intent["amount"])
    payment["status_transitions"]["paid_at"] = tx.now
    events.emit(tx, "charge.succeeded", charge)
    events.emit(tx, "payment_intent.succeeded", intent)
    invoices.mark_paid(tx, invoice)
    events.emit(tx, "invoice_payment.paid", payment)
    followed(tx, charge, method)


def followed(tx: Tx, charge: Doc, method: Doc) -> None:
    """What comes of this card by itself once it has paid."""
    if cards.behaviour(method["_private"]["number"]).disputed:
        disputes.open_dispute(tx, charge)


def _refused(tx: Tx, invoice: Doc, intent: Doc, method: Doc | None, outcome: Outcome) -> None:
    code, message = reason_of(outcome)
    intent["payment_method"] = None
    if outcome.kind == "action" and method is not None:
        intent.update(status="requires_action", payment_method=method["id"], next_action=_next_action(tx, invoice))
        events.emit(tx, "payment_intent.requires_action", intent)
        events.emit(tx, "invoice.payment_action_required", invoice)
    else:
        error = {"type": "card_error", "code": code, "message": message, "decline_code": outcome.decline}
        intent.update(status="requires_payment_method", last_payment_error=error, next_action=None)
        if method is not None:
            charge = charge_card(tx, intent, method, outcome)
            intent["latest_charge"] = charge["id"]
            events.emit(tx, "charge.failed", charge)
        events.emit(tx, "payment_intent.payment_failed", intent)
    events.emit(tx, "invoice.updated", invoice)
    events.emit(tx, "invoice.payment_failed", invoice)


def _next_action(tx: Tx, invoice: Doc) -> Doc:
    url = f"{tx.config.public_url}/i/{invoice['id']}"
    return {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": None}}


def charge_card(tx: Tx, intent: Doc, method: Doc, outcome: Outcome | None) -> Doc:
    """The record of one attempt on a card: a success without an outcome, else a refusal."""
    card = method["card"]
    code, message = reason_of(outcome) if outcome else (None, None)
    empty = (
        "application application_fee application_fee_amount "
        "balance_transaction calculated_statement_descriptor description "
        "failure_balance_transaction on_behalf_of receipt_email receipt_number receipt_url review shipping "
        "source_transfer statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
    )
    details = {
        name: card[name] for name in ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    }
    details |= {
        "checks": card["checks"],
        "network": card["brand"],
        "three_d_secure": None,
        "wallet": None,
        "mandate": None,
    }
    return tx.insert(
        "charge",
        {
            **dict.fromkeys(empty.split()),
            "amount": intent["amount"],
            "amount_captured": 0 if outcome else intent["amount"],
            "amount_refunded": 0,
            "billing_details": method["billing_details"],
            "captured": outcome is None,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "disputed": False,
            "failure_code": code,
            "failure_message": message,
            "fraud_details": {},
            "metadata": {},
            "outcome": _told_outcome(outcome),
            "paid": outcome is None,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {"type": "card", "card": details},
            "radar_options": {},
            "refunded": False,
            "status": "failed" if outcome else "succeeded",
        },
    )


def _told_outcome(outcome: Outcome | None) -> Doc:
    return {
        "advice_code": "try_again_later" if outcome else None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if outcome else "approved_by_network",
        "reason": outcome.decline if outcome else None,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "The bank did not return any further details." if outcome else "Payment complete.",
        "type": "issuer_declined" if outcome else "authorized",
    }
