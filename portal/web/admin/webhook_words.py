"""What became of Stripe's events, in words."""

import re

from flask_babel import gettext as _

from portal.stripe_events.queries import EventRow, JobView
from portal.web.kit import filters


def state(value: str) -> tuple[str, str]:
    """A state as its badge says it, with the badge's tone."""
    return {
        "received": (_("Waiting"), "info"),
        "handled": (_("Handled"), "good"),
        "ignored": (_("Not needed"), "neutral"),
        "failed": (_("Failed"), "bad"),
    }.get(value, (value, "neutral"))


def error(row: EventRow) -> str | None:
    """Why it was passed over or failed, and what helps; None when there is nothing to say."""
    if not row.error:
        return None
    return _ignored(row.error) if row.state == "ignored" else _failed(row.error)


def _ignored(why: str) -> str:
    return {
        "not needed": _("The portal does not follow events of this type."),
        "no order of ours": _("Its Checkout page was not opened by this portal."),
        "no subscription": _("It belongs to no subscription."),
        "no invoice": _("It names no invoice."),
        "unknown customer": _("No vendor here has this Stripe customer."),
        "not the vendor's subscription": _("The vendor's subscription here is another one, or there is none."),
        "nothing that is kept here": _("It changed nothing that the portal keeps."),
        "not known to Stripe": _("Stripe no longer knows what it is about."),
    }.get(why, why)


def _failed(text: str) -> str:
    """The cause is kept as ``Kind: code: sentence``; most codes have better words here."""
    parts = text.split(": ", 2)
    code = parts[1] if len(parts) > 1 else ""
    known = {
        "stripe_unavailable": _("Stripe did not answer in time. It is tried again by itself."),
        "stripe_key": _("Stripe refused our key. Check STRIPE_SECRET_KEY, then replay."),
        "stripe_not_configured": _("No Stripe key is set here. Set STRIPE_SECRET_KEY, then replay."),
        "conflict": _("The subscription kept changing meanwhile. It is tried again by itself."),
    }
    if len(parts) == 3 and (price := re.search(r"price that the catalog does not have: (\S+)", parts[2])):
        return _("Stripe names a price that the catalog does not have: %(price)s. Add it, then replay.", price=price[1])
    return known.get(code, text)


def job(view: JobView | None) -> str:
    """How far the work on it is."""
    if view is None:
        return _("Its job was cleared away.")
    if view.state == "done":
        return _("Done.")
    if view.state == "dead":
        return _("Given up after %(tries)s tries. Replay it when the cause is gone.", tries=view.attempts)
    if view.attempts:
        moment = filters.moment(view.run_at)
        return _("Tried %(tries)s times; the next try comes at %(moment)s.", tries=view.attempts, moment=moment)
    return _("Waits for its turn.")
