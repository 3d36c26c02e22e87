"""``make check``: lint, format, types, layers, templates, architecture. Each runs, whatever the others say."""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent
TEMPLATES = ("templates", "portal/sandbox/templates")


@dataclass(frozen=True)
class Check:
    """One tool's verdict on the whole project."""

    name: str
    command: Sequence[str]


def checks(root: Path = ROOT) -> list[Check]:
    """The slowest first, since two run at a time."""
    templates = [folder for folder in TEMPLATES if (root / folder).is_dir()]
    return [
        Check("types", [_program("mypy"), "--no-error-summary"]),
        Check("architecture", [sys.executable, "-m", "pytest", "-q", "tests/test_architecture.py"]),
        Check("templates", [_program("djlint"), *templates, "--lint", "--quiet"]),
        Check("layers", [_program("lint-imports"), "--no-logo"]),
        Check("lint", [_program("ruff"), "check", "--quiet"]),
        Check("format", [_program("ruff"), "format", "--check", "--output-format", "concise"]),
    ]


def perform(check: Check) -> tuple[Check, int, str]:
    """Run it; says its status and what it printed, with the seconds it took."""
    begun = time.monotonic()
    done = subprocess.run(check.command, cwd=ROOT, capture_output=True, text=True, check=False)
    verdict = "ok" if done.returncode == 0 else "FAILED"
    return (
        check,
        done.returncode,
        f"{check.name:<14}{verdict:<8}{time.monotonic() - begun:5.1f} s"
        + (f"\n{done.stdout}{done.stderr}" if done.returncode else ""),
    )


def main() -> int:
    """The exit status."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(perform, checks()))
    for _, _, text in results:
        print(text)
    return 1 if any(status for _, status, _ in results) else 0


def _program(name: str) -> str:
    return str(PROGRAMS / name)


if __name__ == "__main__":
    sys.exit(main())
