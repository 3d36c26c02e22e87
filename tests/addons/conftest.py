"""Fixtures for add-ons that a provider sets up."""

from collections.abc import Iterator

import pytest

from tests.addons.provider import Provider
from tests.support.outside import account, mailcow, names, platform

__all__ = ["account", "mailcow", "names", "platform", "provider"]


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider in good health, over HTTP."""
    found = Provider()
    yield found
    found.stop()
