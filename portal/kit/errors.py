"""Errors that a person or a program is told about: a stable code, a message id with parameters, a status."""

from collections.abc import Mapping
from typing import Any

from portal.kit.text import N_


class PortalError(Exception):
    """Base of everything a door may show.

    ``message`` is a gettext message id with named placeholders, filled from ``params`` after translation.
    ``fields`` maps a form field's name to its own message id. ``action`` is (label, endpoint-independent URL)
    for what to do now. ``facts`` are JSON values that programs are told beside the words (metric, limit, usage).
    """

    status = 500
    code = "internal_error"
    message = N_("Something failed on our side.")

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        fields: Mapping[str, str] | None = None,
        action: tuple[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> None:
        self.message = message or type(self).message
        self.code = code or type(self).code
        self.fields = dict(fields or {})
        self.action = action
        self.facts = dict(facts or {})
        self.params = params
        super().__init__(self.code)

    def __str__(self) -> str:
        return f"{self.code}: {self.message % self.params if self.params else self.message}"


class Unauthenticated(PortalError):
    """Nobody is signed in, or the proof of it is wrong."""

    status, code, message = 401, "unauthenticated", N_("Please sign in.")


class PaymentRequired(PortalError):
    """The vendor must pay, choose a tier or buy credits first."""

    status, code, message = 402, "payment_required", N_("This needs an active plan.")


class Forbidden(PortalError):
    """Known, but not allowed: a role, a tier's limit or a feature stands in the way."""

    status, code, message = 403, "forbidden", N_("You may not do this.")


class NotFound(PortalError):
    """Missing, or somebody else's: both answer alike."""

    status, code, message = 404, "not_found", N_("There is nothing here.")


class Conflict(PortalError):
    """The thing changed meanwhile, or is in a state that does not allow this."""

    status, code, message = 409, "conflict", N_("This was changed meanwhile. Look again, then decide.")


class TooLarge(PortalError):
    """More bytes than we take."""

    status, code, message = 413, "too_large", N_("That is too large.")


class Invalid(PortalError):
    """Input that does not fit; ``fields`` says where."""

    status, code, message = 422, "invalid", N_("Please check what you entered.")


class TooMany(PortalError):
    """A rate limit; ``retry_after`` is in seconds."""

    status, code, message = 429, "too_many_requests", N_("Too many attempts. Please wait a little.")

    def __init__(self, message: str | None = None, *, retry_after: int = 60, **params: Any) -> None:
        super().__init__(message, **params)
        self.retry_after = retry_after


class Unavailable(PortalError):
    """Somebody we depend on does not answer; the outcome may be unknown."""

    status, code = 503, "unavailable"
    message = N_("A service we depend on does not answer. Nothing is lost; please try again in a minute.")
