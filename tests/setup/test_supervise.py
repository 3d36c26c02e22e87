"""A whole run under the supervisor: real processes, real HTTP, a portal of a few lines in place of ours."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from portal.cli.setup_lock import birth
from portal.cli.setup_ports import LOOPBACK, answers, wait_until

PROJECT = Path(__file__).resolve().parents[2]
START = "import sys; from pathlib import Path; from portal.cli.supervise import main; sys.exit(main(Path(sys.argv[1])))"
WSGI = """
import os, pathlib, sys, time
import redis
from flask import Flask

app = Flask(__name__)
data = pathlib.Path(os.environ["DATA_DIR"])
store = redis.Redis.from_url(os.environ["REDIS_URL"])

@app.get("/readyz")
def readyz():
    return ("ready", 200) if store.get("worker") else ("no worker seen", 503)

@app.get("/prepared")
def prepared():
    return (data / "prepared").read_text()

@app.cli.command("prepare")
def prepare():
    if os.environ.get("BREAK") == "prepare":
        raise RuntimeError("the migration is broken")
    with (data / "prepared").open("a") as file:
        file.write("x")
    (data / "portal.db").touch()

@app.cli.group("demo")
def demo():
    pass

@demo.command("sign-ins")
def sign_ins():
    print("Vendor owner   owner@demo.example   open sesame")

@app.cli.command("worker")
def worker():
    store.incr("worker")
    time.sleep(60)

@app.cli.command("scheduler")
def scheduler():
    time.sleep(60)
"""
SANDBOX = """
import http.server, os, pathlib
pathlib.Path(os.environ["SANDBOX_DATA"]).touch()
address = ("127.0.0.1", int(os.environ["SANDBOX_PORT"]))
http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def root(tmp_path):
    """A project folder with a portal of a few lines."""
    (tmp_path / "portal" / "sandbox").mkdir(parents=True)
    (tmp_path / "portal" / "sandbox" / "__main__.py").write_text(SANDBOX)
    (tmp_path / "wsgi.py").write_text(WSGI)
    return tmp_path


@pytest.fixture
def ports():
    """Two free ports next to nobody."""
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind((LOOPBACK, 0))
        return one.getsockname()[1], two.getsockname()[1]


def environ(ports, **more):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"PORT": str(ports[0]), "SANDBOX_PORT": str(ports[1])} | more


def command(root):
    return [sys.executable, "-c", START, str(root)]


@contextmanager
def supervised(root, ports, **more):
    """A run of its own until the end of the block; yields the process and the file it prints to."""
    printed = root / "printed"
    with printed.open("wb") as out:
        process = subprocess.Popen(command(root), cwd=PROJECT, env=environ(ports, **more), stdout=out, stderr=out)
    try:
        yield process, printed
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_refused(root, ports, **more):
    return subprocess.run(
        command(root), cwd=PROJECT, env=environ(ports, **more), capture_output=True, text=True, timeout=30, check=False
    )


def read(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def children(root):
    return [int(pid) for pid in json.loads((root / "var" / "run" / "children.json").read_text())]


def is_announced(process, printed):
    assert process.poll() is None, printed.read_text()
    return "Ctrl-C stops everything" in printed.read_text()


def test_a_run_from_the_first_start_to_the_second(root, ports):
    with supervised(root, ports) as (process, printed):
        assert wait_until(lambda: is_announced(process, printed), seconds=30), printed.read_text()
        text = printed.read_text()
        assert f"http://127.0.0.1:{ports[0]}" in text
        assert f"http://127.0.0.1:{ports[1]}" in text
        assert "owner@demo.example   open sesame" in text
        assert read(f"http://127.0.0.1:{ports[0]}/readyz") == "ready"

        again = start_refused(root, ports)
        assert again.returncode == 1
        assert f"already runs from this folder: http://127.0.0.1:{ports[0]}" in again.stdout

        pids = children(root)
        assert len(pids) == 5  # redis, sandbox, web, worker, scheduler
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert [birth(pid) for pid in pids] == [""] * 5
        assert not answers(ports[0])
        assert "Stopped." in printed.read_text()
    with supervised(root, ports) as (process, printed):
        assert wait_until(lambda: is_announced(process, printed), seconds=30), printed.read_text()
        assert read(f"http://127.0.0.1:{ports[0]}/prepared") == "x", "the second start must not prepare again"
    assert process.returncode == 0


def test_what_a_killed_supervisor_leaves_is_ended_by_the_next_start(root, ports):
    with supervised(root, ports) as (process, printed):
        assert wait_until(lambda: is_announced(process, printed), seconds=30), printed.read_text()
        pids = children(root)
        process.kill()
        process.wait()
    with supervised(root, ports) as (process, printed):
        assert wait_until(lambda: is_announced(process, printed), seconds=30), printed.read_text()
        assert "Ended 5 processes that a killed supervisor had left over." in printed.read_text()
        assert not set(pids) & set(children(root))


def test_a_start_that_fails_shows_why_and_leaves_nothing_running(root, ports):
    refused = start_refused(root, ports, BREAK="prepare")
    assert refused.returncode == 1
    assert "The database could not be prepared" in refused.stdout
    assert "RuntimeError: the migration is broken" in refused.stdout
    assert not answers(ports[1])
    assert children(root) == []


def test_a_taken_port_is_said_before_anything_is_started(root, ports):
    with socket.socket() as other:
        other.bind((LOOPBACK, ports[1]))
        other.listen()
        refused = start_refused(root, ports)
    assert refused.returncode == 1
    assert f"Port {ports[1]}, wanted for the Stripe sandbox, is taken" in refused.stdout
    assert "SANDBOX_PORT=" in refused.stdout
    assert not (root / "var" / "redis").exists()
