"""Secrets at rest open only where they were put, only whole, and under old keys until they are sealed anew."""

import base64
from collections.abc import Iterator

import pytest

from portal.kit import crypto
from portal.kit.crypto import CannotOpenError, WrongKeyError

OLD, NEW = b"o" * 32, b"n" * 32
HERE, THERE = "second_factors.secret:1", "second_factors.secret:2"


@pytest.fixture(autouse=True)
def keys() -> Iterator[None]:
    """Today's key alone; afterwards the process has its own keys again."""
    before = crypto._keys
    crypto.configure([OLD])
    yield
    crypto._keys = before


def test_what_is_sealed_opens_here_and_nowhere_else() -> None:
    sealed = crypto.seal("Grüße 🔑", bound_to=HERE)
    assert crypto.unseal(sealed, bound_to=HERE) == "Grüße 🔑"
    with pytest.raises(CannotOpenError):
        crypto.unseal(sealed, bound_to=THERE)


def test_the_same_secret_looks_different_each_time() -> None:
    assert crypto.seal("x", bound_to=HERE) != crypto.seal("x", bound_to=HERE)
    assert "a secret" not in crypto.seal("a secret", bound_to=HERE)


def test_an_altered_text_does_not_open() -> None:
    sealed = crypto.seal("a secret", bound_to=HERE)
    mark, name, body = sealed.split(".")
    raw = bytearray(base64.urlsafe_b64decode(body))
    for place in (0, len(raw) // 2, len(raw) - 1):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises(CannotOpenError):
            crypto.unseal(f"{mark}.{name}.{base64.urlsafe_b64encode(changed).decode()}", bound_to=HERE)


@pytest.mark.parametrize("text", ["", "x", "s1.x", "s1.deadbeef.AAAA", "s9.x.y", "s1..", "....", "s1.\x00.é"])
def test_what_was_never_sealed_does_not_open(text: str) -> None:
    with pytest.raises(CannotOpenError):
        crypto.unseal(text, bound_to=HERE)


def test_keys_rotate() -> None:
    sealed = crypto.seal("a secret", bound_to=HERE)
    assert not crypto.is_outdated(sealed)
    crypto.configure([NEW, OLD])
    assert crypto.is_outdated(sealed)
    assert crypto.unseal(sealed, bound_to=HERE) == "a secret"
    renewed = crypto.resealed(sealed, bound_to=HERE)
    crypto.configure([NEW])
    assert not crypto.is_outdated(renewed)
    assert crypto.unseal(renewed, bound_to=HERE) == "a secret"
    with pytest.raises(CannotOpenError):
        crypto.unseal(sealed, bound_to=HERE)


def test_keys_are_read_in_both_alphabets_of_base64() -> None:
    raw = bytes(range(224, 256))
    plain, url_safe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert plain != url_safe and crypto.read_keys(f" {plain} ,{url_safe},") == [raw, raw]
    assert crypto.read_keys("") == []


@pytest.mark.parametrize("text", ["short", "x" * 44, "=" * 44, base64.b64encode(b"k" * 31).decode(), "geheim!" * 6])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(WrongKeyError):
        crypto.read_keys(text)
