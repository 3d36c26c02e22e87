"""``flask staff add``: a role, and a link to a password where there is none."""

import re

import pytest
from flask import Flask
from sqlalchemy import select

from portal.identity.models import StaffRole, User
from portal.kit.db import db
from tests.support import people
from tests.support.people import post


def add(app: Flask, *arguments: str) -> tuple[int, str]:
    """Run the command; gives its exit code and what it said."""
    result = app.test_cli_runner().invoke(args=["staff", "add", *arguments])
    db.session.rollback()
    return result.exit_code, result.output


def test_a_new_colleague_gets_a_link_to_choose_a_password(catalog: Flask) -> None:
    code, said = add(catalog, "sam@example.com", "--role", "admin", "--name", "Sam Staff")
    assert code == 0 and "sam@example.com is admin now." in said
    found = re.search(r"http://localhost(/password/reset/\S+)", said)
    assert found is not None
    browser = catalog.test_client()
    assert post(browser, found[1], {"password": people.PASSWORD}).location == "/sign-in"
    assert people.sign_in(browser, "sam@example.com").location == "/admin/vendors"
    assert post(browser, found[1], {"password": "another-lantern-meadow-48"}).status_code == 404


def test_somebody_with_a_password_gets_the_role_alone(catalog: Flask) -> None:
    alice = people.register()
    code, said = add(catalog, "ALICE@example.com", "--role", "support")
    assert (code, "password" in said) == (0, False)
    assert db.session.scalars(select(StaffRole.role).where(StaffRole.user_id == alice.user_id)).one() == "support"


def test_a_role_can_be_changed(catalog: Flask) -> None:
    add(catalog, "sam@example.com", "--role", "admin")
    add(catalog, "sam@example.com", "--role", "finance")
    assert db.session.scalars(select(StaffRole.role)).all() == ["finance"]


@pytest.mark.parametrize("arguments", [("nobody", "--role", "admin"), ("a@example.com", "--role", "king")])
def test_what_does_not_fit_is_said(catalog: Flask, arguments: tuple[str, ...]) -> None:
    code, said = add(catalog, *arguments)
    assert code != 0 and said
    assert db.session.scalars(select(User.id)).all() == []
