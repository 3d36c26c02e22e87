"""One supervisor per folder, and leftovers of a killed one are ended, never a stranger."""

import json
import os
import subprocess
import sys

import pytest

from portal.cli.setup_lock import AlreadyRunning, Leftovers, SupervisorLock, birth


def test_a_second_start_is_told_where_the_first_one_is(tmp_path):
    first, second = SupervisorLock(tmp_path), SupervisorLock(tmp_path)
    first.take("http://127.0.0.1:9000")
    with pytest.raises(AlreadyRunning) as refusal:
        second.take("http://127.0.0.1:9100")
    assert "http://127.0.0.1:9000" in str(refusal.value)
    assert f"kill {os.getpid()}" in str(refusal.value)
    first.release()
    second.take("http://127.0.0.1:9100")
    second.release()


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_what_a_killed_supervisor_left_is_ended(tmp_path, sleeper):
    Leftovers(tmp_path / "children.json").record([sleeper.pid])
    successor = Leftovers(tmp_path / "children.json")
    assert successor.alive() == [sleeper.pid]
    assert successor.end() == 1
    assert sleeper.wait(timeout=5) < 0
    assert successor.alive() == []


def test_a_stranger_who_got_the_number_since_is_left_alone(tmp_path, sleeper):
    (tmp_path / "children.json").write_text(json.dumps({str(sleeper.pid): "born at another time"}))
    assert Leftovers(tmp_path / "children.json").end() == 0
    assert sleeper.poll() is None


@pytest.mark.parametrize("content", [None, "", "{not json"])
def test_a_missing_or_broken_list_means_nobody(tmp_path, content):
    if content is not None:
        (tmp_path / "children.json").write_text(content)
    assert Leftovers(tmp_path / "children.json").end() == 0


def test_a_process_is_known_by_its_birth_from_its_first_instant_to_its_last(sleeper):
    born = birth(sleeper.pid)
    assert born
    assert birth(sleeper.pid) == born
    sleeper.kill()
    assert os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert birth(sleeper.pid) == "", "a zombie runs no more"
