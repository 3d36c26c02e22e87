"""Every call of the Stripe gateway is judged by the sandbox: one unknown parameter, at the top or nested, is refused.

So a method that sends a misspelt name cannot work here and fail at Stripe. A method that is added is tried by itself.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

from portal.gateways.stripe import StripeGateway, StripeMismatch
from tests.support.servers import KEY, Sandbox

UNKNOWN: dict[str, dict[str, Any]] = {"top": {"made_up": 1}, "nested": {"metadata_of": {"made_up": [{"deep": 1}]}}}


def methods() -> list[str]:
    """Those that speak to Stripe; ``in_full`` completes a document that another one has fetched."""
    found = [name for name, _ in inspect.getmembers(StripeGateway, inspect.isfunction) if not name.startswith("_")]
    return [name for name in found if name != "in_full"]


class Tampered:
    """The SDK's tree of calls, adding something to the parameters of whichever is called."""

    def __init__(self, inner: Any, extra: dict[str, Any], sent: list[dict[str, Any]]) -> None:
        self._inner, self._extra, self._sent = inner, extra, sent

    def __getattr__(self, name: str) -> "Tampered":
        return Tampered(getattr(self._inner, name), self._extra, self._sent)

    def __call__(self, *args: Any) -> Any:
        found = next((arg for arg in args if isinstance(arg, dict) and "idempotency_key" not in arg), None)
        params = {**(found or {}), **self._extra}
        self._sent.append(params)
        if found is None:
            return self._inner(*args, params)
        return self._inner(*(params if arg is found else arg for arg in args))


class Tampering(StripeGateway):
    """The gateway whose every request carries something that Stripe does not know."""

    def __init__(self, url: str, extra: dict[str, Any]) -> None:
        super().__init__(KEY, url, 0)
        self.extra, self.sent = extra, []

    @property
    def _v1(self) -> Any:
        return Tampered(super()._v1, self.extra, self.sent)

    def _fetched(self, path: str, params: dict[str, Any]) -> Any:
        self.sent.append(params | self.extra)
        return super()._fetched(path, params | self.extra)


def arguments(call: Callable[..., Any]) -> list[Any]:
    """Something of the right type for every argument that must be given."""
    hints = get_type_hints(call)
    must = [p for p in inspect.signature(call).parameters.values() if p.default is p.empty and p.name != "self"]
    return [{str: "some_id", int: 1, int | None: 1}.get(hints[p.name], _empty(hints[p.name])) for p in must]


def _empty(kind: Any) -> Any:
    return [] if str(kind).startswith("list") else {}


@pytest.mark.parametrize("where", list(UNKNOWN))
@pytest.mark.parametrize("name", methods())
def test_a_call_with_one_unknown_parameter_is_refused(catalog: Any, sandbox: Sandbox, name: str, where: str) -> None:
    gateway = Tampering(sandbox.url, UNKNOWN[where])
    call = getattr(gateway, name)
    with pytest.raises(StripeMismatch, match="unknown parameter"):
        call(*arguments(getattr(StripeGateway, name)))
    assert gateway.sent, "the call was not tampered with"


def test_what_items_are_asked_for_with_is_known_at_every_depth(catalog: Any, sandbox: Sandbox) -> None:
    """Known parameters pass: the object is what is missing then."""
    from portal.kit.errors import NotFound

    gateway = StripeGateway(KEY, sandbox.url, 0)
    for call in (
        lambda: gateway.item_add("sub_x", "price_x", 2, 1, "k1"),
        lambda: gateway.item_change("si_x", "price_x", 2, 1, "k2"),
        lambda: gateway.item_remove("si_x", 1, "k3"),
        lambda: gateway.item_remove("si_x", None, "k4"),
        lambda: gateway.items("sub_x"),
        lambda: gateway.preview_items("cus_x", "sub_x", [{"id": "si_x", "price": "price_x", "quantity": 1}], 1),
    ):
        with pytest.raises(NotFound):
            call()
