"""``make reset``: empty the data folder, unless something runs on it. Standard library alone, any supported Python."""

import fcntl
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What a run leaves in a data folder of the operator's choosing; anything else in there stays. ``var`` is emptied.
OURS = ("log", "run", "redis", "files", "keys.env", "portal.db*", "sandbox.db*", "clock-offset*", "supervisor.lock")


class InUse(Exception):
    """A portal runs on this data."""


def reset(data: Path, patterns: tuple[str, ...]) -> list[str]:
    """Remove what fits; says what. Raises InUse while a supervisor holds the folder."""
    if not data.is_dir():
        return []
    descriptor = os.open(data / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return [_remove(path) for pattern in patterns for path in sorted(data.glob(pattern))]
    except BlockingIOError:
        raise InUse(f"The portal runs on {data}; stop it first.") from None
    finally:
        os.close(descriptor)


def _remove(path: Path) -> str:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    return path.name


if __name__ == "__main__":
    chosen = os.environ.get("DATA_DIR")
    folder = (ROOT / (chosen or "var")).resolve()
    try:
        print(f"{folder}: removed {', '.join(reset(folder, OURS if chosen else ('*',))) or 'nothing'}.")
    except InUse as problem:
        sys.exit(str(problem))
