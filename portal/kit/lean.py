"""Importing a library without what it would bring along for an occasion that never comes here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """What is imported in this block finds these packages not installed; afterwards they can be imported again.

    For packages whose absence the importing library knows how to live with, and that cost every process megabytes.
    """
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
