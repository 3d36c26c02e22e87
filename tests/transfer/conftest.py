"""An operator that takes bank transfers and has no Stripe at all."""

from collections.abc import Iterator

import pytest
from flask import Flask

from portal.gateways import stripe
from tests.transfer.steps import offer


@pytest.fixture
def without_stripe(catalog: Flask) -> Iterator[Flask]:
    """No STRIPE_SECRET_KEY: whoever asks for Stripe gets an error."""
    config = catalog.extensions["portal_config"]
    stripe.configure("", "", 0)
    yield catalog
    stripe.configure(
        secret_key=config.stripe_secret_key.get_secret_value(),
        api_base=config.stripe_api_base,
        max_retries=config.stripe_max_retries,
    )


@pytest.fixture
def bank(without_stripe: Flask, unscoped: None) -> Flask:
    """Bank transfer is offered, with an account to pay to."""
    offer()
    return without_stripe
