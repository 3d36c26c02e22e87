"""All calls that the sandbox answers."""

from portal.sandbox import (
    catalog,
    checkout,
    credit_notes,
    customers,
    disputes,
    endpoints,
    invoice_calls,
    payment_methods,
    refunds,
    schedules,
    setup_mode,
    subscription_items,
    subscription_update,
    subscriptions,
    taxes,
)
from portal.sandbox.calls import Call
from portal.sandbox.errors import invalid

CALLS: list[Call] = [
    *catalog.CALLS,
    *customers.CALLS,
    *checkout.CALLS,
    *subscriptions.CALLS,
    *subscription_update.CALLS,
    *subscription_items.CALLS,
    *schedules.CALLS,
    *invoice_calls.CALLS,
    *endpoints.CALLS,
    *payment_methods.CALLS,
    *setup_mode.CALLS,
    *refunds.CALLS,
    *disputes.CALLS,
    *credit_notes.CALLS,
    *taxes.CALLS,
]


def find(method: str, path: str) -> tuple[Call, tuple[str, ...]]:
    """The call and the ids in its path; raises Stripe's 404 for an address that is not answered here."""
    for call in CALLS:
        if call.method == method and (match := call.pattern.match(path)):
            return call, match.groups()
    raise invalid(
        f"Unrecognized request URL ({method}: {path}). The sandbox answers what docs/sandbox.md lists.",
        status=404,
    )
