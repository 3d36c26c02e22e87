"""Checkout in payment mode: something is bought once; with an invoice where one is asked for."""

from portal.sandbox import catalog, customers, events, invoices, lines, payments, plan, session_shape, taxes
from portal.sandbox.errors import invalid, missing, unsupported
from portal.sandbox.ids import new_id
from portal.sandbox.payments import Outcome
from portal.sandbox.render import list_of
from portal.sandbox.tx import Doc, Params, Tx, metadata_of

MOST_LINES = 100


def create(tx: Tx, params: Params, customer: Doc | None) -> Doc:
    """A session over one-time prices."""
    if "currency" in params:
        raise unsupported("another currency than the prices'", param="currency")
    wanted = params.get("line_items")
    if not wanted:
        raise invalid("You must provide line_items in payment mode.", param="line_items", code="parameter_missing")
    if len(wanted) > MOST_LINES:
        raise invalid("You may specify at most 100 line items.", param="line_items")
    automatic = {name: params[name] for name in ("automatic_tax",) if name in params}
    items, sources = [], []
    for place, line in enumerate(wanted):
        price = _price(tx, line, f"line_items[{place}]")
        rates = {"default_tax_rates": line["tax_rates"]} if "tax_rates" in line else {}
        source = taxes.settings(tx, {**automatic, **rates}, customer, f"line_items[{place}]")
        amount = price["unit_amount"] * line.get("quantity", 1)
        items.append(session_shape.item(price, line.get("quantity", 1), amount, taxes.on(tx, customer, source, amount)))
        sources.append(source)
    if len({item["currency"] for item in items}) > 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    plan.check_amount(sum(item["amount_total"] for item in items), "line_items")
    fields = {**session_shape.priced("payment", items, sources[0]), "invoice_creation": _invoice_creation(params)}
    data = params.get("payment_intent_data", {})
    return session_shape.insert(
        tx, params, customer, fields, line_items=items, data=data, taxed=sources, tax=sources[0]
    )


def _price(tx: Tx, line: Params, param: str) -> Doc:
    if line.get("quantity", 1) < 1:
        raise invalid("This value must be greater than or equal to 1.", param=f"{param}[quantity]")
    if ("price" in line) == ("price_data" in line):
        raise invalid(f"You must specify either `price` or `price_data` in {param}.", param=param)
    if "price_data" in line:
        return _inline(tx, line["price_data"], f"{param}[price_data]")
    price = tx.find(line["price"])
    if price is None or price["object"] != "price":
        raise missing("price", line["price"], param=f"{param}[price]", status=400)
    if price["type"] != "one_time":
        raise invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use "
            "only one-time prices.",
            param="line_items",
        )
    if not price["active"]:
        raise invalid(
            "The price specified is inactive. This field only accepts active prices.", param=f"{param}[price]"
        )
    return price


def _inline(tx: Tx, data: Params, param: str) -> Doc:
    """A price made for this session alone; it cannot be bought again."""
    if "unit_amount" not in data:
        raise invalid(
            f"Missing required param: {param}[unit_amount].", param=f"{param}[unit_amount]", code="parameter_missing"
        )
    if ("product" in data) == ("product_data" in data):
        raise invalid(f"You must specify either `product` or `product_data` in {param}.", param=param)
    product = data.get("product") or catalog.create_product(tx, {**data["product_data"], "active": False})["id"]
    wanted: Params = {name: data[name] for name in ("currency", "unit_amount", "tax_behavior") if name in data}
    return catalog.create_price(tx, {**wanted, "product": product, "active": False})


def _invoice_creation(params: Params) -> Doc:
    given = params.get("invoice_creation", {})
    data = given.get("invoice_data", {})
    empty = dict.fromkeys(("account_tax_ids", "custom_fields", "footer", "issuer", "rendering_options"))
    return {
        "enabled": bool(given.get("enabled")),
        "invoice_data": {
            **empty,
            "description": data.get("description"),
            "metadata": metadata_of(data.get("metadata")),
        },
    }


# --- what the hosted page does


def _intent(tx: Tx, session: Doc, customer: Doc | None) -> Doc:
    """The payment intent of the session, made at the first attempt."""
    if session["payment_intent"]:
        return tx.get("payment_intent", session["payment_intent"])
    data = session["_private"]["data"]
    shown = {"amount_due": session["amount_total"], "currency": session["currency"], "billing_reason": "manual"}
    intent = invoices.new_intent(tx, {**shown, "id": None}, customer or {"id": None})
    intent.update(
        description=data.get("description"),
        metadata=metadata_of(data.get("metadata")),
        setup_future_usage=data.get("setup_future_usage"),
    )
    session["payment_intent"] = intent["id"]
    events.emit(tx, "payment_intent.created", intent)
    return intent


def refused(tx: Tx, session: Doc, method: Doc, outcome: Outcome) -> None:
    """A declined attempt stays on record at the payment intent."""
    customer = tx.get("customer", session["customer"]) if session["customer"] else None
    intent = _intent(tx, session, customer)
    code, message = payments.reason_of(outcome)
    error = {"type": "card_error", "code": code, "message": message}
    if outcome.decline:
        error["decline_code"] = outcome.decline
    charge = payments.charge_card(tx, intent, method, outcome)
    intent.update(status="requires_payment_method", last_payment_error=error, latest_charge=charge["id"])
    events.emit(tx, "charge.failed", charge)
    events.emit(tx, "payment_intent.payment_failed", intent)


def complete(tx: Tx, session: Doc, method: Doc, name: str | None) -> None:
    """The card has paid: charge, and an invoice that is paid already where one was asked for."""
    customer = session_shape.or_new_customer(tx, session, name)
    intent = _intent(tx, session, customer)
    intent["customer"] = customer["id"]
    if intent["setup_future_usage"]:
        customers.attach_card(tx, method, customer)
    charge = payments.charge_card(tx, intent, method, None)
    intent.update(
        status="succeeded",
        amount_received=intent["amount"],
        latest_charge=charge["id"],
        payment_method=method["id"],
        last_payment_error=None,
    )
    events.emit(tx, "charge.succeeded", charge)
    events.emit(tx, "payment_intent.succeeded", intent)
    made = {"payment_status": "paid", "payment_intent": intent["id"]}
    if session["invoice_creation"]["enabled"]:
        made["invoice"] = _invoice(tx, session, customer, intent)["id"]
    session_shape.finish(tx, session, customer, name, made)
    payments.followed(tx, charge, method)


def _invoice(tx: Tx, session: Doc, customer: Doc, intent: Doc) -> Doc:
    private, base = session["_private"], session["invoice_creation"]["invoice_data"]
    pairs = zip(private["line_items"], private["taxed"], strict=True)
    found = [_line(tx, customer, item, source) for item, source in pairs]
    on_top = _totals(found)
    subtotal, total = session["amount_subtotal"], session["amount_total"]
    invoice = tx.insert(
        "invoice",
        {
            **invoices.blank(tx, customer),
            "amount_due": total,
            "amount_remaining": total,
            "automatic_tax": invoices.shown_automatic({"automatic_tax": session["automatic_tax"]}),
            "billing_reason": "manual",
            "currency": session["currency"],
            "default_payment_method": None,
            "description": base["description"],
            "lines": {**list_of(found, ""), "total_count": len(found)},
            "metadata": base["metadata"],
            "parent": None,
            "period_start": tx.now,
            "period_end": tx.now,
            "starting_balance": 0,
            "subtotal": subtotal,
            "subtotal_excluding_tax": subtotal,
            "total": total,
            "total_excluding_tax": subtotal,
            "total_taxes": on_top,
        },
        first_failed_at=None,
    )
    invoice["lines"]["url"] = f"/v1/invoices/{invoice['id']}/lines"
    for line in found:
        line["invoice"] = invoice["id"]
    events.emit(tx, "invoice.created", invoice)
    invoices.open_paid(tx, invoice, customer, intent)
    return invoice


def _line(tx: Tx, customer: Doc, item: Doc, source: Doc) -> Doc:
    price = tx.get("price", item["price"])
    line = lines.once(tx, price, item["quantity"], new_id("invoiceitem"))
    taxes.put_on(tx, customer, source, [line])
    return line


def _totals(found: list[Doc]) -> list[Doc]:
    by_rate: dict[str, Doc] = {}
    for tax in (tax for line in found for tax in line["taxes"]):
        kept = by_rate.setdefault(tax["tax_rate_details"]["tax_rate"], {**tax, "amount": 0, "taxable_amount": 0})
        kept["amount"] += tax["amount"]
        kept["taxable_amount"] += tax["taxable_amount"]
    return list(by_rate.values())
