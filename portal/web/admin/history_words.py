"""A subscription's events in words (SUB-12): one sentence a kind, with who, when and why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext

from portal.entitlements import overrides
from portal.entitlements.rules import Kind
from portal.kit.money import Money
from portal.reporting.vendor_detail import HistoryRow, Names
from portal.web.admin import right_words, words
from portal.web.kit import filters


@dataclass(frozen=True, slots=True)
class Line:
    """An event as the timeline shows it."""

    title: str
    text: str
    at: datetime
    actor: str
    icon: str
    tone: str


@dataclass(frozen=True, slots=True)
class _Event:
    """The row with what its sentence needs."""

    row: HistoryRow
    names: Names

    def tier(self, key: str) -> str:
        code = str(self.row.data.get(key) or "")
        return self.names.tiers.get(code, code)

    def day(self, key: str) -> str:
        value = self.row.data.get(key)
        return filters.day(datetime.fromisoformat(value)) if value else ""

    def number(self, key: str) -> int:
        return int(self.row.data.get(key) or 0)

    @property
    def price(self) -> str:
        found = self.names.prices.get(self.number("price"))
        if found is None:
            return _("another tier")
        return _("%(tier)s at %(rate)s", tier=found.tier, rate=words.rate(found.amount, found.cycle))


def lines(rows: Iterable[HistoryRow], names: Names) -> list[Line]:
    """The events in words, in the order given."""
    return [_line(_Event(row, names)) for row in rows]


def _line(event: _Event) -> Line:
    say, icon, tone = _KINDS.get(event.row.kind, (_unknown, "circle-dot", ""))
    row = event.row
    return Line(say(event), _why(row.reason), row.at, words.who(row.actor_kind, row.by), icon, tone)


def _why(reason: str | None) -> str:
    """The reason: the machinery's own in the reader's language, a person's as it was typed."""
    known = {
        "same person": _("Because this person had a trial before."),
        "same card": _("Because this card had a trial before."),
        "payment failed": _("Because the invoice stayed unpaid."),
        "not paid in time": _("Because it was not paid in time."),
        "released in Stripe": _("Because it was taken back in Stripe."),
        "target retired": _("Because that tier is not sold any more."),
    }
    return known.get(reason, _("Reason: %(reason)s", reason=reason)) if reason else ""


def _unknown(event: _Event) -> str:
    return event.row.kind.replace("_", " ").capitalize()


def _trial_started(event: _Event) -> str:
    return _("Trial of %(tier)s started, until %(day)s", tier=event.tier("tier"), day=event.day("ends"))


def _trial_extended(event: _Event) -> str:
    days = event.number("days")
    return ngettext(
        "Trial extended by %(num)d day, until %(day)s",
        "Trial extended by %(num)d days, until %(day)s",
        days,
        day=event.day("ends"),
    )


def _tier_changed(event: _Event) -> str:
    before, after = event.tier("before"), event.tier("after")
    if before == after:
        return _("Price of %(tier)s changed", tier=after)
    return _("Tier changed from %(before)s to %(after)s", before=before, after=after)


def _change_requested(event: _Event) -> str:
    if event.row.data.get("when") == "next":
        return _("Change to %(price)s at the next billing cycle asked for", price=event.price)
    return _("Change to %(price)s at once asked for", price=event.price)


def _change_scheduled(event: _Event) -> str:
    return _("Change to %(tier)s planned for %(day)s", tier=event.tier("after"), day=event.day("at"))


def _status_changed(event: _Event) -> str:
    data: dict[str, Any] = event.row.data
    return _(
        "Standing changed from %(before)s to %(after)s",
        before=words.standing(data.get("before") or ""),
        after=words.standing(data.get("after") or ""),
    )


def _payment_added(event: _Event) -> str:
    if event.row.data.get("free_until"):
        return _("Payment method added; free until %(day)s", day=event.day("free_until"))
    return _("Payment method added")


def _transfer_chosen(event: _Event) -> str:
    number = event.row.data.get("proforma") or "–"
    return _("Bank transfer chosen for %(tier)s (proforma %(number)s)", tier=event.tier("tier"), number=number)


def _renewal_invoiced(event: _Event) -> str:
    return _(
        "Renewal from %(start)s to %(end)s invoiced (proforma %(number)s)",
        start=event.day("start"),
        end=event.day("end"),
        number=event.row.data.get("invoice") or "–",
    )


def _period(event: _Event) -> str:
    return _("New period from %(start)s to %(end)s", start=event.day("start"), end=event.day("end"))


def _period_paid(event: _Event) -> str:
    return _(
        "%(tier)s paid from %(start)s to %(end)s (invoice %(number)s)",
        tier=event.tier("tier"),
        start=event.day("start"),
        end=event.day("end"),
        number=event.row.data.get("invoice") or "–",
    )


def _cancellation(event: _Event) -> str:
    if event.row.data.get("at_period_end"):
        return _("Cancelled to the end of the period")
    return _("Cancellation taken back")


def _cancel_requested(event: _Event) -> str:
    said = event.row.data.get("feedback")
    why = words.feedback(str(said)) if said else ""
    if event.row.data.get("at_once"):
        return _("Ended at once (%(why)s)", why=why) if why else _("Ended at once")
    day = event.day("ends")
    return _("Cancelled for %(day)s (%(why)s)", day=day, why=why) if why else _("Cancelled for %(day)s", day=day)


def _named(event: _Event) -> str:
    """Which add-on: its product, and what tells it from others."""
    name, detail = filters.translated(str(event.row.data.get("addon") or "")), event.row.data.get("detail")
    return f"{name} ({detail})" if detail else name


def _addon_added(event: _Event) -> str:
    how = event.row.data.get("origin")
    if how == "included":
        return _("%(addon)s set up, included in the tier", addon=_named(event))
    if how == "given":
        return _("%(addon)s given", addon=_named(event))
    return _("%(addon)s bought", addon=_named(event))


def _addon_charged(event: _Event) -> str:
    data = event.row.data
    amount = filters.money(Money(int(data["minor"]), str(data["currency"])))
    if data.get("way") == "transfer":
        return _("%(addon)s: %(amount)s asked for by transfer", addon=_named(event), amount=amount)
    return _("%(addon)s: %(amount)s charged to the card", addon=_named(event), amount=amount)


def _addon_changed(event: _Event) -> str:
    data = event.row.data
    return _("%(addon)s: %(before)s became %(after)s", addon=filters.translated(str(data.get("addon") or "")),
             before=data.get("before") or "–", after=data.get("after") or "–")  # fmt: skip


def _override_set(event: _Event) -> str:
    data = event.row.data
    shown = right_words.value(Kind(data["what"]), data.get("amount"), data.get("level"))
    name = filters.translated(overrides.name_of(data["what"], data["key"]))
    if data.get("until"):
        return _("%(what)s set to %(value)s until %(day)s", what=name, value=shown, day=event.day("until"))
    return _("%(what)s set to %(value)s", what=name, value=shown)


def _override_ended(event: _Event) -> str:
    data = event.row.data
    name = filters.translated(overrides.name_of(data["what"], data["key"]))
    shown = right_words.value(Kind(data["what"]), data.get("amount"), data.get("level"))
    return _("%(what)s is no longer set to %(value)s", what=name, value=shown)


_KINDS: dict[str, tuple[Callable[[_Event], str], str, str]] = {
    "trial_started": (_trial_started, "rocket", "good"),
    "trial_refused": (lambda _event: _("No trial given"), "circle-x", "warn"),
    "trial_extended": (_trial_extended, "calendar", "info"),
    "trial_ended": (lambda _event: _("Trial ended"), "hourglass", "warn"),
    "tier_changed": (_tier_changed, "stack-2", "accent"),
    "change_requested": (_change_requested, "refresh", "info"),
    "change_scheduled": (_change_scheduled, "calendar-due", "info"),
    "change_undone": (lambda _event: _("Planned change taken back"), "history", ""),
    "change_refused": (lambda _event: _("Change refused; the tier stayed as it was"), "alert-circle", "bad"),
    "change_awaits_payment": (lambda _event: _("Change waits for the vendor to confirm the payment"), "clock", "warn"),
    "price_agreed": (lambda event: _("Price agreed: %(price)s", price=event.price), "tag", "accent"),
    "rights_granted": (
        lambda event: _("Limits and features of %(tier)s granted anew", tier=event.tier("tier")),
        "gauge",
        "",
    ),
    "override_set": (_override_set, "adjustments", "accent"),
    "override_ended": (_override_ended, "adjustments", ""),
    "agreed_price_withdrawn": (lambda _event: _("Agreed price withdrawn"), "tag", ""),
    "change_applied": (lambda _event: _("Change carried out"), "circle-check", "good"),
    "payment_added": (_payment_added, "credit-card", "good"),
    "transfer_chosen": (_transfer_chosen, "building-bank", "info"),
    "proof_sent": (lambda _event: _("Proof of payment sent"), "upload", "info"),
    "renewal_invoiced": (_renewal_invoiced, "receipt", "info"),
    "period_started": (_period, "calendar", ""),
    "period_paid": (_period_paid, "receipt", "good"),
    "status_changed": (_status_changed, "activity", ""),
    "cancel_requested": (_cancel_requested, "circle-x", "warn"),
    "cancel_refused": (lambda _event: _("Cancellation refused; the subscription goes on"), "alert-circle", "bad"),
    "resumed": (lambda _event: _("Cancellation taken back"), "history", "good"),
    "cancellation_changed": (_cancellation, "circle-x", "warn"),
    "addon_added": (_addon_added, "puzzle", "good"),
    "addon_changed": (_addon_changed, "puzzle", "info"),
    "addon_change_planned": (lambda e: _("%(addon)s: a change is planned", addon=_named(e)), "calendar-due", "info"),
    "addon_change_undone": (lambda e: _("%(addon)s: planned change taken back", addon=_named(e)), "history", ""),
    "addon_cancelled": (
        lambda e: _("%(addon)s ends on %(day)s", addon=_named(e), day=e.day("ends")),
        "circle-x",
        "warn",
    ),
    "addon_resumed": (lambda e: _("%(addon)s goes on after all", addon=_named(e)), "history", "good"),
    "addon_ended": (lambda e: _("%(addon)s ended", addon=_named(e)), "circle-x", ""),
    "addon_removal": (lambda e: _("%(addon)s is taken away", addon=_named(e)), "circle-x", "warn"),
    "addon_charged": (_addon_charged, "credit-card", "info"),
    "addon_kept": (lambda e: _("%(addon)s is kept and paid for", addon=_named(e)), "puzzle", "good"),
    "addon_unpaid": (lambda e: _("%(addon)s was not paid", addon=_named(e)), "alert-circle", "bad"),
    "addon_paid": (lambda e: _("%(addon)s is paid after all", addon=_named(e)), "circle-check", "good"),
}
