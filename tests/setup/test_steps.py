"""Finished steps of the set-up are skipped, changed ones repeated, and what cannot work is said with the way out."""

import fcntl
import shutil
import sys

import pytest

from portal.cli import setup_environment
from portal.cli.setup_environment import FILES, SetupError, create, fingerprint, is_current
from portal.cli.setup_reset import OURS, InUse, reset
from portal.cli.setup_stamp import PrepareStamp


@pytest.fixture
def project(tmp_path):
    """Requirement files and an environment whose Python works."""
    for name in ("requirements-constraints.txt", *FILES["run"], *FILES["dev"]):
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def stamp(project, kind):
    (project / ".venv" / f".installed-{kind}").write_text(fingerprint(kind, project))


def test_what_was_installed_is_not_installed_again(project):
    assert not is_current(project / ".venv", "run", project)
    stamp(project, "run")
    assert is_current(project / ".venv", "run", project)


def test_an_environment_for_tests_serves_a_run_but_not_the_other_way_round(project):
    stamp(project, "run")
    assert not is_current(project / ".venv", "dev", project)
    (project / ".venv" / ".installed-run").unlink()
    stamp(project, "dev")
    assert is_current(project / ".venv", "run", project)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-constraints.txt"])
def test_a_changed_requirement_is_installed(project, name):
    stamp(project, "run")
    with (project / name).open("a") as file:
        file.write("another==1\n")
    assert not is_current(project / ".venv", "run", project)


def test_an_environment_whose_python_is_gone_is_made_anew(project):
    stamp(project, "run")
    (project / ".venv" / "bin" / "python").unlink()
    (project / ".venv" / "bin" / "python").symlink_to("/nonexistent/python")
    assert not is_current(project / ".venv", "run", project)


def test_a_python_without_ensurepip_names_the_package_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(setup_environment, "_has", lambda module: False)
    with pytest.raises(SetupError, match="apt install python3-venv"):
        create(tmp_path / ".venv")
    assert not (tmp_path / ".venv").exists()


def test_a_failing_step_stops_the_set_up_and_is_named():
    with pytest.raises(SetupError, match=r"failed \(exit 3\): .*python.* -c raise SystemExit\(3\)"):
        setup_environment._call([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.fixture
def prepared(tmp_path):
    """A project prepared once: two data files, one migration."""
    for folder in ("migrations/versions", "var/run"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "migrations" / "versions" / "one.py").write_text("revision = 1\n")
    for name in ("portal.db", "sandbox.db"):
        (tmp_path / "var" / name).touch()
    stamp = PrepareStamp(tmp_path, tmp_path / "var")
    stamp.write("http://127.0.0.1:8001")
    return stamp


def test_a_prepared_database_is_not_prepared_again(prepared):
    assert prepared.matches("http://127.0.0.1:8001")


def test_a_new_migration_prepares_again(prepared):
    (prepared.root / "migrations" / "versions" / "two.py").write_text("revision = 2\n")
    assert not prepared.matches("http://127.0.0.1:8001")


@pytest.mark.parametrize("name", ["portal.db", "sandbox.db"])
def test_a_lost_or_new_data_file_prepares_again(prepared, name):
    file = prepared.data / name
    file.rename(prepared.data / "moved-away")
    assert not prepared.matches("http://127.0.0.1:8001")
    file.touch()
    assert not prepared.matches("http://127.0.0.1:8001")


def test_another_stripe_or_an_interrupted_preparation_prepares_again(prepared):
    assert not prepared.matches("http://127.0.0.1:9001")
    prepared.clear()
    assert not prepared.matches("http://127.0.0.1:8001")


def test_reset_empties_the_data_folder(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "web.log").touch()
    for name in ("portal.db", "portal.db-wal", "keys.env", "mine.txt"):
        (tmp_path / name).touch()
    assert reset(tmp_path, OURS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"], "what is not ours stays in a folder of one's own"
    reset(tmp_path, ("*",))
    assert list(tmp_path.iterdir()) == []


def test_reset_is_refused_while_the_portal_runs(tmp_path):
    (tmp_path / "portal.db").touch()
    with (tmp_path / "supervisor.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InUse, match="stop it first"):
            reset(tmp_path, ("*",))
    assert (tmp_path / "portal.db").exists()


def test_reset_of_nothing_is_fine(tmp_path):
    assert reset(tmp_path / "never-made", ("*",)) == []
