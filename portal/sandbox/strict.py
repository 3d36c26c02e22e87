"""Strictness: every parameter is checked, at every depth, against the SDK's own parameter types.

The SDK generates `stripe.params.*` from Stripe's specification of exactly this API version, so whatever
is not named there is unknown to Stripe too. Values are turned into the types that the handlers use.
"""

import re
import types
import typing
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, Union

import stripe.params
import stripe.params.checkout
import typing_extensions
from stripe._request_options import RequestOptions

from portal.sandbox.errors import invalid

# The SDK lets request options travel with the parameters and takes them out before it sends.
NOT_SENT = frozenset(RequestOptions.__annotations__)

LONGEST_TEXT = 5_000


@cache
def params_type(name: str) -> Any:
    """The SDK's TypedDict of this name, e.g. "CustomerCreateParams" or "checkout.SessionCreateParams"."""
    module = stripe.params.checkout if name.startswith("checkout.") else stripe.params
    return getattr(module, name.removeprefix("checkout."))


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, ...]]:
    # The options' own module imports these names for type checkers only.
    hints = typing_extensions.get_type_hints(kind, localns={"StripeContext": str, "Mapping": Mapping})
    return {name: tuple(_flatten(hint)) for name, hint in hints.items() if name not in NOT_SENT}


def _flatten(hint: Any) -> typing.Iterator[Any]:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        for option in typing.get_args(hint):
            yield from _flatten(option)
    elif origin in (typing_extensions.NotRequired, typing_extensions.Required):
        yield from _flatten(typing.get_args(hint)[0])
    else:
        yield hint


def check(params: dict[str, Any], kind: Any) -> dict[str, Any]:
    """Return the parameters in their types; raises the 400 that Stripe would send."""
    return _object(params, kind, "")


def _object(value: dict[str, Any], kind: Any, path: str) -> dict[str, Any]:
    fields = _fields(kind)
    for name in value:
        if name not in fields:
            where = _join(path, name)
            raise invalid(f"Received unknown parameter: {where}", param=where, code="parameter_unknown")
    typed = {name: _value(given, fields[name], _join(path, name)) for name, given in value.items()}
    for name in sorted(kind.__required_keys__ & fields.keys()):
        if name not in value:
            where = _join(path, name)
            raise invalid(f"Missing required param: {where}.", param=where, code="parameter_missing")
    return typed


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def _value(value: Any, options: tuple[Any, ...], path: str) -> Any:
    if isinstance(value, dict):
        return _nested(value, options, path)
    allowed = [text for option in options if typing.get_origin(option) is Literal for text in typing.get_args(option)]
    if value in allowed:
        return value
    for option in options:
        if option in PARSERS and (parsed := PARSERS[option](value)) is not None:
            return parsed
    choices = [text for text in allowed if text]
    if choices:
        raise invalid(f"Invalid {path}: must be one of {', or '.join(choices)}", param=path)
    if str not in options:
        raise _wrong_type(value, options, path)
    if len(value) > LONGEST_TEXT:
        raise invalid(f"Invalid string: must be at most {LONGEST_TEXT} characters", param=path)
    if value == "" and "" not in allowed and not path.startswith("metadata"):
        raise invalid(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a value.",
            param=path,
            code="parameter_invalid_empty",
        )
    return value


def _nested(value: dict[str, Any], options: tuple[Any, ...], path: str) -> Any:
    for option in options:
        origin = typing.get_origin(option)
        if origin is list and all(key.isdigit() for key in value):
            inner = tuple(_flatten(typing.get_args(option)[0]))
            return [_value(value[key], inner, f"{path}[{key}]") for key in sorted(value, key=int)]
        if origin is dict:
            return {key: _leaf(text, f"{path}[{key}]") for key, text in value.items()}
        if typing_extensions.is_typeddict(option):
            return _object(value, option, path)
    raise _wrong_type(value, options, path)


def _leaf(value: Any, path: str) -> str:
    if not isinstance(value, str) or len(value) > 500:
        raise invalid(f"Invalid value for {path}: must be a text of at most 500 characters", param=path)
    return value


def _wrong_type(value: Any, options: tuple[Any, ...], path: str) -> Exception:
    if int in options:
        return invalid(f"Invalid integer: {value}", param=path, code="parameter_invalid_integer")
    if bool in options:
        return invalid(f"Invalid boolean: {value}", param=path)
    if any(typing.get_origin(option) is list for option in options):
        return invalid("Invalid array", param=path)
    if str in options:
        return invalid(f"Invalid string: {value}", param=path, code="parameter_invalid_string")
    return invalid("Invalid object", param=path)


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else None


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


PARSERS: dict[Any, Any] = {
    int: _whole,
    bool: {"true": True, "false": False}.get,
    float: _decimal,
    Decimal: _decimal,
}
