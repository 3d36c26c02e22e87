"""Paging by the last row seen: every row once, in order, forwards and backwards, whatever is added meanwhile."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from portal.kit import clock
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.models import Heartbeat
from portal.kit.paging import Page, SortKey, decode, encode, fetch
from portal.kit.unit_of_work import unit_of_work

KEYS: list[SortKey] = [(Heartbeat.seen_at, "desc"), (Heartbeat.process, "asc")]
START = clock.wall().replace(microsecond=0)


def write(name: str, minutes: int) -> None:
    """A row, so many minutes after the start."""
    with unit_of_work() as session:
        session.add(Heartbeat(process=name, kind="test", seen_at=START + timedelta(minutes=minutes)))


@pytest.fixture
def rows(app: Flask) -> None:
    """Seven rows; b, c and d share their time. Newest first, then by name: g f e b c d a."""
    for name, minutes in (("a", 0), ("b", 1), ("c", 1), ("d", 1), ("e", 2), ("f", 3), ("g", 4)):
        write(name, minutes)


def page(cursor: str | None, size: int = 3) -> Page:
    db.session.rollback()
    return fetch(select(Heartbeat.process, Heartbeat.seen_at), KEYS, cursor, size)


def names(found: Page) -> str:
    return "".join(row.process for row in found.rows)


@pytest.mark.usefixtures("rows")
def test_walks_forwards_and_back_through_every_row() -> None:
    first = page(None)
    second = page(first.next)
    third = page(second.next)
    assert [names(p) for p in (first, second, third)] == ["gfe", "bcd", "a"]
    assert first.previous is None
    assert third.next is None
    assert names(page(third.previous)) == "bcd"
    assert names(page(second.previous)) == "gfe"
    assert page(second.previous).previous is None


@pytest.mark.usefixtures("rows")
def test_a_row_added_meanwhile_neither_repeats_nor_hides_another() -> None:
    first = page(None)
    write("z", 9)
    assert names(page(first.next)) == "bcd"
    assert names(page(page(first.next).previous)) == "gfe"
    assert page(page(first.next).previous).previous is not None


@pytest.mark.usefixtures("rows")
def test_an_exact_page_has_no_next() -> None:
    assert page(None, size=7).next is None
    assert names(page(None, size=7)) == "gfebcda"


@pytest.mark.usefixtures("app")
def test_nothing_has_neither_before_nor_after() -> None:
    assert page(None) == Page([], None, None)


@pytest.mark.once
@pytest.mark.parametrize(
    "cursor", ["", "x", "bm9uc2Vuc2U", "W10", encode(False, ["one"]), "é", encode(False, [1, 2, 3])]
)
def test_a_mangled_cursor_leads_nowhere(cursor: str) -> None:
    with pytest.raises(NotFound):
        decode(cursor, 2)


@pytest.mark.once
def test_a_cursor_keeps_direction_and_moments() -> None:
    assert decode(encode(True, [START, "kilim"]), 2) == (True, [START, "kilim"])
