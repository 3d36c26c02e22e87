"""Importing without what a library would bring along: only there, and only for as long."""

import importlib

import pytest

from portal.kit.lean import without


def test_a_package_is_away_within_the_block_alone() -> None:
    with without("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_one_that_was_imported_before_stays_for_those_who_use_it() -> None:
    known = importlib.import_module("json")
    with without("json"):
        assert importlib.import_module("json") is known
