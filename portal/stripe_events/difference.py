"""A field in which Stripe and the portal differ."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which Stripe and the portal differ. ``subject`` is the Stripe id (an order's: ours) that it is about,
    ``label`` how people call that. Where ``repairable`` is False, the portal cannot follow Stripe by itself.
    """

    field: str
    ours: Any
    theirs: Any
    subject: str
    label: str = ""
    repairable: bool = True
