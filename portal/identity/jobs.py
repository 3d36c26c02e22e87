"""What the identity room does later: links for people who asked for one, and forgetting what is no longer needed."""

from datetime import timedelta

from sqlalchemy import delete, or_

from portal.identity import guesses, mails, queries
from portal.identity.models import RefreshToken, UserSession
from portal.kit import clock, tasks
from portal.kit.db import db


@tasks.task("identity.send_reset_link")
def send_reset_link(email_key: str) -> None:
    """Mail the link if there is such an account; say nothing if not."""
    user = queries.user_by_key(email_key)
    if user and user.blocked_at is None:
        mails.reset(user, now=clock.business())


@tasks.task("identity.send_verification_link")
def send_verification_link(email_key: str) -> None:
    """Mail the link if there is such an account with an address that is not confirmed."""
    user = queries.user_by_key(email_key)
    if user and user.blocked_at is None and user.email_verified_at is None:
        mails.verification(user, cause=str(int(clock.wall().timestamp())), now=clock.business())


@tasks.periodic("identity.forget", every=timedelta(days=1), clock="wall")
@tasks.task("identity.forget")
def forget() -> None:
    """Drop sign-in attempts after a day, and sessions and tokens a month after they ended."""
    now = clock.wall()
    guesses.forget(now - timedelta(days=1))
    for table in (UserSession, RefreshToken):
        long_ago = now - timedelta(days=30)
        db.session.execute(delete(table).where(or_(table.expires_at < long_ago, table.revoked_at < long_ago)))
