"""The second lock on tenants' rows: every ORM read of one gets ``vendor_id`` added, whatever the query says.

Reads take ``vendor_id`` themselves (the first lock). No tenant set is an error; staff pages and jobs say
``unscoped("why")``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from portal.kit.db import TenantMixin


@dataclass(frozen=True, slots=True)
class _Unscoped:
    reason: str


_scope: ContextVar[int | _Unscoped | None] = ContextVar("tenant_scope", default=None)


class TenantNotSetError(RuntimeError):
    """A tenant's table was read with neither a vendor set nor a reason to look across vendors."""


@contextmanager
def scoped(vendor_id: int) -> Iterator[None]:
    """Within this block only rows of this vendor can be read."""
    token = _scope.set(vendor_id)
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def unscoped(reason: str) -> Iterator[None]:
    """Look across vendors, for a stated reason (staff page, job, command)."""
    if not reason:
        raise ValueError("say why")
    token = _scope.set(_Unscoped(reason))
    try:
        yield
    finally:
        _scope.reset(token)


def current_scope() -> int | str | None:
    """The vendor's id, the reason for looking across vendors, or None when nothing is set."""
    scope = _scope.get()
    return scope.reason if isinstance(scope, _Unscoped) else scope


@event.listens_for(Session, "do_orm_execute")
def _add_criterion(state: ORMExecuteState) -> None:
    scope = _scope.get()
    if isinstance(scope, _Unscoped) or not (state.is_select or state.is_update or state.is_delete):
        return
    if not _is_about_tenants(state):
        return
    if scope is None:
        raise TenantNotSetError(str(state.statement)[:200])
    state.statement = state.statement.options(
        with_loader_criteria(TenantMixin, lambda cls: cls.vendor_id == scope, include_aliases=True)
    )


def _is_about_tenants(state: ORMExecuteState) -> bool:
    """Mostly the first table says so; finding out all of them takes longer than many a statement."""
    first = state.bind_mapper
    if first is not None and issubclass(first.class_, TenantMixin):
        return True
    return any(issubclass(mapper.class_, TenantMixin) for mapper in state.all_mappers)
