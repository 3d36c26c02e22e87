"""The port through which a mail gets its words: the app hands in a renderer, since rooms know no templates."""

from collections.abc import Callable
from dataclasses import dataclass

from portal.notifications.models import SentMail


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail's words, and the names and addresses of the operator in its headers; reply_to may be empty."""

    subject: str
    text: str
    html: str
    sender_name: str
    reply_to: str


Renderer = Callable[[SentMail], Rendered]

_renderer: Renderer | None = None


def configure(renderer: Renderer) -> None:
    """Set this process's renderer."""
    global _renderer
    _renderer = renderer


def render(mail: SentMail) -> Rendered:
    """The mail in its recipient's language, links signed now."""
    if _renderer is None:
        raise RuntimeError("no renderer for mails is configured")
    return _renderer(mail)
