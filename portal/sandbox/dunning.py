"""What follows refused payments, as Stripe's dashboard sets it: when a card is tried again, and what comes last."""

from portal.sandbox.config import AFTER_RETRIES
from portal.sandbox.errors import invalid
from portal.sandbox.tx import Tx

#: Days after the first refusal of an invoice at which it is tried again.
RETRY_DAYS = (3, 5, 7)
SETTINGS = "sandbox_settings"


def end_of(tx: Tx) -> str:
    """What becomes of a subscription after the last retry: it stays past_due, becomes unpaid, or is cancelled."""
    kept = tx.find(SETTINGS)
    return str(kept["after_retries"]) if kept else tx.config.after_retries


def choose_end(tx: Tx, wanted: object) -> None:
    """Set it for all subscriptions from now on; raises 400 for anything else."""
    if wanted not in AFTER_RETRIES:
        raise invalid(f"after_retries must be one of {', '.join(AFTER_RETRIES)}", param="after_retries")
    kept = tx.find(SETTINGS) or tx.insert(SETTINGS, {"id": SETTINGS})
    kept["after_retries"] = wanted
