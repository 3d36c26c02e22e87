"""What a ticket is; pure."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Scope(StrEnum):
    """Whose ticket: a vendor's, or a visitor's who has no vendor."""

    VENDOR = "vendor"
    PUBLIC = "public"


class TicketKind(StrEnum):
    """What it is about: a question, or a plan whose price must be agreed (SUB-6)."""

    QUESTION = "question"
    SALES = "sales"


class TicketState(StrEnum):
    """Open: the operator must answer. Answered: the asker's turn. Closed: done; a reply opens it again."""

    OPEN = "open"
    ANSWERED = "answered"
    CLOSED = "closed"


class Author(StrEnum):
    """Who wrote a message."""

    VENDOR = "vendor"
    VISITOR = "visitor"
    STAFF = "staff"


SUBJECT_MAX, BODY_MAX = 150, 5000

#: The same words again within this time are the same message: a double click, or a page sent twice.
SAME_AGAIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who asks, and where the answer goes."""

    name: str
    email: str
    locale: str
    user_id: int | None = None
