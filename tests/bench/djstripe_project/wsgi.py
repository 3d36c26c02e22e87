"""The WSGI entry. In mode ``given`` the request that dj-stripe makes for every event is answered from the event."""

import os
import threading
from typing import Any

from django.core.wsgi import get_wsgi_application  # type: ignore[import-not-found]

application = get_wsgi_application()
_present = threading.local()


def take_over(trigger: Any, **_: Any) -> None:
    """Where an application would hand the event to its queue; costs nothing here, in the peer's favour."""


def spare_the_fetch() -> None:
    """Answer dj-stripe's own request for an event's object with the object that the event carries."""
    import stripe
    from djstripe.models import Event  # type: ignore[import-not-found]
    from djstripe.models.base import StripeModel  # type: ignore[import-not-found]

    invoke = Event.invoke_webhook_handlers

    def remember(event: Any) -> Any:
        _present.object = stripe.convert_to_stripe_object(event.data["object"])
        return invoke(event)

    Event.invoke_webhook_handlers = remember
    StripeModel.api_retrieve = lambda *_, **__: _present.object


if os.environ["BENCH_MODE"] == "given":
    spare_the_fetch()
