"""Keys are made once, stay, and are for their owner alone."""

import stat

from cryptography.fernet import Fernet

from portal.cli.setup_keys import MAKERS, load_or_make


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once_and_stay(tmp_path):
    file = tmp_path / "keys.env"
    first = load_or_make(file)
    assert first.keys() == MAKERS.keys()
    assert load_or_make(file) == first
    assert len(set(first.values())) == len(first)


def test_only_the_owner_can_read_them(tmp_path):
    file = tmp_path / "keys.env"
    load_or_make(file)
    assert mode(file) == 0o600


def test_a_file_that_was_opened_up_is_closed_again(tmp_path):
    file = tmp_path / "keys.env"
    load_or_make(file)
    file.chmod(0o644)
    load_or_make(file)
    assert mode(file) == 0o600


def test_a_key_that_a_later_version_needs_is_added_and_the_others_stay(tmp_path):
    file = tmp_path / "keys.env"
    file.write_text("# mine\nSECRET_KEY=kept-from-before\n")
    keys = load_or_make(file)
    assert keys["SECRET_KEY"] == "kept-from-before"
    assert keys.keys() == MAKERS.keys()
    assert file.read_text().startswith("# mine\nSECRET_KEY=kept-from-before\n")
    assert load_or_make(file) == keys


def test_the_keys_serve_their_purpose(tmp_path):
    keys = load_or_make(tmp_path / "keys.env")
    cipher = Fernet(keys["ENCRYPTION_KEYS"])
    assert cipher.decrypt(cipher.encrypt(b"plain")) == b"plain"
    assert len(keys["SECRET_KEY"]) >= 32
    assert keys["SANDBOX_SECRET_KEY"].startswith("sk_test_")
    assert keys["SANDBOX_WEBHOOK_SECRET"].startswith("whsec_")
