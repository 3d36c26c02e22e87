"""The subscription's history in the vendor's words; what is only bookkeeping is left out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext

from portal.subscriptions.queries import HistoryLine
from portal.subscriptions.rules import Status
from portal.web.kit.filters import day

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """A line of the timeline."""

    title: str
    at: datetime
    text: str
    actor: str
    icon: str
    tone: str


def recent(history: list[HistoryLine], most: int = 6) -> list[Happening]:
    """The newest ``most`` lines that tell a vendor something, newest first."""
    told = [happening for line in history if (happening := _tell(line))]
    return told[:most]


def _tell(line: HistoryLine) -> Happening | None:
    kind = _KINDS.get(line.kind)
    if kind is None:
        return None
    icon, tone, words = kind
    title, text = words(line.data)
    return Happening(title, line.at, text, _by(line.by), icon, tone) if title else None


def _by(label: str) -> str:
    return _("automatically") if label in ("system", "Stripe") else label


def _date(value: object) -> str:
    return day(datetime.fromisoformat(str(value))) if value else ""


def _name(code: object) -> str:
    return str(code or "").replace("-", " ").capitalize()


def _trial_started(data: Data) -> tuple[str, str]:
    return _("Trial started"), _("Until %(date)s, without a card.", date=_date(data.get("ends")))


def _trial_extended(data: Data) -> tuple[str, str]:
    days = int(data.get("days") or 0)
    return (
        ngettext("Trial extended by %(num)d day", "Trial extended by %(num)d days", days),
        _("It now ends on %(date)s.", date=_date(data.get("ends"))),
    )


def _trial_refused(data: Data) -> tuple[str, str]:
    if data.get("reason") == "same card":
        return _("The rest of the trial ended"), _("This card has had a trial before.")
    return _("No further trial"), _("This person has had a trial before.")


def _payment_added(data: Data) -> tuple[str, str]:
    free = data.get("free_until")
    return _("Payment method added"), _("First charge on %(date)s.", date=_date(free)) if free else ""


def _period_paid(data: Data) -> tuple[str, str]:
    text = _("%(start)s to %(end)s", start=_date(data.get("start")), end=_date(data.get("end")))
    return _("Paid: invoice %(number)s", number=data.get("invoice") or "–"), text


def _tier_changed(data: Data) -> tuple[str, str]:
    before, after = _name(data.get("before")), _name(data.get("after"))
    if before == after:
        return _("Billing of %(tier)s changed", tier=after), ""
    return _("Plan changed to %(tier)s", tier=after), _("It was %(tier)s before.", tier=before)


def _status_changed(data: Data) -> tuple[str, str]:
    titles: dict[str, str] = {
        Status.ACTIVE: _("Subscription active"),
        Status.PAST_DUE: _("Payment failed"),
        Status.SUSPENDED: _("Subscription suspended"),
        Status.CANCELLED: _("Subscription ended"),
        Status.PENDING_PAYMENT: _("Waiting for payment"),
    }
    return titles.get(str(data.get("after")), ""), ""


def _scheduled(data: Data) -> tuple[str, str]:
    return _("Change to %(tier)s planned", tier=data.get("after") or ""), _("On %(date)s.", date=_date(data.get("at")))


def _cancellation(data: Data) -> tuple[str, str]:
    if data.get("at_period_end"):
        return _("Cancelled for the end of the period"), ""
    return _("Cancellation taken back"), ""


def _cancel_requested(data: Data) -> tuple[str, str]:
    if data.get("at_once"):
        return _("Ended at once"), _("Everything is kept.")
    return _("Cancelled for %(date)s", date=_date(data.get("ends"))), _("Everything stays open until then.")


def _plain(title: Callable[[], str], text: Callable[[], str] = lambda: "") -> Callable[[Data], tuple[str, str]]:
    return lambda _data: (title(), text())


_KINDS: dict[str, tuple[str, str, Callable[[Data], tuple[str, str]]]] = {
    "trial_started": ("rocket", "accent", _trial_started),
    "trial_extended": ("calendar", "accent", _trial_extended),
    "trial_ended": ("hourglass", "", _plain(lambda: _("Trial ended"), lambda: _("Everything is kept."))),
    "trial_refused": ("info-circle", "", _trial_refused),
    "payment_added": ("credit-card", "good", _payment_added),
    "transfer_chosen": ("building-bank", "", _plain(lambda: _("Bank transfer chosen"))),
    "proof_sent": ("upload", "", _plain(lambda: _("Proof of payment sent"))),
    "renewal_invoiced": ("receipt", "", _plain(lambda: _("Renewal invoiced"))),
    "period_paid": ("receipt", "good", _period_paid),
    "tier_changed": ("stack-2", "accent", _tier_changed),
    "status_changed": ("activity", "", _status_changed),
    "change_scheduled": ("calendar-due", "", _scheduled),
    "change_undone": ("history", "", _plain(lambda: _("Planned change taken back"))),
    "change_refused": ("circle-x", "bad", _plain(lambda: _("Change refused"), lambda: _("The plan stays as it was."))),
    "change_awaits_payment": ("clock", "", _plain(lambda: _("Change waits for its payment"))),
    "cancel_requested": ("calendar", "", _cancel_requested),
    "cancel_refused": (
        "circle-x",
        "bad",
        _plain(lambda: _("Not cancelled"), lambda: _("Your plan goes on.")),
    ),
    "resumed": ("history", "good", _plain(lambda: _("Cancellation taken back"))),
    "cancellation_changed": ("calendar", "", _cancellation),
}
