"""Forms: trimmed input, one way to show what a room refused at the field it belongs to."""

from datetime import UTC, datetime
from typing import Any

from flask_babel import gettext as _
from flask_wtf import FlaskForm
from wtforms import Field, StringField
from wtforms.validators import ValidationError

from portal.kit.errors import PortalError


def trimmed(value: Any) -> Any:
    """Strip outer white space; leave everything else."""
    return value.strip() if isinstance(value, str) else value


def no_control_characters(_form: Any, field: Field) -> None:
    """Refuse NUL and other control characters: they belong in no name, and PostgreSQL refuses NUL."""
    if isinstance(field.data, str) and any((ord(c) < 32 and c not in "\r\n\t") or ord(c) == 127 for c in field.data):
        raise ValidationError(_("This contains characters that cannot be used here."))


class Form(FlaskForm):
    """Base of every form: CSRF by Flask-WTF, strings trimmed, control characters refused."""

    class Meta(FlaskForm.Meta):
        """Bind the filters and checks to every text field."""

        def bind_field(self, form: Any, unbound_field: Any, options: dict[str, Any]) -> Any:
            """Trim text fields (never passwords) and refuse control characters."""
            if (
                issubclass(unbound_field.field_class, StringField)
                and "Password" not in unbound_field.field_class.__name__
            ):
                options["filters"] = [*unbound_field.kwargs.get("filters", []), trimmed]
            bound = super().bind_field(form, unbound_field, options)
            if isinstance(bound, StringField):
                bound.validators = [*bound.validators, no_control_characters]
            return bound

    def refuse(self, error: PortalError) -> None:
        """Put a room's refusal at its fields; what belongs to none stands above the form."""
        for name, message in error.fields.items():
            if name in self._fields:
                self._fields[name].errors = [*self._fields[name].errors, _(message)]
            else:
                self.form_errors.append(_(message))
        if not error.fields:
            self.form_errors.append(_(error.message) % error.params if error.params else _(error.message))


def second(timestamp: int | None) -> datetime | None:
    """A hidden field's Unix seconds as a time; None for nothing and for what is no time of this world."""
    if timestamp is None or not 0 < timestamp < 2**33:
        return None
    return datetime.fromtimestamp(timestamp, UTC)
