"""The test client as a browser: what a test has pushed or set does not reach into its requests."""

from contextvars import Context
from typing import Any

from flask import has_app_context
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal.kit.db import db


class Browser(FlaskClient):
    """Each request starts with an empty context, as in a server.

    Otherwise Flask would reuse the test's own application context, and with it ``g``: who is signed in, the frame and
    the tenant of one request would still stand in the next. The test's session reads anew after every request.
    """

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send the request."""
        try:
            return Context().run(super().open, *args, **kwargs)
        finally:
            if has_app_context():
                db.session.rollback()
                db.session.expire_all()  # a session without a transaction keeps what it read before
