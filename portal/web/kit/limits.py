"""Rate limits of the doors, counted per client address in Redis; in memory while Redis is away.

They slow down machines that try many addresses. What protects one account (ten guesses) is counted in the database
by the identity room.
"""

from flask_limiter import Limiter
from flask_limiter.util import get_qualified_name, get_remote_address

from portal.web.kit.hooks import HookedFlask

limiter = Limiter(get_remote_address, default_limits=[])

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


def init_app(app: HookedFlask) -> None:
    """Only single views have limits, which they look at themselves. Looking for limits of all or of a room's before
    every request, and for headers after it, took a quarter of a bare one.
    """
    with app.hooks_where(limited):
        limiter.init_app(app)


def limited(app: HookedFlask, endpoint: str) -> bool:
    """Has the view limits of its own?"""
    view = app.view_functions.get(endpoint)
    return view is not None and bool(limiter.limit_manager.decorated_limits(get_qualified_name(view)))
