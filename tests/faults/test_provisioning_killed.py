"""Workers die while add-ons are set up, and the provider drops answers after it did the work: none lost, none twice.

Tried once with the asking taken away (``without="asking"``): things were made twice at the provider. The last test
here keeps that true: it fails when the harness would no longer notice.
"""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.addons.provider import Provider
from tests.faults.crew import Crew
from tests.faults.test_killed import crew

POINTS = ("after-the-provider's-effect", "before-the-outcome", "before-the-mark", "before-the-queue")
RUNS = "SELECT state, count(*) FROM provisioning_runs GROUP BY state"


@contextmanager
def running(folder: Path, monkeypatch: pytest.MonkeyPatch, without: str = "") -> Iterator[tuple[Crew, Provider]]:
    """Everything running, and a provider whose every fourth answer is lost."""
    provider = Provider()
    provider.lose_each = 4
    try:
        with crew(folder, monkeypatch, without, provider.url) as found:
            yield found, provider
    finally:
        provider.stop()


def order(crew: Crew, numbers: range) -> None:
    """Somebody has so many add-ons set up."""
    for n in numbers:
        crew.ask(f"/faults/addon/1/{n}")


def suffer(crew: Crew, *, jobs: int, kills: int, pause: float) -> None:
    """Add-ons are ordered and set up while workers die, at random and at the points where it hurts most."""
    rng = random.Random(4)
    crew.ask("/faults/register/1")
    with ThreadPoolExecutor(1) as pool:
        ordering = pool.submit(order, crew, range(jobs))
        while crew.kills < kills:
            crew.arm(POINTS[crew.kills % len(POINTS)]) if rng.random() < 0.6 else crew.kill("worker")
            time.sleep(pause)
            crew.tend()
        ordering.result()


def is_through(crew: Crew, jobs: int) -> bool:
    """Every run is done, within two minutes of the crew's own."""

    def done() -> bool:
        crew.tend()
        return crew.rows(RUNS) == [("done", jobs)]

    return crew.within(120, done)


def check(crew: Crew, provider: Provider, jobs: int) -> None:
    """None lost, none twice: here, at the provider, and in the mails."""
    assert is_through(crew, jobs), (crew.rows(RUNS), crew.tail())
    assert sorted(provider.made.values()) == [1] * jobs
    assert crew.rows("SELECT status, count(*) FROM vendor_addons GROUP BY status") == [("active", jobs)]
    assert crew.rows("SELECT state, count(*) FROM provisioning_steps GROUP BY state") == [("done", 2 * jobs)]
    assert crew.rows("SELECT count(*) FROM sent_mails WHERE kind = 'addon_ready'") == [(jobs,)]
    assert crew.rows("SELECT task, last_error FROM outbox_jobs WHERE state = 'dead'") == []
    # One grant of two sites for each.
    assert crew.rows("SELECT count(*), sum(amount) FROM entitlement_grants WHERE source = 'addon'") == [
        (jobs, 2 * jobs)
    ]


@pytest.mark.once
def test_three_kills_while_twenty_are_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, monkeypatch) as (crew, provider):
        suffer(crew, jobs=20, kills=3, pause=0.3)
        assert crew.kills >= 3
        check(crew, provider, 20)


@pytest.mark.thorough
def test_twenty_kills_while_two_hundred_are_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, monkeypatch) as (crew, provider):
        suffer(crew, jobs=200, kills=20, pause=0.5)
        assert crew.kills >= 20
        check(crew, provider, 200)


@pytest.mark.soak
def test_without_asking_first_things_are_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness notices: otherwise its silence would prove nothing."""
    with running(tmp_path, monkeypatch, "asking") as (crew, provider):
        suffer(crew, jobs=20, kills=0, pause=0.3)
        assert is_through(crew, 20), crew.rows(RUNS)
        assert max(provider.made.values()) > 1
