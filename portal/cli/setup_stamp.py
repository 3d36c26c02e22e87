"""Has this very code prepared the database? Spares a second start the migrations, the catalog and the push."""

import hashlib
import json
from pathlib import Path

#: What ``flask prepare`` follows: a change in one of these files repeats it. It is idempotent: too often is harmless.
DECISIVE = (
    "migrations/**/*.py",
    "portal/catalog/**/*",
    "portal/cli/*.py",
    "portal/gateways/**/*.py",
    "portal/sandbox/**/*.py",
    "requirements-constraints.txt",
)


class PrepareStamp:
    """Valid for these files of code and these two files of data; a database made anew has another inode."""

    def __init__(self, root: Path, data: Path) -> None:
        self.root = root
        self.data = data
        self.file = data / "run" / "prepared.json"

    def matches(self, settings: str) -> bool:
        """Was it prepared with these settings by this code? Without our own two data files: never."""
        state = self._state(settings)
        return state is not None and self.file.exists() and self.file.read_text() == state

    def write(self, settings: str) -> None:
        """After ``flask prepare`` has succeeded."""
        if state := self._state(settings):
            self.file.write_text(state)

    def clear(self) -> None:
        """Before it runs: what is interrupted is repeated."""
        self.file.unlink(missing_ok=True)

    def _state(self, settings: str) -> str | None:
        files = [self.data / "portal.db", self.data / "sandbox.db"]
        if not all(file.exists() for file in files):
            return None
        return json.dumps({"code": self._code(), "data": [file.stat().st_ino for file in files], "settings": settings})

    def _code(self) -> str:
        digest = hashlib.sha256()
        for pattern in DECISIVE:
            for file in sorted(self.root.glob(pattern)):
                if file.is_file() and "__pycache__" not in file.parts:
                    digest.update(f"{file.relative_to(self.root)}\0".encode() + file.read_bytes())
        return digest.hexdigest()
