"""Keys of a local run: made once, kept in one file that only its owner can read."""

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

#: How each key is made. ENCRYPTION_KEYS is one key of 32 bytes; the others are opaque.
MAKERS: Mapping[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "SANDBOX_SECRET_KEY": lambda: "sk_test_" + secrets.token_hex(24),
    "SANDBOX_PUBLISHABLE_KEY": lambda: "pk_test_" + secrets.token_hex(24),
    "SANDBOX_WEBHOOK_SECRET": lambda: "whsec_" + secrets.token_hex(24),
}


def load_or_make(path: Path) -> dict[str, str]:
    """The keys in this file; those missing are made and added, those present never change.

    The file is 0600 from its first byte on, and is set back to it if somebody has opened it up.
    """
    keys = _read(path)
    missing = {name: make() for name, make in MAKERS.items() if not keys.get(name)}
    if missing:
        _append(path, missing)
    path.chmod(0o600)
    return keys | missing


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _append(path: Path, keys: Mapping[str, str]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in keys.items())
        file.flush()
        os.fsync(file.fileno())
