"""What the doctor says about one thing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Level = Literal["OK", "WARN", "FAIL"]
OK: Level = "OK"
WARN: Level = "WARN"
FAIL: Level = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """``do`` says what to do about it; empty where all is well. Neither holds a secret."""

    level: Level
    what: str
    says: str
    do: str = ""


Check = Callable[[], Iterator[Finding]]
