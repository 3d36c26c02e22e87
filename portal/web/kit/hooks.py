"""Which hooks a request runs: decided once for each route, by where the route belongs.

Flask runs every hook for every request. Most are about people's pages (forms, cookies, files, limits of single views),
and together they cost a program's request more than its answer. So hooks are registered under a condition, and each
route keeps the list of those that apply to it. A request that leads nowhere runs them all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from flask import Blueprint, Flask, Response, request
from flask.globals import request_ctx
from flask.signals import request_tearing_down

Condition = Callable[["HookedFlask", str], bool]
Hooks = tuple[Callable[..., Any], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A route's hooks, in the order in which they run."""

    before: Hooks
    after: Hooks
    teardown: Hooks


class HookedFlask(Flask):
    """Flask with a plan of hooks for each route."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._conditions: dict[Callable[..., Any], Condition] = {}
        self._plans: dict[str | None, Plan] = {}
        self._programs: set[str] = set()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Nothing here is a coroutine; Flask would ask that of every hook at every request."""
        return func

    def for_programs(self, blueprint: Blueprint) -> None:
        """Its routes are for programs: they bring keys, tokens or signatures, never cookies or forms."""
        self._programs.add(blueprint.name)

    def is_for_programs(self, endpoint: str) -> bool:
        """Does the route belong to one of those?"""
        return endpoint.rpartition(".")[0] in self._programs

    @contextmanager
    def hooks_where(self, condition: Condition) -> Iterator[None]:
        """The hooks that are registered within run for routes alone of which this is true."""
        lists = [self.before_request_funcs, self.after_request_funcs, self.teardown_request_funcs]
        before = set(chain.from_iterable(funcs.get(None, ()) for funcs in lists))  # type: ignore[attr-defined]
        yield
        after = set(chain.from_iterable(funcs.get(None, ()) for funcs in lists))  # type: ignore[attr-defined]
        self._conditions.update(dict.fromkeys(after - before, condition))

    def preprocess_request(self) -> Any:
        """The hooks before the view."""
        for hook in self._plan().before:
            answer = hook()
            if answer is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        """The hooks after it, and the cookie."""
        context: Any = request_ctx._get_current_object()  # type: ignore[attr-defined]
        for hook in chain(context._after_request_functions, self._plan().after):
            response = hook(response)
        if not self.session_interface.is_null_session(context._session):
            self.session_interface.save_session(self, context._session, response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """The hooks at the very end."""
        for hook in self._plan().teardown:
            hook(exc)
        request_tearing_down.send(self, exc=exc)

    def _plan(self) -> Plan:
        endpoint = request.endpoint
        found = self._plans.get(endpoint)
        if found is None:
            found = self._plans[endpoint] = self._planned(endpoint)
        return found

    def _planned(self, endpoint: str | None) -> Plan:
        names = list(reversed(request.blueprints))
        before = self._of(self.before_request_funcs, [None, *names], endpoint)
        after = self._of(self.after_request_funcs, [None, *names], endpoint)
        teardown = self._of(self.teardown_request_funcs, [None, *names], endpoint)
        return Plan(tuple(before), tuple(reversed(after)), tuple(reversed(teardown)))

    def _of(self, hooks: Any, names: list[str | None], endpoint: str | None) -> list[Callable[..., Any]]:
        found = chain.from_iterable(hooks.get(name, ()) for name in names)
        return [hook for hook in found if self._applies(hook, endpoint)]

    def _applies(self, hook: Callable[..., Any], endpoint: str | None) -> bool:
        condition = self._conditions.get(hook)
        return condition is None or endpoint is None or condition(self, endpoint)


def for_people(app: HookedFlask, endpoint: str) -> bool:
    """The condition of hooks about forms and cookies."""
    return not app.is_for_programs(endpoint)
