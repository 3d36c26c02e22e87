"""Periodic work on credits."""

from datetime import timedelta

from portal.credits import service
from portal.kit import clock, tasks
from portal.kit.unit_of_work import unit_of_work


@tasks.periodic("credits.expire", every=timedelta(hours=1))
@tasks.task("credits.expire", kind="flow")
def expire() -> None:
    """Take away credits whose time has passed, vendors by the hundred; safe to repeat and to run in parallel."""
    while True:
        with unit_of_work():
            expired = service.expire_due(clock.business())
        if not expired:
            return
