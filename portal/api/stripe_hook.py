"""POST /api/v1/webhooks/stripe: verify, store once, answer. Everything else happens in a job."""

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import BaseModel, ConfigDict

from portal.api.operation import Told, described
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.errors import Invalid
from portal.stripe_events import arrival
from portal.web.kit import audience

blueprint = Blueprint("api_stripe_hook", __name__)

PATHS = ("/api/v1/webhooks/stripe", "/api/webhooks/stripe")


class StripeEvent(BaseModel):
    """An event as Stripe writes it."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: str


class Received(Told):
    """It is stored; ``known``: it was before."""

    received: bool
    known: bool


@audience.public
@described("Stripe's events", "Webhooks", body=StripeEvent, answers={200: Received})
def receive() -> Response:
    """Stripe's events. 400 for what no secret of ours signed within 300 seconds; 2xx means stored."""
    secrets = current_app.extensions["portal_config"].webhook_secrets
    sent = request.get_data()
    event = stripe.verify(sent, request.headers.get("Stripe-Signature", ""), secrets)
    if event.get("object") != "event" or not isinstance(event.get("id"), str):
        raise Invalid(code="not_an_event")
    stored = arrival.receive(event, sent, now=clock.business())
    return jsonify(received=True, known=not stored)


for number, path in enumerate(PATHS):
    blueprint.add_url_rule(path, f"receive_{number}", receive, methods=["POST"], strict_slashes=False)
