"""States of add-ons, of their setting up, and of domains; pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class AddonStatus(StrEnum):
    """Where a vendor's add-on stands (ADD-3)."""

    PENDING_SETUP = "pending_setup"
    ACTIVE = "active"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Origin(StrEnum):
    """How a vendor came by an add-on: bought, included in its tier, or given by the operator's staff."""

    BOUGHT = "bought"
    INCLUDED = "included"
    GIVEN = "given"


class RunKind(StrEnum):
    """What a run of steps is for."""

    SETUP = "setup"
    CHANGE = "change"
    TEARDOWN = "teardown"


class RunState(StrEnum):
    """running: steps follow by themselves; waiting: for the vendor or for staff; failed: given up, staff must look."""

    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepState(StrEnum):
    """Where one step stands."""

    TODO = "todo"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING_VENDOR = "waiting_vendor"
    WAITING_STAFF = "waiting_staff"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNDONE = "undone"


class DomainKind(StrEnum):
    """Registered for the vendor through the operator's registrar, or the vendor's own, pointed here."""

    REGISTERED = "registered"
    OWN = "own"


class DomainState(StrEnum):
    """pending: nothing proven yet; registering: ordered; failing: was active, and its records have gone."""

    PENDING = "pending"
    REGISTERING = "registering"
    ACTIVE = "active"
    FAILING = "failing"
    FAILED = "failed"
    REMOVED = "removed"


class Unit(StrEnum):
    """What an add-on's size is counted in."""

    ADDRESSES = "addresses"
    GIGABYTES = "gigabytes"
    PIECES = "pieces"


def size(provisioning: str, variant: str, quantity: int, grants: Mapping[str, Any]) -> tuple[Unit, int]:
    """How much of it: so many email addresses, so many gigabytes, or so many of it."""
    if provisioning == "mailboxes":
        return Unit.ADDRESSES, (int(variant) if variant.isdigit() else 1) * quantity
    each = grants.get("limits", {}).get(variant, {}).get("storage_gb")
    if provisioning == "storage" and each:
        return Unit.GIGABYTES, int(each) * quantity
    return Unit.PIECES, quantity


class MailboxState(StrEnum):
    """Where a mailbox stands at the host of mail."""

    PENDING = "pending"
    ACTIVE = "active"
    FAILED = "failed"
    REMOVED = "removed"
