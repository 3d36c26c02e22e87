"""Setting a limit or a feature for one vendor (LIM-7), and the tab that says why each is what it is."""

from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, g, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, DateField, HiddenField, IntegerField, SelectField, TextAreaField
from wtforms.validators import DataRequired, Length, NumberRange, Optional

from portal.catalog.rules import FEATURE_LEVELS, FEATURE_NAMES, LEVEL_NAMES, METRIC_NAMES, ON
from portal.entitlements.explain import Right
from portal.entitlements.overrides import REASON_MAX, Wish, name_of
from portal.entitlements.rules import Kind
from portal.identity.rules import StaffKind
from portal.kit import clock
from portal.kit.errors import Invalid, NotFound
from portal.kit.unit_of_work import unit_of_work
from portal.reporting import rights, vendor_detail
from portal.subscriptions import overrides, queries
from portal.usage.rules import MOST_QUANTITY
from portal.web.admin import right_words
from portal.web.kit import audience, responder, signed_in
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_override", __name__)
TEMPLATE = "admin/override/page.html"
#: Takes a feature away.
NONE = "none"
MOST = _l("Give a whole number from 0 to 1,000,000,000.")


class OverrideForm(Form):
    """The value (a number or none at all for a limit, a level for a feature), until when, and why."""

    what = HiddenField()
    amount = IntegerField(_l("New limit"), validators=[Optional(), NumberRange(0, MOST_QUANTITY, MOST)])
    unlimited = BooleanField(_l("Without a limit"))
    level = SelectField(_l("Level"), choices=[], validate_choice=False)
    until = DateField(_l("Last day"), validators=[Optional()])
    reason = TextAreaField(
        _l("Reason"),
        validators=[
            DataRequired(_l("Say why, so that colleagues understand it later.")),
            Length(max=REASON_MAX, message=_l("Use at most 500 characters.")),
        ],
    )
    notify = BooleanField(_l("Notify vendor by email"))

    def wish(self, kind: Kind, key: str) -> Wish:
        """What was entered; Invalid at the field for what no single field can tell."""
        until = _end_of(self.until.data) if self.until.data else None
        if kind == Kind.FEATURE:
            level = None if self.level.data == NONE else str(self.level.data or "")
            return Wish(kind, key, self.reason.data, level=level, until=until)
        if self.amount.data is None and not self.unlimited.data:
            raise Invalid(fields={"amount": str(MOST)})
        amount = None if self.unlimited.data else self.amount.data
        return Wish(kind, key, self.reason.data, amount=amount, until=until)


def tab(vendor_id: int, _cursor: str | None) -> dict[str, Any]:
    """Every limit and feature with its reasons; staff who may change them have the buttons."""
    found = rights.read(vendor_id, clock.business())
    may_change = signed_in.person().staff in (StaffKind.ADMIN, StaffKind.FINANCE)
    return {"rights": found.rights, "addons": found.addons, "say": right_words, "may_set": may_change,
            "others": _others(found.rights)}  # fmt: skip


def _others(held: list[Right]) -> list[tuple[str, str]]:
    """Limits and features that nothing grants: an override may bring them (what, name)."""
    there = {(right.kind, right.key) for right in held}
    every = [(Kind.LIMIT, str(metric), name) for metric, name in METRIC_NAMES.items()]
    every += [(Kind.FEATURE, key, name) for key, name in FEATURE_NAMES.items()]
    return [(f"{kind}:{key}", _(name)) for kind, key, name in every if (kind, key) not in there]


@blueprint.get("/admin/vendors/<int:vendor_id>/override")
@audience.staff(StaffKind.FINANCE)
def form(vendor_id: int) -> Response:
    """The modal for the limit or feature that the address names, or the page where there is no JavaScript."""
    return _show(vendor_id, OverrideForm(None), request.args.get("what", ""), fresh=True)


@blueprint.post("/admin/vendors/<int:vendor_id>/override")
@audience.staff(StaffKind.FINANCE)
def override(vendor_id: int) -> Response:
    """Let it hold from now on. What fails comes back in the same form."""
    head, filled = vendor_detail.head(vendor_id), OverrideForm()
    kind, key = _named(filled.what.data or "")
    if not filled.validate():
        return _show(vendor_id, filled, f"{kind}:{key}", 422)
    try:
        wish = filled.wish(kind, key)
        with unit_of_work():
            overrides.set_override(
                vendor_id, wish, notify=bool(filled.notify.data), actor=signed_in.actor(), now=clock.business()
            )
    except Invalid as error:
        filled.refuse(error)
        return _show(vendor_id, filled, f"{kind}:{key}", 422)
    message = _(
        "%(what)s of %(vendor)s: %(value)s.", what=_(name_of(kind, key)), vendor=head.name,
        value=right_words.value(kind, wish.amount, wish.level),
    )  # fmt: skip
    return _done(vendor_id, message)


@blueprint.post("/admin/vendors/<int:vendor_id>/overrides/<int:override_id>/end")
@audience.staff(StaffKind.FINANCE)
def end(vendor_id: int, override_id: int) -> Response:
    """Tier and add-ons count again; a second click changes nothing."""
    vendor_detail.head(vendor_id)
    with unit_of_work():
        overrides.end_override(vendor_id, override_id, actor=signed_in.actor(), now=clock.business())
    return _done(vendor_id, _("Ended: the tier and the add-ons count again."))


def _done(vendor_id: int, message: str) -> Response:
    here = url_for("admin_vendor_detail.index", vendor_id=vendor_id, tab="limits")
    return responder.done(here, message, "usage-changed", "history-changed")


def _named(what: str) -> tuple[Kind, str]:
    """The limit or feature that an address or a form names; NotFound for one that there is not."""
    kind, _colon, key = what.partition(":")
    if (kind == Kind.LIMIT and key in set(METRIC_NAMES)) or (kind == Kind.FEATURE and key in FEATURE_NAMES):
        return Kind(kind), key
    raise NotFound


def _end_of(last: date) -> datetime:
    """The last second of a day, where the reader is."""
    return datetime.combine(last, time(23, 59, 59), ZoneInfo(g.get("time_zone") or "UTC"))


def _show(vendor_id: int, filled: OverrideForm, what: str, status: int = 200, *, fresh: bool = False) -> Response:
    head = vendor_detail.head(vendor_id)
    kind, key = _named(what)
    filled.what.data = what
    if kind == Kind.FEATURE:
        filled.level.choices = [*((x, _(LEVEL_NAMES[x])) for x in FEATURE_LEVELS.get(key, (ON,))),
                                (NONE, _("Not included"))]  # fmt: skip
    found = rights.read(vendor_id, clock.business())
    held = next((right for right in found.rights if (right.kind, right.key) == (kind, key)), None)
    if fresh and held is not None:
        filled.amount.data, filled.level.data = held.amount, held.level or NONE
        filled.unlimited.data = kind == Kind.LIMIT and held.amount is None
    return responder.respond(
        TEMPLATE, "modal", status=status, head=head, form=filled, kind=kind.value, name=_(name_of(kind, key)),
        held=held, addons=found.addons, say=right_words, possible=queries.version(vendor_id) is not None,
    )  # fmt: skip
