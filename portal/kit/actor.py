"""Who does something: every writing verb is handed one, nobody below the doors asks for the current user."""

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["user", "staff", "api_key", "system", "stripe"]


@dataclass(frozen=True, slots=True)
class Actor:
    """``id`` is the row of the user, staff user or key; ``label`` is what history shows (a name, never a secret)."""

    kind: ActorKind
    label: str
    id: int | None = None

    @property
    def is_staff(self) -> bool:
        """May do what only the operator's people may."""
        return self.kind == "staff"


SYSTEM = Actor("system", "system")
STRIPE = Actor("stripe", "Stripe")


def user(user_id: int, name: str) -> Actor:
    """A person of a vendor."""
    return Actor("user", name, user_id)


def staff(user_id: int, name: str) -> Actor:
    """One of the operator's people."""
    return Actor("staff", name, user_id)


def api_key(key_id: int, name: str) -> Actor:
    """A program, by the name of its key."""
    return Actor("api_key", name, key_id)
