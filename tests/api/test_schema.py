"""schemathesis on usage and the gate: whatever fits the document or does not, no fault and no undeclared answer.

Seeded and short here; thousands of examples under soak.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks

from portal.kit.db import db
from tests.conftest import load_catalog
from tests.support import people
from tests.support.databases import Cleaner
from tests.support.programs import bearer, key
from tests.support.travel import Travel

PATHS = r"^/api/(v1/)?(usage|entitlements|billing/usage)"
#: What is valid by its shape may still be late, known, too much or of another vendor: that is not for a schema to say.
SENSIBLE = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
)


@pytest.fixture(scope="module")
def api(built_app: Flask, folder: Any) -> Iterator[Any]:
    """The document of a portal with one vendor, asked with the platform's key."""
    cleaner: Cleaner = built_app.extensions["cleaner"]
    Travel(folder / "offset").to_the_start()
    cleaner.restore("empty")
    with built_app.app_context():
        load_catalog()
        who = people.register(tier="business")
        headers = bearer(key(None), who.code)
        db.session.remove()
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", built_app)
    schema.config.update(headers=headers)
    yield schema.include(path_regex=PATHS)


def everything(api: Any, mode: GenerationMode, **more: Any) -> int:
    """Ask every operation; gives how many could be. (schemathesis' own pytest plugin does not know pytest 9.)"""
    asked = 0
    for one in [each.ok() for each in api.get_all_operations()]:

        @given(case=one.as_strategy(generation_mode=mode))
        @settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, **more)
        def ask(case: Any) -> None:
            case.call_and_validate(checks=SENSIBLE, headers=api.config.headers)

        try:
            ask()
        except Unsatisfiable:  # what takes nothing cannot be sent anything wrong
            continue
        asked += 1
    return asked


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_nothing_breaks_it(api: Any, mode: GenerationMode) -> None:
    # Events, levels, history, check; those that take nothing cannot be asked wrongly: now by three names, entitlements.
    can = 8 if mode is GenerationMode.POSITIVE else 4
    phases = (Phase.explicit, Phase.generate)
    assert everything(api, mode, max_examples=12, derandomize=True, phases=phases) == can


@pytest.mark.soak
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_nothing_breaks_it_for_long(api: Any, mode: GenerationMode) -> None:
    assert everything(api, mode, max_examples=3000) >= 4
