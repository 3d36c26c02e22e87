"""A port that is taken is said plainly, with the way out."""

import socket

import pytest

from portal.cli.setup_ports import LOOPBACK, PortTaken, answers, parse_port, require_free


@pytest.fixture
def listener():
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_another_to_choose(listener):
    with pytest.raises(PortTaken) as refusal:
        require_free(listener, "the portal", "PORT", 9000)
    assert f"Port {listener}, wanted for the portal, is taken" in str(refusal.value)
    assert "PORT=9000 make run" in str(refusal.value)


def test_a_listener_that_shares_its_port_counts_as_taken():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((LOOPBACK, 0))
        server.listen()
        with pytest.raises(PortTaken):
            require_free(server.getsockname()[1], "the portal", "PORT", 9000)


def test_a_port_is_free_again_once_its_listener_is_gone():
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        port = server.getsockname()[1]
        assert answers(port)
    assert not answers(port)
    require_free(port, "the portal", "PORT", 9000)


@pytest.mark.parametrize("text", ["", "abc", "80", "65536", "-1", "8000.5", "٨٠٠٠", " 8000"])
def test_a_port_that_is_none_is_refused_by_name(text):
    with pytest.raises(ValueError, match=r"^SANDBOX_PORT must be a number from 1024 to 65535"):
        parse_port(text, "SANDBOX_PORT")


def test_a_port_is_read():
    assert parse_port("9000", "PORT") == 9000
