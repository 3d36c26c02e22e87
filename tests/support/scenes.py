"""Scenes: where a story has led to, kept once per test process, so that many tests can go on from there.

Kept are the database, Stripe's side, business time and who is signed in. A scene's builder gives plain values; rows it
loaded belong to a session that is gone.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from flask.testing import FlaskClient

from portal.kit.db import db
from portal.settings import queries as settings
from tests.support.databases import Cleaner
from tests.support.servers import Copy, Sandbox
from tests.support.travel import Travel

T = TypeVar("T")


@dataclass(frozen=True)
class Kept:
    """One scene's state beside the database."""

    stripe: Copy
    at: datetime
    cookies: Any
    result: Any


@dataclass
class Stage:
    """All scenes of a test process, and what they are made of."""

    cleaner: Cleaner
    sandbox: Sandbox
    travel: Travel
    kept: dict[str, Kept] = field(default_factory=dict)


@dataclass
class Scene:
    """Builds a scene the first time it is asked for, and returns to it afterwards."""

    stage: Stage
    client: FlaskClient

    @classmethod
    def of(cls, client: FlaskClient) -> "Scene":
        """Those of this browser's process."""
        return cls(client.application.extensions["stage"], client)

    def __call__(self, name: str, build: Callable[[], T]) -> T:
        """What ``build`` gave, with everything as it stood then."""
        if name not in self.stage.kept:
            self._keep(name, build())
        else:
            self._return_to(name)
        return copy.deepcopy(self.stage.kept[name].result)

    def from_the_start(self, name: str, build: Callable[[], T]) -> T:
        """The same where nothing has happened since the test began; where something has, just what ``build`` gives."""
        return self(name, build) if self._is_at_the_start() else build()

    def _is_at_the_start(self) -> bool:
        cleaner = self.stage.cleaner
        return (
            cleaner.state == "catalog"
            and cleaner.untouched()
            and self.stage.sandbox.is_new()
            and not self.client._cookies
            and self.stage.travel.is_at_the_start()
        )

    def _keep(self, name: str, result: Any) -> None:
        db.session.remove()
        self.stage.cleaner.save(name)
        jar = copy.deepcopy(self.client._cookies)
        self.stage.kept[name] = Kept(self.stage.sandbox.copied(), self.stage.travel.now, jar, result)

    def _return_to(self, name: str) -> None:
        kept = self.stage.kept[name]
        db.session.remove()
        self.stage.cleaner.restore(name)
        settings.forget()
        self.stage.sandbox.put_back(kept.stripe)
        self.stage.travel.to(kept.at)
        self.client._cookies = copy.deepcopy(kept.cookies)
