"""At most ten guesses of an account's password are evaluated in fifteen minutes, however many come at once (ACC-10).

An attempt is written and committed before it is counted, so among any eleven the last to commit sees all the others:
two processes can never both believe to be the tenth. Unknown addresses are counted alike, so the limit tells nothing.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from portal.identity.models import SignIn
from portal.identity.rules import GUESS_WINDOW, GUESSES
from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import TooMany
from portal.kit.text import N_
from portal.kit.unit_of_work import unit_of_work


def admit(email_key: str) -> int:
    """Count an attempt, in transactions of its own; gives its id. TooMany when ten others failed or are under way.

    A refused attempt is not counted, so knocking on does not lengthen the wait.
    """
    with unit_of_work() as session:
        attempt = SignIn(email_key=email_key[:254], succeeded=False, at=clock.wall())
        session.add(attempt)
    with unit_of_work():
        wait = _wait(email_key)
        if wait:
            db.session.execute(delete(SignIn).where(SignIn.id == attempt.id))
    if wait:
        raise TooMany(
            N_("Too many wrong passwords. Wait a quarter of an hour, or reset the password."), retry_after=wait
        )
    return attempt.id


def succeeded(attempt_id: int, user_id: int) -> None:
    """The attempt was right: it is no guess any more. Inside a unit of work."""
    attempt = db.session.get_one(SignIn, attempt_id)
    attempt.succeeded, attempt.user_id = True, user_id


def forget(before: datetime) -> None:
    """Drop attempts that no window reaches any more. Inside a unit of work."""
    db.session.execute(delete(SignIn).where(SignIn.at < before))


def _wait(email_key: str) -> int:
    """Seconds until another guess is admitted; 0 when it is admitted now."""
    now = clock.wall()
    count, oldest = db.session.execute(
        select(func.count(), func.min(SignIn.at)).where(
            SignIn.email_key == email_key[:254], SignIn.succeeded.is_(False), SignIn.at > now - GUESS_WINDOW
        )
    ).one()
    if count <= GUESSES:
        return 0
    return max(1, int((oldest + GUESS_WINDOW - now) / timedelta(seconds=1)) + 1)
