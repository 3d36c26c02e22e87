"""Ports: are they free, does something answer on them?"""

import socket
import time
from collections.abc import Callable

LOOPBACK = "127.0.0.1"


class PortTaken(Exception):
    """Another program listens on this port; the message names the port and how to choose another."""


def parse_port(text: str, name: str) -> int:
    """A port that an unprivileged process can take. Raises ValueError naming the variable."""
    if not text.isascii() or not text.isdigit() or not 1024 <= int(text) <= 65535:
        raise ValueError(f"{name} must be a number from 1024 to 65535, not {text!r}.")
    return int(text)


def require_free(port: int, purpose: str, variable: str, example: int) -> None:
    """Raise PortTaken when somebody listens there.

    Asked by binding, not by connecting: a program that listens but answers nobody is found as well. It matters more
    than usual, since granian shares its port (SO_REUSEPORT) and two portals would quietly split the visitors.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as problem:
            raise PortTaken(
                f"Port {port}, wanted for {purpose}, is taken by another program.\n"
                f"Stop that program, or choose another port: {variable}={example} make run"
            ) from problem


def answers(port: int) -> bool:
    """Does something accept connections there?"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Ask until it holds or the time is over; says whether it held."""
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(pause)
    return held
