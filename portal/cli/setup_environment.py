"""Bring ``.venv`` in line with the requirements, then assets and translations.

Runs before anything is installed, with whatever Python ``make`` found, so it needs the standard library alone:
``python -I portal/cli/setup_environment.py run`` (or ``dev``, which adds what tests and checks need).
Finished steps are skipped under stamps; a second run takes a few hundredths of a second.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDEST, NEWEST = (3, 11), (3, 13)
#: Requirement files by kind, in the order they are installed; a file in NO_DEPENDENCIES goes in without what it names.
FILES = {
    "run": ("requirements.txt",),
    "dev": ("requirements-dev.txt", "requirements-stripe-schema.txt"),
}
NO_DEPENDENCIES = frozenset({"requirements-stripe-schema.txt"})


class SetupError(Exception):
    """Set-up cannot go on; the message says what the person at the keyboard can do about it."""


def fingerprint(kind: str, root: Path = ROOT) -> str:
    """What the stamp of this kind must hold: a hash over every file that decides what gets installed."""
    decisive = ("requirements-constraints.txt", *FILES["run"], *(FILES["dev"] if kind == "dev" else ()))
    digest = hashlib.sha256(kind.encode())
    for name in decisive:
        digest.update(b"\0" + (root / name).read_bytes())
    return digest.hexdigest()


def is_current(venv: Path, kind: str, root: Path = ROOT) -> bool:
    """Does the environment hold what this kind asks for? One made for tests also serves a run."""
    kinds = {"run", "dev"} if kind == "run" else {kind}
    return works(venv) and any(_stamp(venv, each) == fingerprint(each, root) for each in kinds)


def works(venv: Path) -> bool:
    """Is there a Python of a supported version in it? A moved folder or an upgraded system breaks one."""
    check = f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    python = venv / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def create(venv: Path, python: str = sys.executable) -> None:
    """Make the environment with uv, else venv, else virtualenv. Raises SetupError naming the missing package."""
    if uv := shutil.which("uv"):
        _call([uv, "venv", "--quiet", "--clear", "--python", python, str(venv)])
    elif _has("ensurepip"):
        _call([python, "-m", "venv", "--clear", str(venv)])
    elif _has("virtualenv"):
        _call([python, "-m", "virtualenv", "--quiet", "--clear", str(venv)])
    else:
        major, minor = sys.version_info[:2]
        raise SetupError(
            f"This Python {major}.{minor} cannot make virtual environments: its ensurepip is not installed.\n"
            f"On Debian and Ubuntu: sudo apt install python3-venv   (or python{major}.{minor}-venv)\n"
            "Without root: install uv or virtualenv for your own user, then try again."
        )


def install(venv: Path, kind: str, root: Path = ROOT) -> None:
    """Install what the kind asks for, and stamp it. An interrupted installation leaves no stamp and is repeated."""
    for each in FILES:
        (venv / f".installed-{each}").unlink(missing_ok=True)
    installer = _installer(venv)
    for name in FILES[kind]:
        _call([*installer, *(["--no-deps"] if name in NO_DEPENDENCIES else []), "-r", str(root / name)])
    (venv / f".installed-{kind}").write_text(fingerprint(kind, root))


def compile_translations(venv: Path, root: Path = ROOT) -> None:
    """Compile message catalogues that are newer than what was compiled from them."""
    folder = root / "portal" / "translations"
    stale = [po for po in folder.glob("*/LC_MESSAGES/*.po") if _older(po.with_suffix(".mo"), po)]
    if stale:
        _call([str(venv / "bin" / "pybabel"), "--quiet", "compile", "--directory", str(folder)])


def main(kind: str, root: Path = ROOT) -> None:
    """Every step for this kind, in order. Raises SetupError."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(f"Python 3.11, 3.12 or 3.13 is needed; {sys.executable} is {sys.version.split()[0]}.")
    venv = root / ".venv"
    if not is_current(venv, kind, root):
        print("Installing packages into .venv (the first time this takes up to a minute) …", flush=True)
        if not works(venv):
            create(venv)
        install(venv, kind, root)
    _call([str(venv / "bin" / "python"), "-m", "portal.cli.assets"])
    compile_translations(venv, root)


def _installer(venv: Path) -> list[str]:
    python = str(venv / "bin" / "python")
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", python]
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        _call([python, "-m", "ensurepip"])
    return [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]


def _call(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise SetupError(f"This step failed (exit {done.returncode}): {' '.join(command)}")


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _stamp(venv: Path, kind: str) -> str:
    stamp = venv / f".installed-{kind}"
    return stamp.read_text() if stamp.exists() else ""


def _older(made: Path, source: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


if __name__ == "__main__":
    os.environ.pop("PYTHONHOME", None)
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "run")
    except SetupError as problem:
        sys.exit(f"\n{problem}")
    except KeyboardInterrupt:
        sys.exit(130)
