"""mailcow's API over real HTTP: it says 200 to nearly everything, and its word is in the body."""

import logging

import pytest

from config import Config
from portal.gateways import mailboxes
from portal.gateways.mailboxes import MailHost, MailHostRefused
from portal.kit.errors import Invalid, Unavailable
from tests.support import far_servers
from tests.support.far_servers import Mailcow

SECRET = "violet-harbour-4711"


def test_a_domain_is_made_with_room_and_a_key(host: MailHost, mailcow: Mailcow) -> None:
    assert host.room("myshop.com") is None
    host.add_domain("myshop.com", 5)
    assert host.room("myshop.com") == 5
    _, sent = mailcow.calls[1]
    # Five mailboxes of 3,072 MB each: 15,360.
    assert (sent["mailboxes"], sent["quota"], sent["maxquota"]) == (5, 15360, 3072)
    assert host.dkim("myshop.com") is None
    host.add_dkim("myshop.com")
    key = host.dkim("myshop.com")
    assert key is not None and key.selector == "dkim" and key.text.startswith("v=DKIM1;")
    host.resize_domain("myshop.com", 10)
    assert host.room("myshop.com") == 10


def test_a_mailbox_is_made_changed_and_deleted(host: MailHost, mailcow: Mailcow) -> None:
    host.add_domain("myshop.com", 5)
    assert not host.has_mailbox("info@myshop.com")
    host.add_mailbox("info@myshop.com", "Info", SECRET)
    assert host.has_mailbox("info@myshop.com")
    host.set_password("info@myshop.com", SECRET + "!")
    assert mailcow.mailboxes["info@myshop.com"]["password"] == SECRET + "!"
    host.drop_mailbox("info@myshop.com")
    host.drop_mailbox("info@myshop.com")
    assert mailcow.mailboxes == {} and mailcow.count("delete/mailbox") == 1
    host.drop_domain("myshop.com")
    host.drop_domain("myshop.com")
    assert mailcow.domains == {} and mailcow.count("delete/domain") == 1


def test_what_is_there_already_is_no_failure(host: MailHost, mailcow: Mailcow) -> None:
    for _ in range(2):
        host.add_domain("myshop.com", 5)
    for _ in range(2):
        host.add_mailbox("info@myshop.com", "Info", SECRET)
    assert mailcow.mailboxes["info@myshop.com"]["set"] == 1


def test_a_password_that_is_too_weak_for_it_is_told_at_its_field(host: MailHost) -> None:
    host.add_domain("myshop.com", 5)
    with pytest.raises(Invalid) as refused:
        host.add_mailbox("info@myshop.com", "Info", "short")
    assert list(refused.value.fields) == ["password"]


def test_its_own_word_is_kept_when_it_says_no(host: MailHost) -> None:
    host.add_domain("myshop.com", 1)
    host.add_mailbox("info@myshop.com", "Info", SECRET)
    with pytest.raises(MailHostRefused) as refused:
        host.add_mailbox("sales@myshop.com", "Sales", SECRET)
    assert refused.value.params == {"detail": "max_mailbox_exceeded"}


@pytest.mark.parametrize("what", ["lost", "down"])
def test_an_answer_that_is_lost_leaves_the_outcome_open(host: MailHost, mailcow: Mailcow, what: str) -> None:
    host.add_domain("myshop.com", 5)
    mailcow.mischief["add/mailbox"] = what
    with pytest.raises(Unavailable):
        host.add_mailbox("info@myshop.com", "Info", SECRET)
    assert host.has_mailbox("info@myshop.com") is (what == "lost")


def test_a_wrong_key_and_nobody_there_are_tried_again(mailcow: Mailcow) -> None:
    for host in (MailHost(mailcow.url, "WRONG", "m", 1), MailHost("http://127.0.0.1:9", "k", "m", 1)):
        with pytest.raises(Unavailable):
            host.room("myshop.com")


def test_passwords_and_the_key_are_in_no_error_and_no_log(
    host: MailHost, mailcow: Mailcow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mailcow.mischief["add/mailbox"] = "lost"
    with pytest.raises(Unavailable) as refused:
        host.add_mailbox("info@myshop.com", "Info", SECRET)
    told = f"{refused.value!r} {refused.value.__cause__!r} {refused.value.params} {caplog.text}"
    assert SECRET not in told and far_servers.MAIL_KEY not in told


def test_an_address_without_tls_is_taken_on_this_machine_alone() -> None:
    before = mailboxes.current()
    far = Config(app_env="test", mailcow_url="http://mail.platform.example", mailcow_api_key="k")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="https"):
        mailboxes.configure(far)
    near = Config(app_env="test", mailcow_url="http://127.0.0.1:8080/", mailcow_api_key="k")  # type: ignore[arg-type]
    try:
        mailboxes.configure(near)
        made = mailboxes.current()
        assert made is not None and (made.url, made.name) == ("http://127.0.0.1:8080", "127.0.0.1")
    finally:
        mailboxes._current = before
