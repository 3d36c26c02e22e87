"""Keys, idempotency, faults before and after the effect, pages of lists."""

import threading
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Box

pytestmark = pytest.mark.once


def post(box: Box, path: str, key: str | None = None, **params: str) -> requests.Response:
    """A POST without the SDK (which retries and makes keys by itself)."""
    headers = {"Authorization": f"Bearer {box.key}", **({"Idempotency-Key": key} if key else {})}
    return requests.post(box.url + path, data=params, headers=headers, timeout=10)


def customers(box: Box) -> int:
    """How many customers there are."""
    return len(list(box.v1.customers.list({"limit": 100}).auto_paging_iter()))


@pytest.mark.parametrize("header", ["", "Bearer sk_test_other", "Basic c2tfdGVzdF9vdGhlcjo="])
def test_only_the_right_key_opens(sandbox: Box, header: str) -> None:
    answer = requests.get(f"{sandbox.url}/v1/account", headers={"Authorization": header}, timeout=10)
    assert answer.status_code == 401 and answer.json()["error"]["type"] == "invalid_request_error"


def test_the_key_may_come_as_basic_user_too(sandbox: Box) -> None:
    answer = requests.get(f"{sandbox.url}/v1/account", auth=(sandbox.key, ""), timeout=10)
    assert answer.status_code == 200 and answer.json()["object"] == "account"


def test_another_api_version_is_refused(sandbox: Box) -> None:
    headers = {"Authorization": f"Bearer {sandbox.key}", "Stripe-Version": "2020-08-27"}
    assert requests.get(f"{sandbox.url}/v1/account", headers=headers, timeout=10).status_code == 400


def test_a_repeated_key_replays_the_first_answer(sandbox: Box) -> None:
    first = post(sandbox, "/v1/customers", "key-1", name="A")
    again = post(sandbox, "/v1/customers", "key-1", name="A")
    assert again.json() == first.json() and again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers and customers(sandbox) == 1


def test_a_key_with_other_parameters_or_another_path_is_refused(sandbox: Box) -> None:
    post(sandbox, "/v1/customers", "key-1", name="A")
    for path, params in (("/v1/customers", {"name": "B"}), ("/v1/products", {"name": "A"})):
        answer = post(sandbox, path, "key-1", **params)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "idempotency_error")
    with pytest.raises(stripe.IdempotencyError):
        sandbox.v1.customers.create({"name": "C"}, {"idempotency_key": "key-1"})
    assert customers(sandbox) == 1


def test_a_refused_request_does_not_use_up_its_key(sandbox: Box) -> None:
    assert post(sandbox, "/v1/customers", "key-1", email="nonsense").status_code == 400
    assert post(sandbox, "/v1/customers", "key-1", email="a@example.com").status_code == 200


def test_a_declined_card_is_replayed_as_declined(sandbox: Box) -> None:
    customer = sandbox.customer(card=None)
    for _ in range(2):
        answer = post(sandbox, "/v1/payment_methods/pm_card_chargeDeclined/attach", "key-1", customer=customer.id)
        assert (answer.status_code, answer.json()["error"]["decline_code"]) == (402, "generic_decline")
    assert answer.headers["Idempotent-Replayed"] == "true"


def test_the_same_key_at_the_same_time_is_a_conflict(sandbox: Box) -> None:
    sandbox.fault(kind="stall", seconds=0.6, when="after", path="POST /v1/customers")
    first: list[requests.Response] = []
    slow = threading.Thread(target=lambda: first.append(post(sandbox, "/v1/customers", "key-1", name="A")))
    slow.start()
    # The slow one takes its fault when it has done its work; from then on it is in flight and holds the key.
    while sandbox.control("faults", method="GET")["data"]:
        pass
    conflict = post(sandbox, "/v1/customers", "key-1", name="A")
    slow.join()
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert first[0].status_code == 200 and customers(sandbox) == 1


def test_500_before_the_effect_does_nothing_and_can_be_repeated(sandbox: Box) -> None:
    sandbox.fault(kind="status", status=500, when="before", path="POST /v1/customers")
    assert post(sandbox, "/v1/customers", "key-1", name="A").status_code == 500
    assert customers(sandbox) == 0
    assert post(sandbox, "/v1/customers", "key-1", name="A").status_code == 200


def test_500_after_the_effect_is_replayed_for_its_key_and_the_effect_stays(sandbox: Box) -> None:
    sandbox.fault(kind="status", status=500, when="after", path="POST /v1/customers")
    assert post(sandbox, "/v1/customers", "key-1", name="A").status_code == 500
    again = post(sandbox, "/v1/customers", "key-1", name="A")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert customers(sandbox) == 1


def test_a_fault_of_its_own_is_a_500_in_stripes_shape_and_undone(
    sandbox: Box, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("portal.sandbox.customers.attach_to", breaks)
    answer = post(sandbox, "/v1/customers", "key-1", payment_method="pm_card_visa")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "api_error")
    assert customers(sandbox) == 0 and sandbox.event_types() == []
    assert "ZeroDivisionError" in caplog.text


def test_429_is_told_the_number_of_times_that_was_ordered(sandbox: Box) -> None:
    sandbox.fault(kind="status", status=429, times=2, path="GET /v1/customers")
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            sandbox.v1.customers.list()
    assert sandbox.v1.customers.list().data == []


def test_a_fault_on_another_path_waits_and_clearing_forgets_it(sandbox: Box) -> None:
    sandbox.fault(kind="status", status=503, path="POST /v1/subscriptions")
    assert sandbox.v1.customers.list().data == []
    assert len(sandbox.control("faults", method="GET")["data"]) == 1
    sandbox.control("faults", method="DELETE")
    assert sandbox.control("faults", method="GET")["data"] == []


@pytest.mark.parametrize(
    "wrong", [{}, {"kind": "rain"}, {"kind": "status", "status": 200}, {"kind": "stall", "path": "("}, {"x": 1}]
)
def test_a_fault_that_makes_no_sense_is_refused(sandbox: Box, wrong: dict[str, Any]) -> None:
    assert "error" in sandbox.control("faults", wrong)
    assert sandbox.control("faults", method="GET")["data"] == []


def test_a_failed_request_changes_nothing(sandbox: Box) -> None:
    customer = sandbox.customer()
    price = sandbox.price(100)
    before = len(sandbox.event_types())
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": price}, {"price": price}], "metadata": {"a": "b"}}
        )
    assert sandbox.v1.subscriptions.list().data == [] and len(sandbox.event_types()) == before


def test_lists_are_paged_newest_first_both_ways(sandbox: Box) -> None:
    made = [sandbox.v1.customers.create({"name": str(number)}).id for number in range(5)][::-1]
    first = sandbox.v1.customers.list({"limit": 2})
    assert ([found.id for found in first.data], first.has_more) == (made[:2], True)
    second = sandbox.v1.customers.list({"limit": 2, "starting_after": made[1]})
    assert ([found.id for found in second.data], second.has_more) == (made[2:4], True)
    last = sandbox.v1.customers.list({"limit": 2, "starting_after": made[3]})
    assert ([found.id for found in last.data], last.has_more) == (made[4:], False)
    back = sandbox.v1.customers.list({"limit": 2, "ending_before": made[4]})
    assert ([found.id for found in back.data], back.has_more) == (made[2:4], True)
    assert [found.id for found in first.auto_paging_iter()] == made


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"starting_after": "cus_x"}, {"starting_after": "a", "ending_before": "b"}]
)
def test_wrong_pages_are_refused(sandbox: Box, params: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.v1.customers.list(params)


def test_created_ranges(sandbox: Box) -> None:
    old = sandbox.v1.customers.create({}).id
    now = sandbox.advance(days=1) or sandbox.now()
    new = sandbox.v1.customers.create({}).id
    assert [found.id for found in sandbox.v1.customers.list({"created": {"gte": now}}).data] == [new]
    assert [found.id for found in sandbox.v1.customers.list({"created": {"lt": now}}).data] == [old]


def test_lookup_keys_find_and_move(sandbox: Box) -> None:
    product = sandbox.v1.products.create({"name": "Pro"}).id
    wanted = {"product": product, "currency": "eur", "recurring": {"interval": "month"}, "lookup_key": "pro_month"}
    old = sandbox.v1.prices.create({**wanted, "unit_amount": 100})
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        sandbox.v1.prices.create({**wanted, "unit_amount": 200})
    new = sandbox.v1.prices.create({**wanted, "unit_amount": 200, "transfer_lookup_key": True})
    assert [price.id for price in sandbox.v1.prices.list({"lookup_keys": ["pro_month"]}).data] == [new.id]
    assert sandbox.v1.prices.retrieve(old.id).lookup_key is None


def test_cards_keep_their_fingerprint_and_a_detached_one_is_no_default(sandbox: Box) -> None:
    one, two = sandbox.customer(), sandbox.customer()
    cards = [sandbox.v1.customers.payment_methods.list(owner.id, {"type": "card"}).data[0] for owner in (one, two)]
    assert cards[0].id != cards[1].id and cards[0].card.fingerprint == cards[1].card.fingerprint
    sandbox.v1.payment_methods.detach(cards[0].id)
    assert sandbox.v1.customers.retrieve(one.id).invoice_settings.default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.v1.customers.update(one.id, {"invoice_settings": {"default_payment_method": cards[1].id}})
