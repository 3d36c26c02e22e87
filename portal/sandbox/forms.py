"""Stripe's parameters on the wire: a[b][0][c]=v, in the query string or in a form body."""

import re
from collections.abc import Iterable
from typing import Any

from portal.sandbox.errors import invalid

KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
PART = re.compile(r"\[([^\[\]]*)\]")


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Nested mappings of texts; an array stays a mapping of its indexes until its type is known."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        match = KEY.match(key)
        if not match:
            raise invalid(f"Invalid parameter name: {key}", param=key)
        _place(found, [match[1], *PART.findall(match[2])], value, key)
    return found


def _place(target: dict[str, Any], path: list[str], value: str, key: str) -> None:
    for part in path[:-1]:
        step = target.setdefault(part or str(len(target)), {})
        if not isinstance(step, dict):
            raise invalid(f"Invalid object: {key}", param=key)
        target = step
    last = path[-1] or str(len(target))
    if last in target:
        raise invalid(f"The parameter {key} was sent twice", param=key)
    target[last] = value
