"""The hosted invoice page: what is owed, paid with another card or after authentication; and the invoice as a PDF."""

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from portal.sandbox import cards, customers, events, lines, pdf, standing
from portal.sandbox.api import sandbox
from portal.sandbox.card_form import CardForm, buttons, refusal
from portal.sandbox.tx import Doc, Tx

bp = Blueprint("hosted_invoice", __name__, url_prefix="/i")
Page = str | tuple[str, int] | AnyResponse
FAILED = "We are unable to authenticate your payment method. Please choose a different payment method and try again."


def _invoice(tx: Tx, ident: str) -> Doc:
    found = tx.find(ident)
    if found is None or found["object"] != "invoice" or found["status"] == "draft":
        abort(404)
    return found


def _taxes(tx: Tx, invoice: Doc) -> list[Doc]:
    found = []
    for tax in invoice["total_taxes"]:
        rate = tx.get("tax_rate", tax["tax_rate_details"]["tax_rate"])
        found.append({"name": rate["display_name"], "percentage": f"{rate['percentage']:g}", "amount": tax["amount"]})
    return found


def _page(tx: Tx, invoice: Doc, form: CardForm, message: str = "") -> Page:
    body = render_template(
        "sandbox/invoice.html",
        invoice=invoice,
        taxes=_taxes(tx, invoice),
        account=tx.config.account_name,
        cards=buttons(),
        form=form,
        message=message,
    )
    return (body, 402) if message else (body, 422) if form.errors else body


@bp.get("/<ident>")
def show(ident: str) -> Page:
    """The invoice, with a way to pay while it is open."""
    sandbox().run_due()
    with sandbox().begin() as tx:
        invoice = _invoice(tx, ident)
        return _page(
            tx,
            invoice,
            CardForm.blank(
                request.args.get("card", ""), request.args.get("name", invoice["customer_name"] or "")[:200]
            ),
        )


@bp.post("/<ident>")
def pay(ident: str) -> Page:
    """Pay with the card that was typed; it becomes the subscription's card."""
    sandbox().run_due()
    with sandbox().begin() as tx:
        invoice = _invoice(tx, ident)
        form = CardForm.typed(request.form, tx.now)
        if invoice["status"] not in ("open", "uncollectible") or form.errors:
            return _page(tx, invoice, form)
        method = form.card(tx)
        if decline := cards.behaviour(form.digits).attach:
            return _page(tx, invoice, form, cards.DECLINES[decline][1])
        return _try(tx, invoice, method, form, authenticated=False)


def _try(tx: Tx, invoice: Doc, method: Doc, form: CardForm, *, authenticated: bool) -> Page:
    outcome = standing.pay(tx, invoice, method, present=True, authenticated=authenticated)
    if outcome.kind == "declined":
        return _page(tx, invoice, form, refusal(outcome))
    if outcome.kind == "action":
        invoice["_private"]["challenge"] = method["id"]
        return redirect(url_for("hosted_invoice.challenge", ident=invoice["id"]), 303)
    customer = tx.get("customer", invoice["customer"])
    customers.attach_card(tx, method, customer)
    subscription = standing.subscription_of(tx, invoice)
    subscription["default_payment_method"] = method["id"]
    events.emit(tx, "customer.subscription.updated", subscription)
    return redirect(url_for("hosted_invoice.show", ident=invoice["id"]), 303)


@bp.get("/<ident>/authenticate")
def challenge(ident: str) -> Page:
    """The bank's page."""
    with sandbox().begin() as tx:
        invoice = _invoice(tx, ident)
        if invoice["status"] not in ("open", "uncollectible") or not invoice["_private"].get("challenge"):
            return redirect(url_for("hosted_invoice.show", ident=ident), 303)
        amount = lines.money(invoice["amount_due"], invoice["currency"])
        return render_template("sandbox/authenticate.html", account=tx.config.account_name, amount=amount)


@bp.post("/<ident>/authenticate")
def authenticate(ident: str) -> Page:
    """The bank's answer: complete or fail."""
    sandbox().run_due()
    with sandbox().begin() as tx:
        invoice = _invoice(tx, ident)
        waiting = invoice["_private"].pop("challenge", None)
        if invoice["status"] not in ("open", "uncollectible") or not waiting:
            return redirect(url_for("hosted_invoice.show", ident=ident), 303)
        method = tx.get("payment_method", waiting)
        form = CardForm.blank(method["_private"]["number"], method["billing_details"]["name"] or "")
        if request.form.get("answer") != "complete":
            return _page(tx, invoice, form, FAILED)
        return _try(tx, invoice, method, form, authenticated=True)


@bp.get("/<ident>/pdf")
def document(ident: str) -> AnyResponse:
    """The invoice as a PDF."""
    with sandbox().begin() as tx:
        invoice = _invoice(tx, ident)
        return Response(
            pdf.page(_text(tx, invoice)), mimetype="application/pdf", headers={"Content-Disposition": _name(invoice)}
        )


def _name(invoice: Doc) -> str:
    return f'inline; filename="Invoice-{invoice["number"]}.pdf"'


def _text(tx: Tx, invoice: Doc) -> list[str]:
    currency = invoice["currency"]
    rows = [f"{lines.money(line['amount'], currency):>14}   {line['description']}" for line in invoice["lines"]["data"]]
    return [
        f"{invoice['account_name']}: invoice {invoice['number']} (sandbox, no real money)",
        f"Date: {lines.day(invoice['effective_at'])}    Status: {invoice['status']}",
        f"To: {invoice['customer_name'] or ''} {invoice['customer_email'] or ''}",
        "",
        *rows,
        *(
            f"{lines.money(tax['amount'], currency):>14}   {tax['name']} {tax['percentage']} %"
            for tax in _taxes(tx, invoice)
        ),
        "",
        f"Total: {lines.money(invoice['total'], currency)}",
        f"Balance applied: {lines.money(invoice['starting_balance'] - invoice['ending_balance'], currency)}",
        f"Amount due: {lines.money(invoice['amount_due'], currency)}",
    ]
