"""Forms with files: only views that say so take more than a form's few bytes."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, request

from portal.web.kit.hooks import HookedFlask

View = TypeVar("View", bound=Callable[..., Any])
ATTRIBUTE = "portal_upload_limit"
#: What a form weighs beside its file.
MARGIN = 256 * 1024


def takes_files(largest: int) -> Callable[[View], View]:
    """Let this view take a file of so many bytes. What is larger is refused before it is read."""

    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, largest + MARGIN)
        return view

    return mark


def init_app(app: HookedFlask) -> None:
    """Before anything reads the form; CSRF protection does."""
    with app.hooks_where(lambda app, endpoint: hasattr(app.view_functions.get(endpoint), ATTRIBUTE)):

        @app.before_request
        def _allow() -> None:
            view = current_app.view_functions.get(request.endpoint or "")
            limit = getattr(view, ATTRIBUTE, None)
            if limit is not None:
                request.max_content_length = limit
