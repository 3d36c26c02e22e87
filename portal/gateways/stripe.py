"""Stripe, through stripe-python 16 (API 2026-10-28.endive). Plain dicts out, our errors for Stripe's.

Every call asserts that no transaction is open. Every write carries an idempotency key that comes from a row of ours, so
that a repeated job or a second click repeats the answer and not the effect.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from portal.gateways.stripe_transport import CardRefused as CardRefused
from portal.gateways.stripe_transport import StripeMismatch as StripeMismatch
from portal.gateways.stripe_transport import StripeNotConfigured as StripeNotConfigured
from portal.gateways.stripe_transport import client, translated
from portal.kit.errors import Forbidden, Invalid
from portal.kit.text import N_
from portal.kit.unit_of_work import assert_no_transaction

if TYPE_CHECKING:
    from stripe import StripeClient

Params = dict[str, Any]
Document = dict[str, Any]

_gateway: "StripeGateway | None" = None


def configure(secret_key: str, api_base: str, max_retries: int) -> None:
    """Set up the one gateway of this process, or none where there is no key."""
    global _gateway
    _gateway = StripeGateway(secret_key, api_base, max_retries) if secret_key else None


def current() -> "StripeGateway":
    """The gateway; StripeNotConfigured where there is none."""
    if _gateway is None:
        raise StripeNotConfigured
    return _gateway


def is_configured() -> bool:
    """Can this installation speak to Stripe?"""
    return _gateway is not None


class StripeGateway:
    """The calls that the portal makes, and no others."""

    def __init__(self, secret_key: str, api_base: str, max_retries: int) -> None:
        self._key, self._base, self._retries = secret_key, api_base.rstrip("/"), max_retries
        self._made: StripeClient | None = None
        self._tax_rates: dict[str, Document] = {}

    @property
    def _client(self) -> "StripeClient":
        if self._made is None:
            self._made = client(self._key, self._base, self._retries)
        return self._made

    @property
    def _v1(self) -> Any:
        return self._client.v1

    def _read(self, path: str, *expand: str) -> Document:
        """What events make us ask for most, as it is on the wire: the SDK's objects around it cost more than the call.

        Signing, retries and errors are the SDK's.
        """
        assert_no_transaction()
        with translated():
            document: Document = self._fetched(path, {"expand": list(expand)})
            return document

    def _read_all(self, path: str) -> Iterator[Document]:
        """Every object of a list as it is on the wire, page after page."""
        assert_no_transaction()
        params: Params = {"limit": 100}
        while params:
            with translated():
                page = self._fetched(path, params)
            yield from page["data"]
            params = {**params, "starting_after": page["data"][-1]["id"]} if page["has_more"] else {}

    def _fetched(self, path: str, params: Document) -> Any:
        return self._client.raw_request("get", path, **params).data

    def _call(self, call: Callable[[], Any]) -> Document:
        assert_no_transaction()
        with translated():
            document: Document = call().to_dict()
            return document

    def _all(self, call: Callable[[], Any]) -> Iterator[Document]:
        """Every object of a list, page after page."""
        assert_no_transaction()
        with translated():
            for item in call().auto_paging_iter():
                yield item.to_dict()

    # catalog ------------------------------------------------------------------------------------------------------
    def products_list(self) -> list[Document]:
        """All products, archived ones too."""
        return list(self._all(lambda: self._v1.products.list({"limit": 100})))

    def product_create(self, params: Params, key: str) -> Document:
        """Create a product."""
        return self._call(lambda: self._v1.products.create(params, {"idempotency_key": key}))

    def product_update(self, product_id: str, params: Params, key: str) -> Document:
        """Change a product's words or archive it."""
        return self._call(lambda: self._v1.products.update(product_id, params, {"idempotency_key": key}))

    def prices_list(self) -> list[Document]:
        """All prices, archived ones too."""
        return list(self._all(lambda: self._v1.prices.list({"limit": 100})))

    def price_create(self, params: Params, key: str) -> Document:
        """Create a price; amounts of one that exists cannot change."""
        return self._call(lambda: self._v1.prices.create(params, {"idempotency_key": key}))

    def price_update(self, price_id: str, params: Params, key: str) -> Document:
        """Archive a price, or move its lookup key."""
        return self._call(lambda: self._v1.prices.update(price_id, params, {"idempotency_key": key}))

    # customers ----------------------------------------------------------------------------------------------------
    def customer_create(self, params: Params, key: str) -> Document:
        """Create a customer."""
        return self._call(lambda: self._v1.customers.create(params, {"idempotency_key": key}))

    def customer_update(self, customer_id: str, params: Params) -> Document:
        """Change a customer's name or address; the same again changes nothing, so it needs no key of ours."""
        return self._call(lambda: self._v1.customers.update(customer_id, params))

    def payment_method(self, payment_method_id: str) -> Document:
        """A payment method with its card's brand, last four digits and fingerprint."""
        return self._call(lambda: self._v1.payment_methods.retrieve(payment_method_id))

    # payment methods ----------------------------------------------------------------------------------------------
    def customer(self, customer_id: str) -> Document:
        """A customer as it is now."""
        return self._read(f"/v1/customers/{quote(customer_id, safe='')}")

    def customers_since(self, since: int) -> list[Document]:
        """Customers made since a Unix time, newest first."""
        return list(self._all(lambda: self._v1.customers.list({"created": {"gte": since}, "limit": 100})))

    def payment_methods(self, customer_id: str) -> list[Document]:
        """What a customer can pay with, newest first."""
        return list(self._read_all(f"/v1/customers/{quote(customer_id, safe='')}/payment_methods"))

    def payment_method_detach(self, payment_method_id: str, key: str) -> Document:
        """Take a payment method from its customer, for good."""
        return self._call(lambda: self._v1.payment_methods.detach(payment_method_id, {}, {"idempotency_key": key}))

    def subscription_pay_with(self, subscription_id: str, payment_method_id: str) -> Document:
        """Let a subscription be paid with this; the same again changes nothing, so it needs no key of ours."""
        params = {"default_payment_method": payment_method_id}
        return self._call(lambda: self._v1.subscriptions.update(subscription_id, params))

    def setup_open(self, params: Params) -> Document:
        """Open a page that asks for a card and charges nothing; an unused one expires, so it needs no key of ours."""
        return self._call(lambda: self._v1.checkout.sessions.create(params))

    def setup_session(self, session_id: str) -> Document:
        """Such a page as it is now, with its setup intent."""
        return self._call(lambda: self._v1.checkout.sessions.retrieve(session_id, {"expand": ["setup_intent"]}))

    # money that goes back -----------------------------------------------------------------------------------------
    def payment_intent(self, payment_intent_id: str) -> Document:
        """A payment as it is now."""
        return self._call(lambda: self._v1.payment_intents.retrieve(payment_intent_id))

    def invoice_of_payment(self, payment_intent_id: str) -> str | None:
        """The invoice that a payment was for, if it was for one."""
        asked = {"payment": {"type": "payment_intent", "payment_intent": payment_intent_id}, "limit": 1}
        found = self._call(lambda: self._v1.invoice_payments.list(asked))["data"]
        return str(found[0]["invoice"]) if found else None

    def charges(self, customer_id: str) -> list[Document]:
        """Every attempt to take a customer's money, newest first."""
        return list(self._all(lambda: self._v1.charges.list({"customer": customer_id, "limit": 100})))

    def refund_create(self, params: Params, key: str) -> Document:
        """Give back a payment or a part of it."""
        return self._call(lambda: self._v1.refunds.create(params, {"idempotency_key": key}))

    def refunds(self, payment_intent_id: str) -> list[Document]:
        """Every refund of a payment, newest first, whoever made it."""
        return list(self._all(lambda: self._v1.refunds.list({"payment_intent": payment_intent_id, "limit": 100})))

    def credit_notes(self, invoice_id: str) -> list[Document]:
        """The credit notes of an invoice, voided ones too, newest first."""
        return list(self._all(lambda: self._v1.credit_notes.list({"invoice": invoice_id, "limit": 100})))

    def dispute(self, dispute_id: str) -> Document:
        """A dispute as it is now."""
        return self._call(lambda: self._v1.disputes.retrieve(dispute_id))

    def disputes(self, payment_intent_id: str) -> list[Document]:
        """The disputes of a payment."""
        return list(self._all(lambda: self._v1.disputes.list({"payment_intent": payment_intent_id, "limit": 100})))

    # checkout -----------------------------------------------------------------------------------------------------
    def checkout_create(self, params: Params, key: str) -> Document:
        """Open a Checkout session."""
        return self._call(lambda: self._v1.checkout.sessions.create(params, {"idempotency_key": key}))

    def checkout_session(self, session_id: str) -> Document:
        """A session as it is now, with its lines and its subscription."""
        return self._call(
            lambda: self._v1.checkout.sessions.retrieve(session_id, {"expand": ["line_items", "subscription"]})
        )

    def checkout_expire(self, session_id: str, key: str) -> Document:
        """Close an open session, so that nobody pays for it any more."""
        return self._call(lambda: self._v1.checkout.sessions.expire(session_id, {}, {"idempotency_key": key}))

    def checkout_sessions(self, customer_id: str) -> list[Document]:
        """A customer's sessions."""
        return list(self._all(lambda: self._v1.checkout.sessions.list({"customer": customer_id, "limit": 100})))

    # subscriptions ------------------------------------------------------------------------------------------------
    def subscription(self, subscription_id: str) -> Document:
        """A subscription as it is now, with its customer, its default payment method and its latest invoice with that
        one's payments (``in_full`` gives the rest of the invoice).
        """
        address = f"/v1/subscriptions/{quote(subscription_id, safe='')}"
        return self._read(address, "customer", "default_payment_method", "latest_invoice.payments")

    def subscriptions(self, customer_id: str) -> list[Document]:
        """A customer's subscriptions with the customer and their default payment methods, ended ones too."""
        expand = ["data.customer", "data.default_payment_method"]
        params = {"customer": customer_id, "status": "all", "limit": 100, "expand": expand}
        return list(self._all(lambda: self._v1.subscriptions.list(params)))

    def subscription_update(self, subscription_id: str, params: Params, key: str) -> Document:
        """Change a subscription."""
        return self._call(lambda: self._v1.subscriptions.update(subscription_id, params, {"idempotency_key": key}))

    def subscription_create(self, params: Params, key: str) -> Document:
        """Begin a subscription that the card on file pays for."""
        return self._call(lambda: self._v1.subscriptions.create(params, {"idempotency_key": key}))

    def subscription_cancel(self, subscription_id: str, params: Params, key: str) -> Document:
        """End a subscription at once."""
        return self._call(lambda: self._v1.subscriptions.cancel(subscription_id, params, {"idempotency_key": key}))

    # items of a subscription: add-ons beside the tier --------------------------------------------------------------
    def preview_items(self, customer_id: str, subscription_id: str, items: list[Params], at: int) -> Document:
        """What a change of these items would be invoiced now, prorated from the second ``at``; nothing is changed."""
        change = {"items": items, "proration_behavior": "always_invoice", "proration_date": at}
        return self.invoice_preview(
            {"customer": customer_id, "subscription": subscription_id, "subscription_details": change}
        )

    def item_add(self, subscription_id: str, price_id: str, quantity: int, at: int, key: str) -> Document:
        """Put an item on a subscription once its share of the period is paid; StripeMismatch for a price that is there.

        Where the card is refused or asks for its owner, the subscription waits (``pending_update``) and stays as it is.
        """
        params = {"subscription": subscription_id, "price": price_id, "quantity": quantity, **_prorated(at)}
        return self._call(lambda: self._v1.subscription_items.create(params, {"idempotency_key": key}))

    def item_change(self, item_id: str, price_id: str, quantity: int, at: int, key: str) -> Document:
        """Give an item another price or quantity, once what that costs is paid; waits like ``item_add``."""
        params = {"price": price_id, "quantity": quantity, **_prorated(at)}
        return self._call(lambda: self._v1.subscription_items.update(item_id, params, {"idempotency_key": key}))

    def item_remove(self, item_id: str, at: int | None, key: str) -> Document:
        """Take an item off at once; with ``at`` what is unused from that second on becomes the customer's balance."""
        params: Params = {"proration_behavior": "none"}
        if at is not None:
            params = {"proration_behavior": "always_invoice", "proration_date": at}
        return self._call(lambda: self._v1.subscription_items.delete(item_id, params, {"idempotency_key": key}))

    def items(self, subscription_id: str) -> list[Document]:
        """Every item of a subscription, the tier's and add-ons', with prices and periods."""
        params = {"subscription": subscription_id, "limit": 100}
        return list(self._all(lambda: self._v1.subscription_items.list(params)))

    # schedules ----------------------------------------------------------------------------------------------------
    def schedule(self, schedule_id: str) -> Document:
        """A schedule as it is now."""
        return self._call(lambda: self._v1.subscription_schedules.retrieve(schedule_id))

    def schedule_create(self, subscription_id: str, key: str) -> Document:
        """Put a subscription under a schedule; its one phase is the present."""
        params = {"from_subscription": subscription_id}
        return self._call(lambda: self._v1.subscription_schedules.create(params, {"idempotency_key": key}))

    def schedule_update(self, schedule_id: str, params: Params, key: str) -> Document:
        """Replace the present and all coming phases."""
        return self._call(lambda: self._v1.subscription_schedules.update(schedule_id, params, {"idempotency_key": key}))

    def schedule_release(self, schedule_id: str, key: str) -> Document:
        """Let the subscription go on without the schedule; what it had planned does not happen."""
        return self._call(lambda: self._v1.subscription_schedules.release(schedule_id, {}, {"idempotency_key": key}))

    # invoices and events ------------------------------------------------------------------------------------------
    def invoice(self, invoice_id: str) -> Document:
        """An invoice as it is now, with its payments, all its lines, and the tax rates that it names in full."""
        return self.in_full(self._read(f"/v1/invoices/{quote(invoice_id, safe='')}", "payments"))

    def in_full(self, invoice: Document) -> Document:
        """An invoice that came with its payments, completed by what Stripe gives apart: a hundredth line, tax rates,
        and where an attempt to collect it failed, the payment intents.
        """
        if invoice["lines"].get("has_more"):
            lines = self._all(lambda: self._v1.invoices.line_items.list(invoice["id"], {"limit": 100}))
            invoice["lines"] = {**invoice["lines"], "data": list(lines), "has_more": False}
        for tax in invoice.get("total_taxes") or []:
            if named := tax.get("tax_rate_details"):
                tax["tax_rate_details"] = {**named, "tax_rate": self._tax_rate(named["tax_rate"])}
        if invoice["status"] == "open" and invoice.get("attempted"):
            invoice["payments"] = self._tries(invoice["id"])
        return invoice

    def _tries(self, invoice_id: str) -> Document:
        """The payments of an invoice with their intents: those alone say whether the bank wants a confirmation."""
        found = self._read(f"/v1/invoices/{quote(invoice_id, safe='')}", "payments.data.payment.payment_intent")
        payments: Document = found["payments"]
        return payments

    def _tax_rate(self, rate_id: str) -> Document:
        """A tax rate. Its percentage never changes, so that it is asked for once."""
        if rate_id not in self._tax_rates:
            self._tax_rates[rate_id] = self._call(lambda: self._v1.tax_rates.retrieve(rate_id))
        return self._tax_rates[rate_id]

    def invoices(self, customer_id: str) -> list[Document]:
        """A customer's invoices, newest first."""
        return list(self._all(lambda: self._v1.invoices.list({"customer": customer_id, "limit": 100})))

    def invoice_preview(self, params: Params) -> Document:
        """What a change would cost, to the cent; nothing is changed."""
        return self._call(lambda: self._v1.invoices.create_preview(params))

    def invoice_pay(self, invoice_id: str, key: str, params: Params | None = None) -> Document:
        """Try to collect an open invoice now; ``params`` may name another payment method."""
        return self._call(lambda: self._v1.invoices.pay(invoice_id, params or {}, {"idempotency_key": key}))

    def invoice_void(self, invoice_id: str, key: str) -> Document:
        """Give up an open invoice; a change of the subscription that waited for it is dropped."""
        return self._call(lambda: self._v1.invoices.void_invoice(invoice_id, {}, {"idempotency_key": key}))

    def events_undelivered(self, since: int, types: list[str]) -> list[Document]:
        """Events since a Unix time that our endpoint has not taken."""
        params = {"delivery_success": False, "created": {"gte": since}, "types": types, "limit": 100}
        return list(self._all(lambda: self._v1.events.list(params)))

    def account(self) -> Document:
        """The account behind the key; proves that the key works."""
        return self._call(lambda: self._v1.accounts.retrieve_current())

    def webhook_endpoints(self) -> list[Document]:
        """The endpoints that Stripe sends events to."""
        return list(self._all(lambda: self._v1.webhook_endpoints.list({"limit": 100})))


def _prorated(at: int) -> Params:
    """Charged at once, from the second that was shown; applied only once it is paid."""
    return {
        "proration_behavior": "always_invoice",
        "proration_date": at,
        "payment_behavior": "pending_if_incomplete",
    }


def verify(payload: bytes, signature: str, secrets: list[str]) -> Document:
    """The event in ``payload`` when one of the secrets signed it less than 300 seconds ago; Forbidden otherwise.

    Needs no key and no network: an event is checked on its raw bytes alone.
    """
    import json

    import stripe

    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(payload.decode("utf-8"), signature, secret, 300)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue
        try:
            event = json.loads(payload)
        except ValueError as error:
            raise Invalid(N_("This is not an event."), code="not_an_event") from error
        if not isinstance(event, dict):
            raise Invalid(N_("This is not an event."), code="not_an_event")
        return event
    refused = Forbidden(N_("The signature does not fit."), code="bad_signature")
    refused.status = 400
    raise refused
