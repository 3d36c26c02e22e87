"""The doctor's checks of Stripe: key, webhook endpoint, catalog, events."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from portal.catalog import flows
from portal.cli.doctor_checks import config
from portal.cli.doctor_findings import FAIL, OK, WARN, Check, Finding
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import PortalError
from portal.kit.unit_of_work import end_reading
from portal.stripe_events.models import WebhookEvent

HOOK = "/api/v1/webhooks/stripe"
#: Without one of these the portal learns of it only when it reconciles at night.
NEEDED = frozenset(
    {
        "checkout.session.completed",
        "checkout.session.expired",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_failed",
        "subscription_schedule.released",
        "payment_method.attached",
        "payment_method.detached",
        "payment_method.automatically_updated",
        "refund.created",
        "refund.updated",
        "charge.dispute.created",
        "charge.dispute.closed",
        "credit_note.created",
        "credit_note.voided",
    }
)


def account() -> Iterator[Finding]:
    """Does the key work, and whose is it?"""
    if not stripe.is_configured():
        yield Finding(WARN, "stripe", "no STRIPE_SECRET_KEY: nobody can pay by card")
        return
    try:
        found = stripe.current().account()
    except PortalError as error:
        says = "refuses the key" if error.code == "stripe_key" else f"does not answer ({error.code})"
        yield Finding(FAIL, "stripe", says, "check STRIPE_SECRET_KEY, and STRIPE_API_BASE for the sandbox")
        return
    mode = _mode()
    says = f"{mode}, account {found['id']}"
    if config().app_env == "production" and mode != "live mode":
        yield Finding(WARN, "stripe", f"{says}: no real money moves", "use the live key")
    else:
        yield Finding(OK, "stripe", says)


def _mode() -> str:
    if config().stripe_api_base:
        return "sandbox"
    live = config().stripe_secret_key.get_secret_value().startswith(("sk_live_", "rk_live_"))
    return "live mode" if live else "test mode"


def webhook() -> Iterator[Finding]:
    """Does Stripe send its events here, all that matter, in the version that we read?"""
    if not stripe.is_configured():
        return
    if not config().webhook_secrets:
        yield Finding(FAIL, "webhook", "STRIPE_WEBHOOK_SECRET is not set", "take it from the endpoint at Stripe")
    url = config().base_url.rstrip("/") + HOOK
    ours = [e for e in stripe.current().webhook_endpoints() if e["url"].rstrip("/") == url]
    if not ours:
        yield Finding(FAIL, "webhook", f"Stripe knows no endpoint {url}", "make one at Stripe, or check BASE_URL")
    for endpoint in ours:
        yield from _endpoint(endpoint)


def _endpoint(endpoint: dict[str, Any]) -> Iterator[Finding]:
    from stripe import api_version

    enabled = set(endpoint["enabled_events"])
    missing = [] if "*" in enabled else sorted(NEEDED - enabled)
    if endpoint["status"] != "enabled":
        then = "enable it, then flask stripe reconcile --repair"
        yield Finding(FAIL, "webhook", "the endpoint is disabled at Stripe", then)
    elif missing:
        yield Finding(WARN, "webhook", f"is not told of {', '.join(missing)}", "add these events to the endpoint")
    elif endpoint["api_version"] != api_version:
        says = f"events come as {endpoint['api_version'] or 'the account’s version'}, the portal reads {api_version}"
        yield Finding(WARN, "webhook", says, f"make the endpoint anew with the version {api_version}")
    else:
        yield Finding(OK, "webhook", f"{endpoint['url']}, {api_version}")


def catalog() -> Iterator[Finding]:
    """Is there something to push?"""
    if not stripe.is_configured():
        return
    if steps := flows.push(stripe.current(), dry_run=True):
        says = f"{len(steps)} changes are not at Stripe yet"
        yield Finding(WARN, "catalog", says, "flask stripe push (shows them first)")
    else:
        yield Finding(OK, "catalog", "Stripe is in step")


def events() -> Iterator[Finding]:
    """Events that failed here, and those that did not arrive in the last day."""
    failed = db.session.scalar(select(func.count()).select_from(WebhookEvent).where(WebhookEvent.state == "failed"))
    end_reading()
    if failed:
        says = f"{failed} of Stripe's failed"
        yield Finding(WARN, "events", says, "flask jobs dead shows why; flask stripe reconcile --repair puts it right")
    else:
        yield Finding(OK, "events", "none failed")
    if stripe.is_configured():
        yield from _undelivered()


def _undelivered() -> Iterator[Finding]:
    since = int((clock.business() - timedelta(days=1)).timestamp())
    if waiting := stripe.current().events_undelivered(since, sorted(NEEDED)):
        says = f"{len(waiting)} of the last day have not arrived"
        yield Finding(WARN, "events", says, f"can Stripe reach {HOOK}? flask stripe reconcile --repair puts it right")


CHECKS: tuple[Check, ...] = (account, webhook, catalog, events)
