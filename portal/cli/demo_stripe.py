"""The demo's way to Stripe: pays as a browser would, and takes events over while no web process listens."""

from portal.cli.conduct import ConductorError, Kept, SandboxControl
from portal.gateways import stripe
from portal.kit import clock
from portal.kit.unit_of_work import unit_of_work
from portal.stripe_events import service as inbox


class InProcess:
    """Events are fetched, verified on their raw bytes, stored and acknowledged, as the endpoint does it."""

    def __init__(self, control: SandboxControl, secrets: list[str]) -> None:
        self.control, self.secrets = control, secrets

    def keep_up(self) -> Kept:
        """One cheap question when nothing is due."""
        status = self.control.call("GET", "status")
        if not status["due_now"] and not status["deliveries_pending"]:
            return Kept(0, 0)
        ran = self.control.call("POST", "run-due")["ran"]
        waiting = self.control.call("GET", "deliveries")["data"]
        for delivery in waiting:
            self._take(delivery["id"], delivery["body"], delivery["headers"]["Stripe-Signature"])
        return Kept(ran + len(waiting), 0)

    def _take(self, delivery: int, body: str, signature: str) -> None:
        event = stripe.verify(body.encode(), signature, self.secrets)
        with unit_of_work():
            inbox.receive(event, now=clock.business())
        self.control.acknowledge(delivery)


def pay(url: str, card: str, name: str) -> None:
    """Fill in the sandbox's hosted Checkout page and send it. Raises ConductorError unless it is accepted."""
    import requests

    form = {"number": card, "expiry": "12 / 34", "cvc": "123", "name": name}
    answer = requests.post(url, data=form, timeout=30, allow_redirects=False)
    if answer.status_code != 303:
        raise ConductorError(f"The sandbox's Checkout page answered {answer.status_code} to the card {card}.")
