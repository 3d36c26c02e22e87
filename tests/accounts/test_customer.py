"""The vendor's Stripe customer is made once, whatever Stripe answers the first time."""

from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from portal.accounts import flows
from portal.accounts import service as accounts
from portal.gateways import stripe
from portal.identity import queries as identity
from portal.kit import jobs
from portal.kit.db import db
from portal.kit.errors import Unavailable
from tests.support import people
from tests.support.servers import Sandbox
from tests.support.stories import stripe_get

pytestmark = pytest.mark.usefixtures("unscoped")


def fails(sandbox: Sandbox, when: str, times: int = 1) -> None:
    fault = {"kind": "status", "status": 500, "when": when, "path": "^POST /v1/customers$", "times": times}
    assert requests.post(f"{sandbox.url}/_sandbox/faults", json=fault, timeout=20).status_code == 200


@pytest.mark.parametrize("others", [0, 120])
def test_a_500_after_the_effect_finds_the_customer_that_was_made(
    client: FlaskClient, sandbox: Sandbox, others: int
) -> None:
    """Stripe repeats the 500 for the key; the customer is there all the same, maybe not on the list's first page."""
    who = people.register()
    db.session.rollback()
    fails(sandbox, "after")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows, "service", _Dies(accounts))
        with pytest.raises(RuntimeError):
            flows.ensure_customer(who.vendor_id)  # made and found, and then the process dies
    db.session.rollback()
    for number in range(others):
        data = {"email": f"c{number}@elsewhere.example", "metadata[vendor_id]": "99999"}
        requests.post(f"{sandbox.url}/v1/customers", data=data, auth=("sk_test_sandbox", ""), timeout=20)
    made = flows.ensure_customer(who.vendor_id)
    jobs.run_all()
    found = [each for each in _customers(sandbox) if each["metadata"].get("vendor_id") == str(who.vendor_id)]
    assert [each["id"] for each in found] == [made]
    vendor = identity.vendor(who.vendor_id)
    assert vendor is not None and vendor.stripe_customer_id == made and found[0]["email"] == who.email


class _Dies:
    """The service, but it never gets to keep the customer."""

    def __init__(self, real: object) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        if name == "keep_customer":
            raise RuntimeError("power failure")
        return getattr(self._real, name)


def test_a_key_that_answers_500_for_a_day_is_not_waited_for(
    client: FlaskClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe says the 500 again under that key, and where it had done nothing, no list has a customer."""
    who = people.register()
    db.session.rollback()
    monkeypatch.setattr(type(stripe.current()), "customers_since", lambda self, since: [])
    fails(sandbox, "after")
    made = flows.ensure_customer(who.vendor_id)
    assert made == _customers(sandbox)[0]["id"], "the newest, made under the next key"


def test_a_stripe_that_stays_away_is_told(client: FlaskClient, sandbox: Sandbox) -> None:
    who = people.register()
    db.session.rollback()
    fails(sandbox, "before", times=20)
    with pytest.raises(Unavailable):
        flows.ensure_customer(who.vendor_id)
    vendor = identity.vendor(who.vendor_id)
    assert vendor is not None and vendor.stripe_customer_id is None and _customers(sandbox) == []


def _customers(sandbox: Sandbox) -> list[dict[str, Any]]:
    first = stripe_get(sandbox, "customers", limit="100")
    if not first["has_more"]:
        return list(first["data"])
    second = stripe_get(sandbox, "customers", limit="100", starting_after=first["data"][-1]["id"])
    return [*first["data"], *second["data"]]
