"""Commands typed beside ``make run`` know where its data and its keys are, without anybody exporting anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portal.cli import beside, setup_keys

PROJECT = Path(__file__).resolve().parents[2]


def started(data: Path, **told: str) -> dict[str, str]:
    """As a run leaves the folder; gives its keys."""
    (data / "run").mkdir(parents=True)
    beside.remember(data, told)
    return setup_keys.load_or_make(data / "keys.env")


def adopted(root: Path, **environ: str) -> dict[str, str]:
    beside.adopt(environ, root)
    return environ


def test_a_command_is_told_what_the_run_was_told(tmp_path: Path) -> None:
    keys = started(tmp_path / "var", PORT="9100", PLATFORM_DOMAIN="shops.test")
    told = adopted(tmp_path)
    assert told["SECRET_KEY"] == keys["SECRET_KEY"] and told["ENCRYPTION_KEYS"] == keys["ENCRYPTION_KEYS"]
    assert (told["BASE_URL"], told["STRIPE_API_BASE"]) == ("http://127.0.0.1:9100", "http://127.0.0.1:9101")
    assert told["DATA_DIR"] == str(tmp_path / "var") and told["PLATFORM_DOMAIN"] == "shops.test"
    assert told["REDIS_URL"].startswith("unix://") and "PROMETHEUS_MULTIPROC_DIR" not in told


@pytest.mark.parametrize("environ", [{"SECRET_KEY": "mine"}, {"APP_ENV": "production"}, {"DATA_DIR": "elsewhere"}])
def test_an_environment_of_ones_own_stays_as_it_is(tmp_path: Path, environ: dict[str, str]) -> None:
    started(tmp_path / "var")
    assert adopted(tmp_path, **environ) == environ


def test_a_run_on_other_data_is_never_mistaken(tmp_path: Path) -> None:
    started(tmp_path / "var", DATABASE_URL="postgresql://user:hidden@db/portal")
    assert "hidden" not in (tmp_path / "var" / "run" / "told.json").read_text()
    assert adopted(tmp_path) == {}
    told = adopted(tmp_path, DATABASE_URL="postgresql://user:hidden@db/portal")
    assert told["SECRET_KEY"] and told["DATABASE_URL"].startswith("postgresql://")


def test_a_broken_note_helps_nobody_and_hurts_nobody(tmp_path: Path) -> None:
    started(tmp_path / "var")
    (tmp_path / "var" / "run" / "told.json").write_text("{")
    assert adopted(tmp_path) == {}


def test_the_command_of_the_tour_works_in_a_bare_shell(tmp_path: Path) -> None:
    """With nothing but PATH in the environment, as in a terminal just opened."""
    started(tmp_path / "var")
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command = [sys.executable, "-m", "flask", "--app", "wsgi"]
    done = subprocess.run(
        [*command, "settings", "list"], cwd=PROJECT, env={**bare, "DATA_DIR": str(tmp_path / "var")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "SECRET_KEY must be set" not in done.stderr, done.stderr
    assert "no such table" in done.stderr, "it has looked into this folder's database, which nobody has prepared"
    assert json.loads((tmp_path / "var" / "run" / "told.json").read_text())["needs"] == []
