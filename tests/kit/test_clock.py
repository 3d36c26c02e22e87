"""Two clocks: business time moves with its file and never back, the wall never moves."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portal.kit import clock

pytestmark = pytest.mark.once
NEAR = timedelta(seconds=5)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """An offset file that does not exist yet; other tests' clock is put back afterwards."""
    before = clock._offset_file
    clock.configure(tmp_path / "offset")
    yield tmp_path / "offset"
    clock.configure(before)


def test_without_a_file_business_time_is_the_wall(file: Path) -> None:
    assert clock.offset() == timedelta()
    clock.configure(None)
    assert abs(clock.business() - datetime.now(UTC)) < NEAR


def test_moves_on_to_a_moment_and_leaves_the_wall_alone(file: Path) -> None:
    wanted = clock.wall() + timedelta(days=45)
    clock.move_to(wanted)
    assert abs(clock.business() - wanted) < NEAR
    assert abs(clock.wall() - datetime.now(UTC)) < NEAR
    assert clock.business().tzinfo is UTC


def test_another_process_may_move_it(file: Path) -> None:
    file.write_text("3600")
    assert clock.offset() == timedelta(hours=1)
    file.write_text("7200.5")
    os.utime(file, ns=(1, 1))
    assert clock.offset() == timedelta(hours=2, milliseconds=500)


def test_never_runs_backwards(file: Path) -> None:
    clock.move_to(clock.wall() + timedelta(days=2))
    with pytest.raises(ValueError, match="backwards"):
        clock.move_to(clock.wall() + timedelta(days=1))
    assert clock.offset() > timedelta(days=1, hours=23)


def test_cannot_be_moved_where_no_file_is_named(file: Path) -> None:
    clock.configure(None)
    with pytest.raises(RuntimeError, match="cannot be moved"):
        clock.move_to(clock.wall() + timedelta(days=1))
