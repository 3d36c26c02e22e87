"""Proving who one is: counting the guess, checking it without a transaction open, and signing in."""

from portal.identity import guesses, links, passwords, queries, second_factor, service
from portal.identity.links import Purpose
from portal.identity.models import User
from portal.identity.rules import email_key
from portal.kit.errors import Forbidden, Unauthenticated
from portal.kit.text import N_
from portal.kit.unit_of_work import end_reading, unit_of_work


def prove(email: str, password: str) -> User:
    """The user with this address and password, in the same time for every address.

    Unauthenticated when they do not fit, TooMany after ten wrong guesses in a quarter of an hour, Forbidden (code
    BLOCKED) when they fit a blocked person.
    """
    key = email_key(email)
    attempt = guesses.admit(key)
    user = queries.user_by_key(key)
    end_reading()
    if not passwords.matches(user.password_hash if user else None, password) or user is None:
        raise Unauthenticated(N_("Email address or password is wrong."), code="invalid_credentials")
    renewed = passwords.hashed(password) if passwords.outdated(user.password_hash or "") else None
    with unit_of_work():
        guesses.succeeded(attempt, user.id)
        if renewed:
            service.locked(user.id).password_hash = renewed
    if user.blocked_at:
        raise Forbidden(N_("This account is blocked. Please write to support."), code="BLOCKED")
    return user


class CodeNeeded(Unauthenticated):
    """The password is right and a code is asked for too; ``challenge`` says so to the next step, for ten minutes."""

    code, message = "second_factor_required", N_("Enter the code that your app shows.")

    def __init__(self, challenge: str) -> None:
        super().__init__()
        self.challenge = challenge


def sign_in(email: str, password: str) -> str:
    """Prove who one is and open a session; gives its token. Raises what ``prove`` raises, and CodeNeeded for somebody
    with a second factor: second_factor_flows.enter goes on from there.
    """
    user = prove(email, password)
    if second_factor.is_on(user.id):
        raise CodeNeeded(links.make(Purpose.SECOND_FACTOR, user))
    with unit_of_work():
        return service.open_session(user.id)
