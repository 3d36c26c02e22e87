"""A phone with an authenticator app, and the wall clock moved on for it: each code works once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from re import search
from typing import Any

import pyotp
import time_machine
from flask.testing import FlaskClient

from tests.support import people

START, SET_UP = "/profile/second-factor", "/profile/second-factor/set-up"


@contextmanager
def wall_clock() -> Iterator[Any]:
    """The real time, which ``shift(seconds)`` moves on; it runs on meanwhile."""
    with time_machine.travel(datetime.now(UTC), tick=True) as hand:
        yield hand


@dataclass
class Phone:
    """The app, which was shown the secret."""

    secret: str
    hand: Any

    def code(self, steps: int = 0) -> str:
        """What it shows now, or so many half minutes later."""
        return pyotp.TOTP(self.secret).generate_otp(int(datetime.now(UTC).timestamp()) // 30 + steps)

    def next_code(self) -> str:
        """Wait until it shows another one."""
        self.hand.shift(30)
        return self.code()


def scan(client: FlaskClient, hand: Any, password: str = people.PASSWORD) -> Phone:
    """Begin a set-up on the profile and let an app read the secret from the page."""
    answer = people.post(client, START, {"current": password}, page=START)
    assert answer.location == SET_UP, people.text_of(answer)
    page = unescape(client.get(SET_UP).get_data(as_text=True))
    found = search(r"otpauth://totp/[^\"]*secret=([A-Z2-7]{32})", page)
    assert found is not None
    return Phone(found[1], hand)


def set_up(client: FlaskClient, hand: Any) -> tuple[Phone, list[str]]:
    """Switch it on for whoever is signed in; gives the phone and the recovery codes."""
    phone = scan(client, hand)
    answer = people.post(client, SET_UP, {"code": phone.code()}, page=SET_UP)
    assert answer.status_code == 200, people.text_of(answer)
    return phone, recovery_codes(answer.get_data(as_text=True))


def recovery_codes(page: str) -> list[str]:
    """The codes on a page."""
    from re import findall

    return findall(r"<code>([0-9a-z]{4}(?:-[0-9a-z]{4}){3})</code>", page)
