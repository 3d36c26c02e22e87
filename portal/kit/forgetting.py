"""Jobs that were done long ago are forgotten, so that the table stays as large as a month's work.

With a job goes its dedupe key. Nothing needs one that old: a periodic task's period is in ``periodic_runs``, mails,
notes, webhooks and Stripe's events have keys in tables of their own, and whoever looks hourly or daily for what is due
(trials, debts, transfers, promises, orders, certificates, names) looks at rows that the job itself has moved on; the
key only spares the repetition between two looks. What is still due a month later is tried once more, which is meant:
every handler may be repeated, and those that ask somebody outside ask first what is there.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, select

from portal.kit import clock
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.tasks import periodic, task
from portal.kit.unit_of_work import unit_of_work

KEPT_FOR = timedelta(days=30)
#: Rows in one transaction, and transactions in one go: short locks, and a lease that is not outlived.
BATCH, BATCHES = 1000, 20


def forget_done(before: datetime, limit: int) -> int:
    """Delete the jobs that were done before ``before`` (wall), oldest first; returns how many. In a unit of work.

    What waits and what was given up (dead letters) stays. Two at once delete the same rows once.
    """
    old = (
        select(OutboxJob.id)
        .where(OutboxJob.state == "done", OutboxJob.run_at < before, OutboxJob.done_at < before)
        .order_by(OutboxJob.run_at, OutboxJob.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = list(db.session.scalars(old))
    if found:
        gone = delete(OutboxJob).where(OutboxJob.id.in_(found))
        db.session.execute(gone.execution_options(synchronize_session=False))
    return len(found)


@periodic("kit.forget_jobs", every=timedelta(hours=1), clock="wall")
@task("kit.forget_jobs", kind="flow")
def forget_jobs() -> None:
    """Forget in batches; what is left after the last one has its turn with the next period."""
    before = clock.wall() - KEPT_FOR
    for _ in range(BATCHES):
        with unit_of_work():
            gone = forget_done(before, BATCH)
        if gone < BATCH:
            return
