"""Which tests run in one process of pytest-xdist's: those that share a running portal, or that load the machine.

A scheduler of our own, because pytest 9.2 no longer shows xdist's groups in the names that its own one reads.
"""

from xdist.scheduler import LoadScopeScheduling

#: The journeys share one stack; those in which weeks go by, or with another world outside, have a stack of their own.
ALONE = (
    "tests/browser/test_addons.py",
    "tests/browser/test_transfer.py",
    "tests/browser/test_journey.py",
    "tests/faults/",
    "tests/browser/",
)


class Together(LoadScopeScheduling):
    """Largest groups first; every other test goes to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in ALONE if nodeid.startswith(place)), nodeid)
