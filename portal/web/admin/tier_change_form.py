"""The form that changes a vendor's tier, and the words of its choices."""

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, Field, HiddenField, IntegerField, RadioField, SelectChoice
from wtforms.validators import Optional, Regexp, ValidationError
from wtforms.widgets import HiddenInput

from portal.reporting.compare import Choice, Direction
from portal.reporting.tier_sheet import TierSheet
from portal.subscriptions.rules import When
from portal.web.admin import words
from portal.web.kit import filters
from portal.web.kit.forms import Form


def _offered(_form: Any, f: Field) -> None:
    """One of the choices that the form shows; nothing chosen and something made up read alike."""
    if str(f.data) not in [choice.value for choice in f.choices]:
        raise ValidationError(
            _("Choose one of the tiers that are on offer.") if f.name == "price" else _("Choose when it applies.")
        )


class TierChangeForm(Form):
    """New tier, when, and whether the vendor is told. ``base_version`` is the state that the person saw."""

    price = RadioField(_l("New tier"), choices=[], validate_choice=False, validators=[_offered])
    when = RadioField(_l("When to apply"), choices=[], validate_choice=False, validators=[_offered])
    notify = BooleanField(_l("Notify vendor by email"), default=True)
    base_version = HiddenField(
        validators=[Regexp(r"^\d{1,18}$", message=_l("This form is out of date. Load the page again, then send it."))]
    )

    proration_at = IntegerField(widget=HiddenInput(), validators=[Optional()])
    due_minor = IntegerField(widget=HiddenInput(), validators=[Optional()])

    def offer(self, sheet: TierSheet) -> None:
        """Fill in what can be chosen."""
        self.price.choices = [SelectChoice(str(c.price.id), c.tier.name) for c in sheet.choices if c.price]
        self.when.choices = _whens(sheet)


def _whens(sheet: TierSheet) -> list[SelectChoice]:
    """At once where nobody pays yet; a paid tier can also wait for the end of what is paid."""
    if sheet.overview is None or sheet.costs_nothing:
        return [SelectChoice(When.NOW.value, _("Immediately, at no cost"))]
    return [
        SelectChoice(When.NOW.value, _("Immediately (prorate current period)")),
        SelectChoice(When.NEXT.value, _("At next billing cycle (%(day)s)", day=filters.day(sheet.overview.period_end))),
    ]


def cards(sheet: TierSheet) -> list[dict[str, Any]]:
    """The choices as cards: price, and what choosing each would be."""
    return [_card(choice) for choice in sheet.choices]


def _card(choice: Choice) -> dict[str, Any]:
    word, tone = words.direction(choice.direction)
    offer = choice.price
    return {
        "value": offer.id if offer else f"contact-{choice.tier.code}",
        "label": choice.tier.name,
        "meta": words.rate(offer.amount, offer.cycle) if offer else _("Custom"),
        "badge": word,
        "badge_tone": tone,
        "disabled": offer is None,
    }


def first_guess(sheet: TierSheet, wanted_tier: str | None) -> Choice | None:
    """What is chosen when the form opens: the tier in the address, else the next one up, else the nearest below."""
    open_ones = [c for c in sheet.choices if c.price]
    named = [c for c in open_ones if c.tier.code == wanted_tier]
    up = [c for c in open_ones if c.direction == Direction.UPGRADE]
    down = [c for c in open_ones if c.direction == Direction.DOWNGRADE]
    return next(iter([*named, *up, *reversed(down), *open_ones]), None)
