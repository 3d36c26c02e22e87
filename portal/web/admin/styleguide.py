"""The style guide: every component in every state, with made-up values."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from flask import Blueprint, Response
from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import MultiDict
from wtforms import (
    BooleanField,
    DecimalField,
    EmailField,
    PasswordField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import Email, InputRequired, Length, NumberRange, Optional

from portal.kit.money import Money
from portal.web.kit import audience, charts, responder
from portal.web.kit.forms import Form

blueprint = Blueprint("admin_styleguide", __name__)


class SampleForm(Form):
    """One field of each kind; never sent anywhere."""

    name = StringField(_l("Company"), [InputRequired(_l("Say what your company is called."))])
    email = EmailField(_l("Email address"), [Email(_l("This does not look like an email address."))])
    password = PasswordField(_l("Password"), [Length(12, message=_l("Use at least 12 characters."))])
    price = DecimalField(_l("Agreed price"), [Optional(), NumberRange(min=0, message=_l("A price is not negative."))])
    country = SelectField(_l("Country"), choices=[SelectChoice("de", _l("Germany")), SelectChoice("fr", _l("France"))])
    comment = TextAreaField(_l("Comment"))
    tier = RadioField(
        _l("New tier"),
        choices=[
            SelectChoice("essential", "Essential"),
            SelectChoice("business", "Business"),
            SelectChoice("enterprise", "Enterprise"),
        ],
        default="business",
    )
    when = RadioField(
        _l("When to apply"),
        choices=[SelectChoice("now", _l("Immediately")), SelectChoice("cycle", _l("At the next billing cycle"))],
        validators=[InputRequired(_l("Choose when."))],
    )
    notify = BooleanField(_l("Notify the vendor by email"), [InputRequired(_l("Please confirm."))])
    auto_top_up = BooleanField(_l("Top up by itself"), default=True)


@blueprint.get("/admin/styleguide")
@audience.staff()
def index() -> Response:
    """The page; staff only, tested by axe."""
    return responder.respond("admin/styleguide/page.html", sample=_sample())


def _sample() -> SimpleNamespace:
    now = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
    earlier = now - timedelta(days=30)
    typed = MultiDict({"wrong-email": "ap@", "wrong-password": "short", "wrong-price": "-5"})
    wrong = SampleForm(typed, prefix="wrong", meta={"csrf": False})
    wrong.validate()
    return SimpleNamespace(
        now=now,
        earlier=earlier,
        later=now + timedelta(days=24),
        price=Money(4839, "EUR"),
        form=SampleForm(None, meta={"csrf": False}),
        wrong_form=wrong,
        chart=charts.by_day(
            [earlier.date() + timedelta(days=i) for i in range(30)],
            [8 + (i * 7) % 23 if i < 19 else None for i in range(30)],
            [5 + (i * 11) % 19 for i in range(30)],
            [earlier.date() + timedelta(days=i - 30) for i in range(30)],
        ),
        points=[{"label": str(day), "value": 60 + (day * 37) % 260} for day in range(1, 31)],
    )
