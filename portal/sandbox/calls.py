"""What one API call is: its address, the SDK's type of its parameters, which of them the sandbox obeys, its handler."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from portal.sandbox.errors import unsupported
from portal.sandbox.tx import Params

LIST = "limit starting_after ending_before"


@dataclass(frozen=True)
class Call:
    """`path` has {} where an id stands; `obeys` names parameters (dotted inside objects, without array indexes).

    A parameter that Stripe knows but `obeys` does not name is refused, so nothing is silently ignored.
    """

    method: str
    path: str
    params: str
    handler: Callable[..., Any]
    obeys: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the path and yields its ids."""
        return re.compile("^" + self.path.replace("{}", r"([^/]+)") + "$")

    @cached_property
    def _obeyed(self) -> frozenset[str]:
        return frozenset(("expand", *self.obeys.split()))

    def refuse_unsupported(self, params: Params) -> None:
        """Raises 400 sandbox_unsupported for a parameter that would be ignored."""
        self._walk(params, "")

    def _walk(self, value: Any, path: str) -> None:
        if path in self._obeyed:
            return
        if isinstance(value, dict) and (value or not path):
            for name, part in value.items():
                self._walk(part, f"{path}.{name}" if path else name)
        elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
            for part in value:
                self._walk(part, path)
        else:
            raise unsupported(f"the parameter {path} of {self.method} {self.path}", param=path)
