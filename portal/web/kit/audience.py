"""Who may use a route. Every route declares it; one that declares nothing is refused (and fails the tests)."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from portal.identity.api_key_rules import Reach
from portal.identity.rules import Role, StaffKind

View = TypeVar("View", bound=Callable[..., Any])
ATTRIBUTE = "portal_audience"


class Side(StrEnum):
    """Whose page it is."""

    PUBLIC = "public"
    SIGNED_IN = "signed_in"
    VENDOR = "vendor"
    STAFF = "staff"
    API = "api"


class Needs(StrEnum):
    """How much must be in order before a vendor's page opens (ACC-4, ACC-5).

    ``ACCOUNT`` pages (profile, plans, billing, support) open in every standing, so that nobody who wants to pay is
    locked out; ``PRODUCT`` pages need an open standing and, where the operator asks for it, a confirmed address.
    """

    ACCOUNT = "account"
    PRODUCT = "product"


@dataclass(frozen=True, slots=True)
class Audience:
    """The declaration that a route carries. ``feature``: the plan must have it, at ``level`` where that is named.

    ``proves``: the view's own statement looks whether the caller is still what the process knows of it. ``recent``: a
    program may be given an answer again, for as long as it says itself.
    """

    side: Side
    role: Role = Role.MEMBER
    needs: Needs = Needs.PRODUCT
    staff: frozenset[StaffKind] = frozenset()
    reach: frozenset[Reach] = frozenset()
    billing: bool = False
    counts: Callable[[], str | None] | None = None
    feature: str | None = None
    level: str | None = None
    proves: bool = False
    recent: bool = False


def _declare(audience: Audience) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, audience)
        return view

    return mark


def public(view: View) -> View:
    """Anybody, signed in or not."""
    return _declare(Audience(Side.PUBLIC))(view)


def signed_in(view: View) -> View:
    """Anybody with an account, whatever their vendor's standing."""
    return _declare(Audience(Side.SIGNED_IN))(view)


def vendor(
    role: Role = Role.MEMBER,
    needs: Needs = Needs.PRODUCT,
    feature: str | None = None,
    level: str | None = None,
) -> Callable[[View], View]:
    """People of the vendor in the address (``<code>``) or of the chosen one, with at least this role.

    ``feature`` (and ``level``): only where the plan has it; else 403 that names the tier which does (LIM-8).
    """
    return _declare(Audience(Side.VENDOR, role=role, needs=needs, feature=feature, level=level))


def staff(*kinds: StaffKind) -> Callable[[View], View]:
    """The operator's people; no kind named means all of them. Admins may do everything."""
    return _declare(Audience(Side.STAFF, staff=frozenset(kinds or StaffKind) | {StaffKind.ADMIN}))


def api(
    *reach: Reach,
    role: Role = Role.MEMBER,
    needs: Needs = Needs.PRODUCT,
    billing: bool = False,
    counts: Callable[[], str | None] | None = None,
    feature: str | None = None,
    level: str | None = None,
    proves: bool = False,
    recent: bool = False,
) -> Callable[[View], View]:
    """Programs: an API key that reaches one of these, or a person's access token with at least this role.

    ``billing``: tokens of scope billing reach it too (ACC-2). ``counts`` says, before anybody is known, which metric's
    counter the view will want, so that one statement brings both. ``feature`` (and ``level``): only where the plan has
    it, whoever calls. ``proves``: the view does what it does with ``callers.likely()`` in a statement that proves the
    caller, and otherwise lets ``callers.caller()`` look. ``recent``: the view gives answers that follow from the
    question and the caller alone by ``recent.answer``.
    """
    return _declare(
        Audience(Side.API, role, needs, frozenset(), frozenset(reach), billing, counts, feature, level, proves, recent)
    )


def of(view: Callable[..., Any] | None) -> Audience | None:
    """What a view declares, or None."""
    return getattr(view, ATTRIBUTE, None)
