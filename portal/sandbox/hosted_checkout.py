"""The hosted Checkout page: pay, be declined, authenticate, leave, or let the session expire. Works without script."""

from urllib.parse import urlsplit

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.sandbox import checkout, delivery, lines, payments, session_shape, setup_mode
from portal.sandbox.api import sandbox
from portal.sandbox.card_form import CardForm, buttons, refusal
from portal.sandbox.payments import Outcome
from portal.sandbox.tx import Doc, Tx

bp = Blueprint("hosted_checkout", __name__, url_prefix="/c/pay")
Page = str | tuple[str, int] | Response
FAILED = "We are unable to authenticate your payment method. Please choose a different payment method and try again."


def _session(tx: Tx, ident: str) -> Doc:
    found = tx.find(ident)
    if found is None or found["object"] != "checkout.session":
        abort(404)
    # The browser follows the redirect after paying only where the form may lead.
    targets = [urlsplit(found[name]) for name in ("success_url", "cancel_url") if found[name]]
    g.form_targets = sorted({f"{target.scheme}://{target.netloc}" for target in targets})
    return found


@bp.get("/<ident>")
def show(ident: str) -> Page:
    """The page as it stands: open, complete or expired."""
    sandbox().run_due()
    with sandbox().begin() as tx:
        session = _session(tx, ident)
        details, typed = session["customer_details"], request.args
        name, email = typed.get("name", details["name"] or ""), typed.get("email", details["email"] or "")
        form = CardForm.blank(typed.get("card", ""), name[:200], email[:200])
        return _page(tx, session, form)


def _page(tx: Tx, session: Doc, form: CardForm, message: str = "") -> Page:
    if session["status"] != "open":
        return render_template("sandbox/closed.html", session=session, account=tx.config.account_name), 410
    renewal, recurring = checkout.expected_renewal(tx, session) if session["mode"] == "subscription" else (0, None)
    private = session["_private"]
    names = [lines.product_name(tx, tx.get("price", item["price"])) for item in private["line_items"]]
    body = render_template(
        "sandbox/checkout.html",
        session=session,
        account=tx.config.account_name,
        items=list(zip(names, private["line_items"], strict=True)),
        today=checkout.amount_due(tx, session),
        amount=renewal,
        per=lines.per(recurring) if recurring else "",
        trial_end=private.get("trial_end"),
        needs_card=_needs_card(session),
        wants_email=session["customer"] is None and not session["customer_email"],
        cards=buttons(),
        form=form,
        message=message,
    )
    return (body, 402) if message else (body, 422) if form.errors else body


def _needs_card(session: Doc) -> bool:
    always = session["mode"] != "subscription" or session["payment_method_collection"] == "always"
    return bool(always or session["amount_total"])


@bp.post("/<ident>")
def pay(ident: str) -> Page:
    """The customer presses the button."""
    sandbox().run_due()
    with sandbox().begin() as tx:
        session = _session(tx, ident)
        wants_email = session["customer"] is None and not session["customer_email"]
        form = CardForm.typed(request.form, tx.now, wants_email=wants_email) if _needs_card(session) else CardForm()
        if session["status"] != "open" or form.errors:
            return _page(tx, session, form)
        if wants_email:
            session["customer_email"] = form.email
        method = form.card(tx) if _needs_card(session) else None
        outcome = judge(tx, session, method, authenticated=False)
        if outcome.kind == "declined" and method:
            checkout.refused(tx, session, method, outcome)
            return _page(tx, session, form, refusal(outcome))
        if outcome.kind == "action" and method:
            session["_private"]["challenge"] = method["id"]
            return redirect(url_for("hosted_checkout.challenge", ident=ident), 303)
        checkout.complete(tx, session, method, form.name if method else None)
    return _leave(ident)


def judge(tx: Tx, session: Doc, method: Doc | None, *, authenticated: bool) -> Outcome:
    """What the issuer says to this card for today's amount; for nothing it is only asked whether the card is good."""
    if method is None:
        return Outcome("paid")
    if checkout.amount_due(tx, session):
        return payments.judge(tx, method, present=True, authenticated=authenticated)
    return setup_mode.judge(method, authenticated=authenticated)


@bp.get("/<ident>/authenticate")
def challenge(ident: str) -> Page:
    """The bank's page."""
    with sandbox().begin() as tx:
        session = _session(tx, ident)
        if session["status"] != "open" or not session["_private"]["challenge"]:
            return redirect(url_for("hosted_checkout.show", ident=ident), 303)
        amount = lines.money(checkout.amount_due(tx, session), session["currency"])
        return render_template("sandbox/authenticate.html", account=tx.config.account_name, amount=amount)


@bp.post("/<ident>/authenticate")
def authenticate(ident: str) -> Page:
    """The bank's answer: complete or fail."""
    sandbox().run_due()
    with sandbox().begin() as tx:
        session = _session(tx, ident)
        waiting = session["_private"]["challenge"]
        if session["status"] != "open" or not waiting:
            return _page(tx, session, CardForm.blank())
        session["_private"]["challenge"] = None
        method = tx.get("payment_method", waiting)
        form = CardForm.blank(method["_private"]["number"], method["billing_details"]["name"] or "")
        if request.form.get("answer") != "complete":
            checkout.refused(tx, session, method, Outcome("action"))
            return _page(tx, session, form, FAILED)
        method["_private"]["authenticated"] = True
        outcome = judge(tx, session, method, authenticated=True)
        if outcome.kind != "paid":
            checkout.refused(tx, session, method, outcome)
            return _page(tx, session, form, refusal(outcome))
        checkout.complete(tx, session, method, method["billing_details"]["name"])
    return _leave(ident)


def _leave(ident: str) -> Page:
    delivery.wait_for(sandbox(), "checkout.session.completed", ident, sandbox().config.redirect_wait)
    with sandbox().begin() as tx:
        target = _session(tx, ident)["success_url"]
    return redirect(target.replace("{CHECKOUT_SESSION_ID}", ident), 303)


@bp.post("/<ident>/expire")
def expire(ident: str) -> Page:
    """A mischief: the session expires now."""
    with sandbox().begin() as tx:
        session = _session(tx, ident)
        session_shape.close(tx, session)
        return _page(tx, session, CardForm.blank())
