"""A vendor with an account, and its books proved after every test."""

from collections.abc import Iterator

import pytest
from flask import Flask

from portal.credits import queries, service
from portal.kit import tenancy
from portal.kit.unit_of_work import unit_of_work
from tests.support.tenants import make_vendor


@pytest.fixture
def vendor_id(app: Flask) -> Iterator[int]:
    """A vendor with an empty credit account; afterwards ledger, lots and balance must still agree."""
    vendor = make_vendor()
    with tenancy.scoped(vendor):
        with unit_of_work():
            service.open_account(vendor)
        yield vendor
    with tenancy.unscoped("the books are proved after every test"):
        assert queries.verify() == []
