"""Children that crash are started again with growing gaps, their lines are kept, and none outlives its stop."""

import io
import os
import signal
import stat
import sys

import pytest

from portal.cli.embedded_crew import BURST, WINDOW, Console, Crew
from portal.cli.embedded_process import Backoff, Child, is_serious
from portal.cli.setup_lock import birth
from portal.cli.setup_ports import wait_until


@pytest.fixture
def hire(tmp_path):
    """Makes children of a line of Python; whatever lives at the end of the test is killed."""
    hired = []

    def make(name, code, **more):
        shown = more.pop("shown", [])
        child = Child(
            name,
            [sys.executable, "-c", code],
            dict(os.environ),
            tmp_path,
            tmp_path,
            lambda *line: shown.append(line),
            **more,
        )
        hired.append(child)
        return child

    yield make
    for child in hired:
        child.stop()


def test_gaps_double_up_to_the_longest():
    # 0.5 · 2⁰, 0.5 · 2¹, … = 0.5, 1, 2, 4; 8 is over the longest of 5.
    backoff = Backoff(first=0.5, longest=5)
    assert [backoff.after(ran_for=0) for _ in range(6)] == [0.5, 1, 2, 4, 5, 5]


def test_a_run_that_lasted_begins_the_gaps_anew():
    backoff = Backoff(first=0.5, lasted=30)
    assert [backoff.after(1), backoff.after(29), backoff.after(30), backoff.after(1)] == [0.5, 1, 0.5, 1]


def test_a_crashed_child_is_started_again_after_its_gap_and_not_before(hire):
    said = []
    crew = Crew(said.append)
    child = hire("worker", "import sys; sys.exit(3)")
    crew.start(child, now=100.0)
    first = child.process
    first.wait()
    crew.tick(101.0)  # noticed at 101, so due at 101 + 0.5
    crew.tick(101.4)
    assert child.process is first
    crew.tick(101.5)
    assert child.process is not first
    assert said == [f"worker ended (exit 3); starting it again in 0.5 s. Its log: {child.log_path}"]


def test_each_further_crash_waits_longer(hire):
    said = []
    crew = Crew(said.append)
    child = hire("web", "raise SystemExit(1)")
    crew.start(child, now=0.0)
    for noticed in (10.0, 20.0, 30.0):
        child.process.wait()
        crew.tick(noticed)
        crew.tick(noticed + 5)  # every gap so far is over; it crashes again at once
    assert ["in 0.5 s" in said[0], "in 1 s" in said[1], "in 2 s" in said[2]] == [True] * 3


def test_a_child_killed_by_a_signal_is_named_so(hire):
    said = []
    crew = Crew(said.append)
    child = hire("redis", "import time; time.sleep(60)")
    crew.start(child, now=0.0)
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()
    crew.tick(1.0)
    assert "redis ended (signal 9)" in said[0]


def test_all_lines_go_to_a_private_log_and_warnings_to_the_terminal(hire):
    shown = []
    child = hire("web", "print('[info     ] quiet'); print('[warning  ] loud')", shown=shown)
    child.start()
    child.process.wait()
    child.stop()
    assert child.log_path.read_text().splitlines() == ["[info     ] quiet", "[warning  ] loud"]
    assert shown == [("web", "[warning  ] loud")]
    assert child.tail(1) == "[warning  ] loud"


def test_bytes_that_are_no_text_do_no_harm(hire):
    child = hire("web", r"import sys; sys.stdout.buffer.write(b'caf\xe9 %s\n')")
    child.start()
    child.process.wait()
    child.stop()
    assert child.log_path.read_text() == "caf� %s\n"


GRANDPARENT = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("grandchild", "w").write(str(child.pid))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_stop_ends_the_deaf_and_what_they_started(hire, tmp_path):
    shown = []
    child = hire("web", GRANDPARENT, shown=shown, wanted=lambda line: True, patience=0.1)
    child.start()
    assert wait_until(lambda: shown == [("web", "ready")], seconds=10)
    grandchild = int((tmp_path / "grandchild").read_text())
    child.stop()
    assert not child.running
    assert wait_until(lambda: not birth(grandchild), seconds=5)


ORDERLY = """
import signal, sys, time
def end(*_):
    open("ended", "a").write("{name} ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""


def test_the_crew_stops_in_the_order_given(hire, tmp_path):
    shown = []
    crew = Crew(lambda text: None)
    for name in ("redis", "worker", "web"):
        crew.start(hire(name, ORDERLY.format(name=name), shown=shown, wanted=lambda line: True), now=0.0)
    assert wait_until(lambda: len(shown) == 3, seconds=10)
    crew.stop([["web"], ["worker"], ["redis"]])
    assert (tmp_path / "ended").read_text().split() == ["web", "worker", "redis"]


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-21T10:00:00Z [warning  ] slow query [portal.kit]",
        '{"event": "boom", "level": "error"}',
        "[WARN] worker respawned",
        "[ERROR] Unable to bind",
        "ERROR: something else",
    ],
)
def test_warnings_and_worse_are_serious(line):
    assert is_serious(line)


@pytest.mark.parametrize(
    "line",
    [
        "[info     ] 0 errors found",
        "GET /warnings 200",
        "Traceback (most recent call last):",
        '{"level": "info", "errors": 0}',
        "",
    ],
)
def test_other_lines_are_not(line):
    assert not is_serious(line)


def test_a_flood_is_cut_short_and_flows_again_later():
    out, now = io.StringIO(), [0.0]
    console = Console(out, clock=lambda: now[0])
    for number in range(BURST * 3):
        console.child("web", f"line {number}")
    lines = out.getvalue().splitlines()
    assert len(lines) == BURST + 1
    assert lines[-1].endswith("… and more; all of it is in its log")
    now[0] = WINDOW + 1
    console.child("web", "later")
    assert out.getvalue().splitlines()[-1] == "      web | later"


def test_a_log_is_for_its_owner_alone(hire, tmp_path):
    before = os.umask(0o077)
    try:
        child = hire("web", "print('line')")
        child.start()
        child.process.wait()
        child.stop()
    finally:
        os.umask(before)
    assert stat.S_IMODE(child.log_path.stat().st_mode) == 0o600
