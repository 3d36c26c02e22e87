"""Seats of a team: every member holds one, and every open invitation. The gate says whether another one is free.

The counter is the number of members and open invitations at every commit: a seat is taken and given back in the
transaction that writes or ends the row it belongs to. Accepting an invitation hands its seat over to the member.
"""

from dataclasses import dataclass
from datetime import datetime

from portal.catalog.rules import Metric
from portal.entitlements import gate
from portal.kit.errors import PortalError
from portal.usage import service as usage
from portal.usage.rules import EPOCH

METRIC = Metric.TEAM_MEMBERS


def take_for_owner(vendor_id: int, *, now: datetime) -> None:
    """The owner's own seat, counted and never refused: a vendor without its owner cannot be.

    Counted before the plan is chosen, so that a plan of one seat does not begin with an alert that it is full. The key
    is the one under which teams that are older than seats were counted.
    """
    usage.record(vendor_id, METRIC, 1, key="team:start", at=now, period_start=EPOCH)


def hold(vendor_id: int, invitation_id: int, *, now: datetime) -> None:
    """Take a seat for an invitation. LimitReached when none is free, Closed when the product is."""
    gate.admit(vendor_id, METRIC, key=f"invitation:{invitation_id}", now=now)


def release_invitation(vendor_id: int, invitation_id: int, *, now: datetime) -> None:
    """The invitation ended without anybody joining; a second call gives nothing back."""
    gate.give_back(vendor_id, METRIC, key=f"invitation:{invitation_id}", now=now)


def release_member(vendor_id: int, member_id: int, *, now: datetime) -> None:
    """Somebody is in the team no more; a second call gives nothing back."""
    gate.give_back(vendor_id, METRIC, key=f"member:{member_id}", now=now)


@dataclass(frozen=True, slots=True)
class Taken:
    """Seats in use, and how many the plan has; ``limit`` None: as many as one likes."""

    used: int
    limit: int | None


def taken(vendor_id: int, *, now: datetime) -> Taken:
    """How many seats are taken; one statement."""
    verdict = gate.check(vendor_id, METRIC, 0, now=now)
    return Taken(verdict.used, verdict.limit)


def refusal(vendor_id: int, *, now: datetime) -> PortalError | None:
    """Why nobody more can be invited now, None while a seat is free; ``hold`` asks again under the counter's lock."""
    return gate.explained(vendor_id, gate.check(vendor_id, METRIC, now=now), now=now)


def too_many(vendor_id: int, *, now: datetime) -> bool:
    """Are more seats taken than the plan has? So it may be after a downgrade: who is in stays, nobody new joins."""
    seats = taken(vendor_id, now=now)
    return seats.limit is not None and seats.used > seats.limit
