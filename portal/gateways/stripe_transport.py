"""How the SDK is set up, and its errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from portal.kit.errors import Conflict, NotFound, PaymentRequired, PortalError, Unavailable
from portal.kit.text import N_

if TYPE_CHECKING:
    from stripe import StripeClient


class StripeNotConfigured(PortalError):
    """This installation runs without Stripe."""

    status, code = 503, "stripe_not_configured"
    message = N_("Card payment is not set up here. Please write to support.")


class CardRefused(PaymentRequired):
    """The card was declined or must be confirmed by its owner; ``detail`` is Stripe's sentence for the customer."""

    code = "card_refused"
    message = N_("The card was refused: %(detail)s Nothing was changed.")


class StripeMismatch(Conflict):
    """Stripe does not take this in the state that the object is in now."""

    code = "stripe_refused"
    message = N_("Stripe does not allow this now: %(detail)s")


def client(secret_key: str, api_base: str, max_retries: int) -> "StripeClient":
    """The SDK's client; ``api_base`` empty: Stripe itself."""
    import stripe

    bases: Any = {"api": api_base} if api_base else {}
    return stripe.StripeClient(
        secret_key,
        max_network_retries=max_retries,
        base_addresses=bases,
        http_client=stripe.RequestsClient(timeout=(3.05, 20), session=_session(api_base or stripe.DEFAULT_API_BASE)),
    )


def _session(base: str) -> Any:
    """A connection that looks for the machine's proxies once, not before every call."""
    import requests
    from requests.utils import get_environ_proxies

    session = requests.Session()
    session.trust_env = False
    session.proxies = get_environ_proxies(base)
    return session


@contextmanager
def translated() -> Iterator[None]:
    """Within this block the SDK's errors are raised as the portal's."""
    import stripe

    try:
        yield
    except stripe.CardError as error:
        raise CardRefused(detail=error.user_message or error.code or "") from error
    except stripe.IdempotencyError as error:
        raise PortalError(code="stripe_idempotency") from error
    except stripe.InvalidRequestError as error:
        if error.code == "resource_missing":
            raise NotFound(code="stripe_missing") from error
        raise StripeMismatch(detail=error.user_message or str(error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise Unavailable(code="stripe_key") from error
    except (stripe.RateLimitError, stripe.APIConnectionError, stripe.APIError) as error:
        # ``answered``: Stripe said 500, and says it again for the same key; else nobody knows what happened.
        answered = getattr(error, "http_status", None) == 500
        raise Unavailable(code="stripe_unavailable", answered=answered) from error
