"""The embedded Redis: one per folder, on a socket whose path fits, for its owner alone."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
import redis

from portal.cli import embedded_redis
from portal.cli.embedded_redis import (
    LONGEST_SOCKET_PATH,
    EmbeddedRedis,
    RedisMissing,
    find_server,
    private_folder,
    running,
    socket_path,
)
from portal.cli.setup_ports import wait_until


def test_a_server_answers_while_its_block_lasts(tmp_path):
    with running(tmp_path / "redis") as url, redis.Redis.from_url(url) as client:
        assert client.set("greeting", "hello")
        assert client.get("greeting") == b"hello"
        assert stat.S_IMODE(Path(url.removeprefix("unix://")).stat().st_mode) == 0o700
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
        client.ping()


def test_a_second_start_in_the_same_folder_uses_the_first_server(tmp_path):
    with running(tmp_path) as first, redis.Redis.from_url(first) as client:
        client.set("written-by", "first")
        with running(tmp_path) as second, redis.Redis.from_url(second) as again:
            assert again.get("written-by") == b"first"
        assert client.ping(), "the end of the second must not stop the first"


def test_a_folder_can_be_claimed_once(tmp_path):
    with EmbeddedRedis(tmp_path) as first, EmbeddedRedis(tmp_path) as second:
        assert first.claim()
        assert not second.claim()
        first.release()
        assert second.claim()


def test_a_server_whose_supervisor_was_killed_keeps_its_folder(tmp_path):
    orphaned = EmbeddedRedis(tmp_path, durable=False)
    assert orphaned.claim()
    server = subprocess.Popen(
        orphaned.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(orphaned.lock_descriptor,)
    )
    try:
        orphaned.release()
        assert not EmbeddedRedis(tmp_path).claim()
    finally:
        server.kill()
        server.wait()
    with EmbeddedRedis(tmp_path) as successor:
        assert successor.claim()


def test_a_durable_server_keeps_its_data_over_a_restart(tmp_path):
    for expected in (None, b"1"):
        with EmbeddedRedis(tmp_path) as server:
            assert server.claim()
            process = subprocess.Popen(server.command(), stdout=subprocess.DEVNULL)
            try:
                assert wait_until(server.ready, seconds=10)
                with redis.Redis.from_url(server.url) as client:
                    assert client.get("kept") == expected
                    client.set("kept", "1")
            finally:
                process.terminate()
                process.wait()


def test_the_socket_lies_in_its_folder_when_the_path_fits(tmp_path):
    assert socket_path(tmp_path) == tmp_path / "redis.sock"


def test_a_long_path_moves_the_socket_to_a_short_private_folder(tmp_path):
    # /tmp/…/ + 3 × 60 letters is over the 107 bytes of a unix address; it is counted in bytes, so umlauts count twice.
    deep = tmp_path / ("a" * 60) / ("ü" * 60) / ("c" * 60)
    with running(deep) as url, redis.Redis.from_url(url) as client:
        path = Path(url.removeprefix("unix://"))
        assert len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
        assert client.ping()
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.rmdir()


def test_two_long_folders_get_two_sockets(tmp_path):
    one, two = (tmp_path / name / ("x" * 120) for name in ("one", "two"))
    assert socket_path(one) != socket_path(two)


def test_a_folder_is_made_private(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    assert stat.S_IMODE(private_folder(folder).stat().st_mode) == 0o700


def test_a_link_laid_by_somebody_else_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        private_folder(tmp_path / "link")


def test_no_server_anywhere_is_said_with_the_ways_out(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(embedded_redis, "IN_WHEELS", ())
    with pytest.raises(RedisMissing, match="install redis-server or valkey-server, or set REDIS_URL"):
        find_server()


def test_the_server_of_a_wheel_is_found_when_path_has_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    binary = find_server()
    assert binary.name in {"redis-server", "valkey-server"}
    assert os.access(binary, os.X_OK)
