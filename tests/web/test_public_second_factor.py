"""Two-step sign-in (ACC-3): set up, asked for, used once, lost, switched off; and compulsory for staff."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.identity import flows, second_factor, second_factor_flows
from portal.identity.flows import CodeNeeded
from portal.identity.models import RecoveryCode, SecondFactor, User
from portal.identity.second_factor_flows import WrongCode
from portal.identity.second_factor_rules import matching_step, step_of
from portal.kit import clock, crypto, jobs
from portal.kit.actor import SYSTEM
from portal.kit.crypto import CannotOpenError
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.settings import service as settings
from tests.support import people, phone
from tests.support.people import PASSWORD, post, text_of
from tests.support.phone import SET_UP, START

CODE, RECOVERY = "/sign-in/code", "/sign-in/recovery-code"
CODES, OFF = "/profile/second-factor/codes", "/profile/second-factor/off"
NEW_PASSWORD = "copper-lantern-meadow-47"


@pytest.fixture
def hand() -> Iterator[Any]:
    """Moves the wall clock on."""
    with phone.wall_clock() as hand:
        yield hand


@pytest.fixture
def alice(client: FlaskClient) -> people.Someone:
    """Signed in, without a second factor."""
    return people.sign_up(client)


def elsewhere(client: FlaskClient) -> FlaskClient:
    """Another browser."""
    return client.application.test_client()


def knows_password(client: FlaskClient, person: people.Someone, password: str = PASSWORD) -> FlaskClient:
    """Another browser, after the first step."""
    browser = elsewhere(client)
    answer = people.try_sign_in(browser, person.email, password)
    assert answer.location == CODE, text_of(answer)
    return browser


def is_in(browser: FlaskClient) -> bool:
    return browser.get("/profile").status_code == 200


def mailed() -> list[str]:
    jobs.run_all()
    return list(db.session.scalars(select(SentMail.kind).order_by(SentMail.id)))


def acts() -> list[str]:
    return list(db.session.scalars(select(AuditEntry.action).where(AuditEntry.action.like("user.%"))))


# Setting it up --------------------------------------------------------------------------------------------------------
def test_setting_up_asks_for_the_password_and_a_right_code(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    assert "Set it up" in text_of(client.get("/profile"))
    refused = post(client, START, {"current": "not-the-password"}, page=START)
    assert (refused.status_code, "This is not your password." in text_of(refused)) == (422, True)
    assert client.get(SET_UP).location == START  # without the password no secret is shown
    app = phone.scan(client, hand)
    for wrong in ("", "12345", "abcdef", "000000" if app.code() != "000000" else "111111", app.code(-5)):
        answer = post(client, SET_UP, {"code": wrong}, page=SET_UP)
        assert answer.status_code == 422, wrong
        assert not second_factor.is_on(alice.user_id)
    answer = post(client, SET_UP, {"code": f" {app.code()[:3]} {app.code()[3:]} "}, page=SET_UP)
    codes = phone.recovery_codes(answer.get_data(as_text=True))
    assert (answer.status_code, len(set(codes))) == (200, 10)
    assert second_factor.is_on(alice.user_id)
    assert client.get(SET_UP).location == START
    assert "10 recovery codes are left." in text_of(client.get("/profile"))
    assert mailed()[-1] == "second_factor_on"
    assert acts() == ["user.second_factor_on"]


def test_a_begun_set_up_changes_nothing_for_signing_in(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    phone.scan(client, hand)
    people.sign_in(elsewhere(client), alice.email)


def test_the_secret_is_shown_for_a_quarter_of_an_hour_after_the_password(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    phone.scan(client, hand)
    assert client.get(SET_UP).status_code == 200
    hand.shift(15 * 60)
    assert client.get(SET_UP).location == START


def test_the_page_carries_a_picture_that_the_policy_allows(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    phone.scan(client, hand)
    answer = client.get(SET_UP)
    assert 'src="data:image/svg+xml;' in answer.get_data(as_text=True)
    assert "img-src 'self' data:" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_other_sessions_end_and_this_one_stays(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    other = elsewhere(client)
    people.sign_in(other, alice.email)
    phone.set_up(client, hand)
    assert (is_in(client), is_in(other)) == (True, False)


def test_nothing_secret_is_kept_in_the_clear(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, codes = phone.set_up(client, hand)
    jobs.run_all()
    row = db.session.get_one(SecondFactor, alice.user_id)
    assert app.secret not in row.secret
    hashes = db.session.scalars(select(RecoveryCode.code_hash)).all()
    assert not any(code in kept or code.replace("-", "") in kept for code in codes for kept in hashes)
    params = [str(p) for p in db.session.scalars(select(SentMail.params))]
    data = [str(p) for p in db.session.scalars(select(AuditEntry.data))]
    assert not any(secret in text for secret in (app.secret, *codes) for text in (*params, *data))


def test_a_secret_moved_to_somebody_else_does_not_open(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, _ = phone.set_up(client, hand)
    bob = people.register("bob@example.com", business="Bob")
    with unit_of_work() as session:
        sealed = session.get_one(SecondFactor, alice.user_id).secret
        session.add(SecondFactor(user_id=bob.user_id, secret=sealed, last_step=0, created_at=clock.business(),
                                 confirmed_at=clock.business()))  # fmt: skip
    with pytest.raises(CannotOpenError), unit_of_work():
        second_factor.accept(bob.user_id, app.next_code(), at=clock.wall())


# Signing in -----------------------------------------------------------------------------------------------------------
def test_signing_in_asks_for_the_code_and_nobody_is_in_before(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    app, _ = phone.set_up(client, hand)
    browser = elsewhere(client)
    answer = people.try_sign_in(browser, alice.email, PASSWORD, next="/vendor/kilim-house/billing?why=x")
    assert answer.location == f"{CODE}?next=/vendor/kilim-house/billing?why%3Dx"
    assert not is_in(browser)
    assert browser.get("/dashboard").location.startswith("/sign-in")
    answer = post(browser, answer.location, {"code": app.next_code()}, page=CODE)
    assert answer.location == "/vendor/kilim-house/billing?why=x"
    assert is_in(browser)


def test_a_wrong_code_is_refused_and_the_next_right_one_taken(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    app, _ = phone.set_up(client, hand)
    browser = knows_password(client, alice)
    answer = post(browser, CODE, {"code": app.code(-5)}, page=CODE)
    assert answer.status_code == 401
    assert "This code is not right, or it was used already." in text_of(answer)
    assert not is_in(browser)
    assert post(browser, CODE, {"code": app.next_code()}, page=CODE).status_code == 303


def test_a_code_works_once(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, _ = phone.set_up(client, hand)
    first, second = knows_password(client, alice), knows_password(client, alice)
    seen = app.next_code()
    assert post(first, CODE, {"code": seen}, page=CODE).status_code == 303
    assert post(second, CODE, {"code": seen}, page=CODE).status_code == 401
    assert (is_in(first), is_in(second)) == (True, False)


def test_an_older_code_is_void_once_a_newer_one_was_used(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, _ = phone.set_up(client, hand)
    hand.shift(90)
    newer, older = app.code(), app.code(-1)
    assert post(knows_password(client, alice), CODE, {"code": newer}, page=CODE).status_code == 303
    assert post(knows_password(client, alice), CODE, {"code": older}, page=CODE).status_code == 401


def test_of_ten_at_once_with_one_code_one_gets_in(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, _ = phone.set_up(client, hand)
    flask_app: Flask = client.application
    browsers = [knows_password(client, alice) for _ in range(8)]
    code, gate = app.next_code(), Barrier(8)
    tokens = [phone_token(browser) for browser in browsers]

    def one(number: int) -> int:
        gate.wait(10)
        form = {"code": code, "csrf_token": tokens[number]}
        return browsers[number].post(CODE, data=form).status_code

    assert flask_app is not None
    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(one, range(8)))
    assert answers == [303] + [401] * 7


def phone_token(browser: FlaskClient) -> str:
    return people.csrf_token(browser, CODE)


def test_ten_wrong_codes_and_passwords_together_and_no_more(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    app, codes = phone.set_up(client, hand)
    browser = knows_password(client, alice)
    for _ in range(4):
        assert people.try_sign_in(elsewhere(client), alice.email, "not-the-password").status_code == 401
    for number in range(6):
        page, wrong = (CODE, app.code(-9)) if number % 2 else (RECOVERY, "aaaa-bbbb-cccc-dddd")
        assert post(browser, page, {"code": wrong}, page=page).status_code == 401
    # 4 + 6 = 10: the eleventh is not even looked at, although it is right.
    answer = post(browser, CODE, {"code": app.next_code()}, page=CODE)
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True)
    assert "Too many wrong tries." in text_of(answer)
    assert post(browser, RECOVERY, {"code": codes[0]}, page=RECOVERY).status_code == 429
    assert people.try_sign_in(elsewhere(client), alice.email, PASSWORD).status_code == 429
    hand.shift(15 * 60)
    assert post(knows_password(client, alice), CODE, {"code": app.code()}, page=CODE).status_code == 303


def test_right_ones_do_not_count(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, _ = phone.set_up(client, hand)
    for _ in range(12):
        assert post(knows_password(client, alice), CODE, {"code": app.next_code()}, page=CODE).status_code == 303


def test_between_the_steps_there_are_ten_minutes(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, _ = phone.set_up(client, hand)
    browser = knows_password(client, alice)
    hand.shift(601)
    assert post(browser, CODE, {"code": app.code()}).location == "/sign-in"
    assert "More than ten minutes have passed." in text_of(browser.get("/sign-in"))
    assert not is_in(browser)


def test_without_the_first_step_there_is_no_second(client: FlaskClient) -> None:
    for page in (CODE, RECOVERY):
        assert client.get(page).location == "/sign-in"
        assert post(client, page, {"code": "123456"}).location == "/sign-in"


def test_a_new_password_voids_a_half_done_sign_in_and_keeps_the_second_step(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    app, _ = phone.set_up(client, hand)
    half = knows_password(client, alice)
    sent = {"password-current": PASSWORD, "password-password": NEW_PASSWORD}
    assert post(client, "/profile/password", sent, page="/profile").location == "/profile"
    assert post(half, CODE, {"code": app.next_code()}).location == "/sign-in"
    assert not is_in(half)
    browser = knows_password(client, alice, NEW_PASSWORD)
    assert not is_in(browser)
    assert post(browser, CODE, {"code": app.code()}, page=CODE).status_code == 303


def test_a_reset_password_does_not_lead_past_the_second_step(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    from portal.identity import links
    from portal.identity.links import Purpose

    phone.set_up(client, hand)
    link = f"/password/reset/{links.make(Purpose.RESET, db.session.get_one(User, alice.user_id))}"
    browser = elsewhere(client)
    assert post(browser, link, {"password": NEW_PASSWORD}, page=link).location == "/sign-in"
    assert not is_in(browser)
    assert people.try_sign_in(browser, alice.email, NEW_PASSWORD).location == CODE


def test_another_address_keeps_the_second_step_and_ends_other_sessions(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    from portal.identity import links
    from portal.identity.links import Purpose

    app, _ = phone.set_up(client, hand)
    other = knows_password(client, alice)
    assert post(other, CODE, {"code": app.next_code()}, page=CODE).status_code == 303
    half = knows_password(client, alice)
    user = db.session.get_one(User, alice.user_id)
    link = f"/verify/email/{links.make(Purpose.CHANGE_EMAIL, user, 'ann@example.com')}"
    assert post(client, link, {}, page=link).status_code == 303
    assert (is_in(client), is_in(other)) == (True, False)
    assert post(half, CODE, {"code": app.next_code()}).location == "/sign-in"
    browser = elsewhere(client)
    assert people.try_sign_in(browser, "ann@example.com", PASSWORD).location == CODE


def test_programs_get_no_session_for_the_password_alone(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    """The verbs that the JSON sign-in will call: the challenge first, then challenge and code."""
    app, _ = phone.set_up(client, hand)
    with pytest.raises(CodeNeeded) as needed:
        flows.sign_in(alice.email, PASSWORD)
    assert (needed.value.status, needed.value.code) == (401, "second_factor_required")
    with pytest.raises(WrongCode):
        second_factor_flows.enter(needed.value.challenge, app.code(-9))
    assert second_factor_flows.enter(needed.value.challenge, app.next_code()).codes_left is None


# Recovery codes -------------------------------------------------------------------------------------------------------
def test_a_recovery_code_opens_once_and_is_told_of(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    _, codes = phone.set_up(client, hand)
    browser = knows_password(client, alice)
    assert "I do not have my phone" in text_of(browser.get(CODE))
    typed = codes[3].upper().replace("-", " ")
    assert post(browser, RECOVERY, {"code": typed}, page=RECOVERY).status_code == 303
    assert "9 recovery codes are left." in text_of(browser.get("/profile"))
    again = knows_password(client, alice)
    refused = post(again, RECOVERY, {"code": codes[3]}, page=RECOVERY)
    assert (refused.status_code, "or it was used already" in text_of(refused)) == (401, True)
    assert mailed().count("recovery_code_used") == 1
    assert "user.recovery_code_used" in acts()


def test_new_codes_void_the_old_ones(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, old = phone.set_up(client, hand)
    assert post(client, CODES, {"current": PASSWORD, "code": app.code()}, page=CODES).status_code == 422  # used
    answer = post(client, CODES, {"current": PASSWORD, "code": app.next_code()}, page=CODES)
    new = phone.recovery_codes(answer.get_data(as_text=True))
    assert (answer.status_code, len(new), set(new) & set(old)) == (200, 10, set())
    browser = knows_password(client, alice)
    assert post(browser, RECOVERY, {"code": old[0]}, page=RECOVERY).status_code == 401
    assert post(browser, RECOVERY, {"code": new[0]}, page=RECOVERY).status_code == 303


def test_few_codes_left_are_pointed_out(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    _, codes = phone.set_up(client, hand)
    for code in codes[:7]:
        assert post(knows_password(client, alice), RECOVERY, {"code": code}, page=RECOVERY).status_code == 303
    assert "3 recovery codes are left. Make new ones before you need them." in text_of(client.get("/profile"))


# Off ------------------------------------------------------------------------------------------------------------------
def test_switching_off_takes_password_and_code(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, codes = phone.set_up(client, hand)
    for current, code, words in (
        ("not-the-password", app.next_code(), "This is not your password."),
        (PASSWORD, "000000" if app.code() != "000000" else "111111", "This code is not right"),
        (PASSWORD, "", "Enter a code."),
    ):
        answer = post(client, OFF, {"current": current, "code": code}, page=OFF)
        assert (answer.status_code, words in text_of(answer)) == (422, True)
    assert second_factor.is_on(alice.user_id)
    answer = post(client, OFF, {"current": PASSWORD, "code": app.code()}, page=OFF)
    assert answer.location == "/profile#two-step"
    people.sign_in(elsewhere(client), alice.email)
    assert mailed()[-1] == "second_factor_off"
    assert db.session.scalars(select(RecoveryCode.id)).all() == []
    assert codes


def test_a_lost_phone_is_replaced_with_a_recovery_code(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    _, codes = phone.set_up(client, hand)
    assert post(client, OFF, {"current": PASSWORD, "code": codes[0]}, page=OFF).location == "/profile#two-step"
    phone.set_up(client, hand)
    assert second_factor.is_on(alice.user_id)


# Staff ----------------------------------------------------------------------------------------------------------------
def compulsory() -> None:
    with unit_of_work():
        settings.change("staff_second_factor", "yes", actor=SYSTEM, now=clock.business())


def test_staff_are_led_to_the_set_up_and_can_do_nothing_else_in_the_back_office(client: FlaskClient, hand: Any) -> None:
    sam = people.staff()
    people.sign_in(client, sam.email)
    assert client.get("/admin/vendors").status_code == 200
    compulsory()
    led = f"{START}?why=staff_second_factor"
    assert [client.get(path).location for path in ("/admin", "/admin/vendors", "/admin/styleguide")] == [led] * 3
    assert post(client, "/admin/vendors/1/trial", {"days": "3"}).location == led
    partial = client.get("/admin/vendors", headers={"HX-Request-Type": "partial"})
    assert partial.headers["HX-Redirect"] == led
    assert "Staff need two-step sign-in here" in text_of(client.get(led))
    app, _ = phone.set_up(client, hand)
    assert client.get("/admin/vendors").status_code == 200
    answer = post(client, OFF, {"current": PASSWORD, "code": app.next_code()}, page=OFF)
    assert (answer.status_code, "cannot be switched off" in text_of(answer)) == (409, True)
    assert second_factor.is_on(sam.id)


def test_vendors_people_are_not_compelled(client: FlaskClient, alice: people.Someone) -> None:
    compulsory()
    assert client.get("/dashboard").status_code == 200


def test_an_operator_resets_it_for_somebody_who_lost_everything(
    client: FlaskClient, alice: people.Someone, hand: Any
) -> None:
    phone.set_up(client, hand)
    runner = client.application.test_cli_runner()
    done = runner.invoke(args=["staff", "reset-second-factor", "ALICE@example.com"])
    assert (done.exit_code, done.output) == (0, "Two-step sign-in of alice@example.com is off.\n")
    assert not is_in(client)
    people.sign_in(elsewhere(client), alice.email)
    assert acts()[-1] == "user.second_factor_reset"
    assert mailed()[-1] == "second_factor_off"
    again = runner.invoke(args=["staff", "reset-second-factor", "alice@example.com"])
    assert "had no two-step sign-in" in again.output
    assert runner.invoke(args=["staff", "reset-second-factor", "nobody@example.com"]).exit_code == 1


def test_keys_rotate_while_people_sign_in(client: FlaskClient, alice: people.Someone, hand: Any) -> None:
    app, _ = phone.set_up(client, hand)
    before = dict(crypto._keys)
    runner = client.application.test_cli_runner()
    try:
        crypto.configure([b"n" * 32, *before.values()])
        assert "second factors: 1 sealed anew" in runner.invoke(args=["keys", "rotate"]).output.splitlines()
        crypto.configure([b"n" * 32])
        assert post(knows_password(client, alice), CODE, {"code": app.next_code()}, page=CODE).status_code == 303
        crypto.configure([b"m" * 32])
        failed = runner.invoke(args=["keys", "rotate"])
        assert (failed.exit_code, "does not open" in failed.output) == (1, True)
    finally:
        crypto.configure(list(before.values()))


def test_codes_of_the_neighbouring_half_minutes_count_and_no_others() -> None:
    """RFC 6238's own secret; its table gives 94287082 for second 59 (step 1), so 287082 in six digits."""
    from datetime import UTC, datetime

    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    at = {second: datetime.fromtimestamp(second, UTC) for second in (0, 29, 30, 59, 60, 89, 90)}
    assert step_of(at[59]) == 1
    assert [matching_step(secret, "287082", at[s], after=-1) for s in at] == [1, 1, 1, 1, 1, 1, None]
    assert matching_step(secret, "287082", at[59], after=1) is None
