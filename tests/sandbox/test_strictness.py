"""Whatever Stripe does not know is refused, at every depth; whatever the sandbox does not obey is refused too."""

from typing import Any

import pytest
import requests
import stripe

from portal.sandbox import routes, strict
from tests.sandbox.conftest import Box

pytestmark = pytest.mark.once


def raw(box: Box, method: str, path: str, pairs: list[tuple[str, str]]) -> Any:
    """The error of a call made without the SDK."""
    where: Any = {"params": pairs} if method == "GET" else {"data": pairs}
    return requests.request(method, box.url + path, headers={"Authorization": f"Bearer {box.key}"}, timeout=10, **where)


def test_every_call_refuses_an_unknown_parameter(sandbox: Box) -> None:
    for call in routes.CALLS:
        answer = raw(sandbox, call.method, call.path.replace("{}", "some_id"), [("made_up", "1")])
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, "parameter_unknown", "made_up"), call.path
        assert error["message"] == "Received unknown parameter: made_up"


NESTED = [
    ("POST", "/v1/customers", "invoice_settings[made_up]"),
    ("POST", "/v1/customers/c", "address[made_up]"),
    ("POST", "/v1/prices", "recurring[made_up]"),
    ("POST", "/v1/products", "marketing_features[0][made_up]"),
    ("POST", "/v1/checkout/sessions", "line_items[0][made_up]"),
    ("POST", "/v1/checkout/sessions", "subscription_data[trial_settings][end_behavior][made_up]"),
    ("POST", "/v1/subscriptions", "items[0][made_up]"),
    ("POST", "/v1/subscription_items", "price_data[made_up]"),
    ("POST", "/v1/subscription_items", "discounts[0][made_up]"),
    ("POST", "/v1/subscription_items/i", "current_trial[made_up]"),
    ("POST", "/v1/subscriptions/s", "items[0][made_up]"),
    ("POST", "/v1/subscriptions/s", "cancellation_details[made_up]"),
    ("DELETE", "/v1/subscriptions/s", "cancellation_details[made_up]"),
    ("POST", "/v1/subscription_schedules/s", "phases[1][items][0][made_up]"),
    ("POST", "/v1/subscription_schedules/s", "phases[0][iterations]"),
    ("POST", "/v1/invoices/create_preview", "subscription_details[items][0][made_up]"),
    ("GET", "/v1/invoices", "created[made_up]"),
    ("GET", "/v1/events", "created[made_up]"),
    ("GET", "/v1/invoice_payments", "payment[made_up]"),
    ("POST", "/v1/payment_methods", "card[made_up]"),
    ("POST", "/v1/payment_methods/p", "billing_details[made_up]"),
    ("POST", "/v1/checkout/sessions", "setup_intent_data[made_up]"),
    ("POST", "/v1/checkout/sessions", "payment_intent_data[made_up]"),
    ("POST", "/v1/checkout/sessions", "invoice_creation[invoice_data][made_up]"),
    ("POST", "/v1/checkout/sessions", "line_items[0][price_data][product_data][made_up]"),
    ("POST", "/v1/checkout/sessions", "automatic_tax[made_up]"),
    ("POST", "/v1/subscriptions/s", "automatic_tax[made_up]"),
    ("POST", "/v1/subscription_schedules/s", "phases[0][automatic_tax][made_up]"),
    ("POST", "/v1/invoices/create_preview", "automatic_tax[made_up]"),
    ("POST", "/v1/invoices/create_preview", "subscription_details[made_up]"),
    ("POST", "/v1/customers/c", "invoice_settings[made_up]"),
    ("GET", "/v1/refunds", "created[made_up]"),
    ("GET", "/v1/disputes", "created[made_up]"),
    ("GET", "/v1/charges", "created[made_up]"),
    ("GET", "/v1/setup_intents", "created[made_up]"),
    ("GET", "/v1/tax_rates", "created[made_up]"),
]


@pytest.mark.parametrize(("method", "path", "param"), NESTED)
def test_an_unknown_nested_parameter_is_refused_by_its_full_name(
    sandbox: Box, method: str, path: str, param: str
) -> None:
    answer = raw(sandbox, method, path, [(param, "1")])
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "parameter_unknown", param)


def test_options_of_the_sdk_are_no_parameters_of_stripe(sandbox: Box) -> None:
    assert (
        raw(sandbox, "POST", "/v1/customers", [("idempotency_key", "1")]).json()["error"]["code"] == "parameter_unknown"
    )


@pytest.mark.parametrize(
    ("pairs", "code", "param"),
    [
        ([("expires_at", "soon")], "parameter_invalid_integer", "expires_at"),
        ([("line_items[0][quantity]", "1.5")], "parameter_invalid_integer", "line_items[0][quantity]"),
        ([("ui_mode", "fancy")], None, "ui_mode"),
        ([("adaptive_pricing[enabled]", "perhaps")], None, "adaptive_pricing[enabled]"),
        ([("line_items", "many")], None, "line_items"),
        ([("success_url", "")], "parameter_invalid_empty", "success_url"),
        ([("payment_method_types[0]", "card")], "payment_method_types_no_longer_supported", "payment_method_types"),
    ],
)
def test_wrong_types_are_refused_at_the_parameter(
    sandbox: Box, pairs: list[tuple[str, str]], code: str | None, param: str
) -> None:
    answer = raw(sandbox, "POST", "/v1/checkout/sessions", [("mode", "subscription"), *pairs])
    error = answer.json()["error"]
    assert (answer.status_code, error.get("code"), error["param"]) == (400, code, param)


def test_a_missing_parameter_is_named(sandbox: Box) -> None:
    answer = raw(sandbox, "POST", "/v1/prices", [("unit_amount", "1")])
    assert answer.json()["error"]["code"] == "parameter_missing" and answer.json()["error"]["param"] == "currency"


def test_what_stripe_can_do_but_the_sandbox_cannot_is_refused_and_not_ignored(sandbox: Box) -> None:
    customer = sandbox.customer()
    for more, param in (
        ({"discounts": [{"coupon": "x"}]}, "discounts.coupon"),
        ({"collection_method": "send_invoice"}, "collection_method"),
        ({"automatic_tax": {"liability": {"type": "self"}, "enabled": False}}, "automatic_tax.liability.type"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            sandbox.v1.subscriptions.create({"customer": customer.id, "items": [{"price": sandbox.price(100)}], **more})
        assert refused.value.code == "sandbox_unsupported" and refused.value.param == param


@pytest.mark.parametrize(
    ("mode", "param"), [("setup", "subscription_data"), ("payment", "subscription_data"), ("setup", "invoice_creation")]
)
def test_what_belongs_to_another_mode_is_refused(sandbox: Box, mode: str, param: str) -> None:
    value: Any = {"description": "x"} if param == "subscription_data" else {"enabled": True}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.session(mode=mode, **{param: value})
    assert (refused.value.param, refused.value.http_status) == (param, 400)


@pytest.mark.parametrize(
    ("item", "code"),
    [({"quantity": -1}, None), ({"quantity": 10**9}, "amount_too_large"), ({"price": "x" * 5001}, None)],
)
def test_absurd_figures_are_refused(sandbox: Box, item: dict[str, Any], code: str | None) -> None:
    customer = sandbox.customer()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.v1.subscriptions.create({"customer": customer.id, "items": [{"price": sandbox.price(100), **item}]})
    assert (refused.value.http_status, refused.value.code) == (400, code)
    assert sandbox.v1.subscriptions.list().data == []


def test_an_address_that_is_not_answered_is_404(sandbox: Box) -> None:
    answer = raw(sandbox, "POST", "/v1/payouts", [])
    assert answer.status_code == 404 and "Unrecognized request URL" in answer.json()["error"]["message"]


def test_a_foreign_or_missing_object_is_404_in_the_path_and_400_in_a_parameter(sandbox: Box) -> None:
    with pytest.raises(stripe.InvalidRequestError) as in_path:
        sandbox.v1.subscriptions.retrieve("sub_nobody")
    assert (in_path.value.http_status, in_path.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as in_parameter:
        sandbox.session(customer="cus_nobody")
    assert (in_parameter.value.http_status, in_parameter.value.param) == (400, "customer")


def test_expanding_what_cannot_be_expanded_is_refused(sandbox: Box) -> None:
    customer = sandbox.customer()
    for path in ("email", "nothing", "metadata.x"):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            sandbox.v1.customers.retrieve(customer.id, {"expand": [path]})


def test_the_sdk_types_of_all_calls_exist() -> None:
    # A misspelt type would refuse everything at the first request only.
    assert all(strict.params_type(call.params).__annotations__ is not None for call in routes.CALLS)
