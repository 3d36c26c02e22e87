"""Rate limits of the doors, counted per client address in Redis; in memory while Redis is away.

They slow down machines that try many addresses. What protects one account (ten guesses) is counted in the database
by the identity room.
"""

from flask_limiter import Limiter
from flask_limiter.util import get_remote_address


class DoorLimiter(Limiter):
    """Limits stand at views alone, and their own wrapper asks for them: looking before each request for limits of the
    whole portal, which there are none of, took a quarter of a bare request.
    """

    def _check_request_limit(self, callable_name: str | None = None, in_middleware: bool = True) -> None:
        if not in_middleware:
            super()._check_request_limit(callable_name, in_middleware)


limiter = DoorLimiter(get_remote_address, default_limits=[])

SIGN_IN = "60 per 15 minutes"
REGISTER = "30 per hour"
MAIL_A_LINK = "15 per 15 minutes"
ASK = "20 per hour"
LOOK = "60 per hour"
INVITE = "40 per hour"
OPEN_A_LINK = "60 per 15 minutes"
ADD_A_DOMAIN = "60 per hour"
ASK_FOR_A_NAME = "30 per minute"
MAILBOX = "60 per hour"
