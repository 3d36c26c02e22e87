"""Refusals in Stripe's shape: {"error": {type, code, message, param, decline_code}} with their HTTP status."""

from typing import Any


class StripeError(Exception):
    """An answer that is an error. `keep` commits what the call did before it failed (a declined charge is history)."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        keep: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keep = keep
        fields = {"type": kind, "message": message, "code": code, "param": param, **more}
        self.error = {name: value for name, value in fields.items() if value is not None}
        if code:
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"

    def body(self) -> dict[str, Any]:
        """The JSON answer."""
        return {"error": self.error}


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> StripeError:
    """A request that Stripe would call invalid (400 unless said otherwise)."""
    return StripeError(status, "invalid_request_error", message, code=code, param=param)


def missing(kind: str, given: str, *, param: str = "id", status: int = 404) -> StripeError:
    """An object that does not exist: 404 when the path names it, 400 when a parameter does."""
    return invalid(f"No such {kind}: '{given}'", param=param, code="resource_missing", status=status)


def unsupported(message: str, *, param: str | None = None) -> StripeError:
    """Stripe can do this, the sandbox cannot (yet): said plainly instead of half done."""
    return invalid(f"The sandbox does not support this: {message}", param=param, code="sandbox_unsupported")


def card_declined(message: str, code: str, decline_code: str | None, *, keep: bool = False, **more: Any) -> StripeError:
    """402: the card was refused; `decline_code` says why the issuer refused."""
    return StripeError(402, "card_error", message, code=code, decline_code=decline_code, keep=keep, **more)
