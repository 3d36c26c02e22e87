"""Fixtures for add-ons that a provider sets up."""

from collections.abc import Iterator

import pytest

from tests.addons.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider in good health, over HTTP."""
    found = Provider()
    yield found
    found.stop()
