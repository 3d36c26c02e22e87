"""What sets an add-on up: recipes of steps, and the rule that each step asks first and then acts.

A recipe module defines its steps, builds a ``Recipe`` and hands it to ``register`` when it is imported (``jobs.py``
imports them all). The engine (``runner``) calls a step like this, at each attempt:

1. ``reference(ctx)``: our own name for the thing, written to the row *before* anybody outside hears of it;
2. ``find(ctx)``: is it there already? An answer that was lost is found again, nothing is made twice;
3. ``act(ctx)``, only when nothing was found;
4. ``keep(ctx, outcome)``, inside the transaction that records the outcome: what the room's own tables should show.

2 and 3 run with no unit of work open. They may read through queries (the gateways end the reading before the network).
They may raise: ``Unavailable`` and ``TooMany`` are tried again, another PortalError is a refusal, anything else is a
fault of ours that is logged and tried again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from portal.addons.rules import RunKind


@dataclass(frozen=True, slots=True)
class Context:
    """What a step may know, as plain values read at the start of the attempt.

    ``config``, ``variant`` and ``quantity`` are the add-on's as they are now; ``input`` is what this run was begun
    with. ``reference`` is what is written on the step's row. ``results`` holds what steps came to, by their code: the
    newest of each over all runs of this add-on, so that a TEARDOWN knows what its SETUP made. Each holds the step's
    ``reference`` too, also when the step never finished: what it may have made has to be looked for.
    """

    vendor_id: int
    vendor_code: str
    vendor_name: str
    vendor_addon_id: int
    product: str
    product_name: str
    variant: str
    quantity: int
    config: Mapping[str, Any]
    run_id: int
    kind: RunKind
    input: Mapping[str, Any]
    step_id: int
    attempt: int
    reference: str | None
    results: Mapping[str, Mapping[str, Any]]
    promised_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """It is there already. ``result`` is JSON and never holds a secret: vendors and staff may read it."""

    reference: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """It was made now; like Found. ``message`` is for the log, with ``data`` in it."""

    reference: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WaitVendor:
    """Nothing more happens until the vendor does something; looked at again after ``check_after`` (``find`` first).

    Such looks are not counted as attempts. ``message`` (a message id, filled from ``data``) says what to do.
    """

    message: str
    check_after: timedelta
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WaitStaff:
    """A person of the operator must do something by ``due_at`` and then complete the step by hand.

    ``check_after``: look by ourselves too (``find`` first); None: only a person goes on from here.
    """

    message: str
    due_at: datetime
    checklist: tuple[str, ...] = ()
    check_after: timedelta | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now; tried again ``after`` so long, or after the engine's growing gap. Counted: the last one is a Refused.

    ``detail`` is for staff alone: what the provider said, without secrets.
    """

    message: str
    after: timedelta | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be done like this: the run has failed, and staff must look."""

    message: str
    data: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""


Outcome = Done | WaitVendor | WaitStaff | Retry | Refused


class Place(StrEnum):
    """Where the vendor does what a step waits for."""

    NOWHERE = ""
    DOMAINS = "domains"
    MAILBOXES = "mailboxes"
    CERTIFICATE = "certificate"


class Step:
    """One step of a recipe; it keeps nothing between calls. ``code`` stands in rows: never rename it.

    ``title`` (N_) is what the vendor reads in the list of steps; ``staff_title`` what staff read where it differs.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    staff_title: ClassVar[str] = ""
    place: ClassVar[Place] = Place.NOWHERE
    can_undo: ClassVar[bool] = False

    def reference(self, ctx: Context) -> str | None:
        """Our own name for what is made, where the provider lets us choose; the same for the same ``ctx.step_id``."""
        return None

    def find(self, ctx: Context) -> Found | None:
        """Ask whether it is there already, without changing anything. None: certainly not there."""
        raise NotImplementedError

    def act(self, ctx: Context) -> Outcome:
        """Make it."""
        raise NotImplementedError

    def undo(self, ctx: Context) -> None:
        """Take back what this step made (``can_undo``); harmless when there is nothing any more."""
        raise NotImplementedError

    def keep(self, ctx: Context, outcome: Outcome, *, now: datetime) -> None:
        """Write what the room's own tables should show, inside the unit of work that records ``outcome``.

        Found comes as Done; retries that are used up come as Refused. Called once for each recorded outcome, also
        when staff completed the step by hand (Done).
        """


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps for each kind of run. ``code`` stands in rows: never rename it. An empty tuple: nothing is to be done.

    ``fits`` says whether this recipe can serve an add-on of that config in this installation (is the registrar
    configured?). Of those that fit the one of highest ``rank`` is chosen; the manual one fits always, at rank 0.
    """

    code: str
    provisioning: tuple[str, ...]
    setup: tuple[type[Step], ...]
    change: tuple[type[Step], ...] = ()
    teardown: tuple[type[Step], ...] = ()
    fits: Callable[[Mapping[str, Any]], bool] = lambda config: True
    rank: int = 10

    def steps(self, kind: RunKind) -> tuple[type[Step], ...]:
        """The steps of one kind of run, in their order."""
        return {RunKind.SETUP: self.setup, RunKind.CHANGE: self.change, RunKind.TEARDOWN: self.teardown}[kind]


_recipes: dict[str, Recipe] = {}


def register(recipe: Recipe) -> Recipe:
    """Make a recipe known, when its module is imported; ValueError for a code that another one has."""
    if recipe.code in _recipes:
        raise ValueError(f"two recipes {recipe.code}")
    _recipes[recipe.code] = recipe
    return recipe


def choose(provisioning: str, config: Mapping[str, Any]) -> Recipe:
    """The recipe for a new run of a product's ``provisioning`` kind, as this installation is configured now."""
    fitting = [r for r in _recipes.values() if provisioning in r.provisioning and r.fits(config)]
    return max(fitting, key=lambda recipe: recipe.rank)


def recipe(code: str) -> Recipe:
    """The recipe that a run was begun with; KeyError when nothing registered it."""
    return _recipes[code]


def step(recipe_code: str, kind: RunKind, step_code: str) -> Step:
    """The step of a row; KeyError for one that its recipe has no more."""
    return {each.code: each for each in recipe(recipe_code).steps(kind)}[step_code]()
