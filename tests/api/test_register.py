"""POST /api/v1/auth/register: an account by program, once per key, faults by field (ACC-2)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from portal.identity import tokens
from portal.identity.models import RefreshToken, User, Vendor
from portal.kit import jobs, tenancy
from portal.kit.db import Base, db
from portal.kit.models import IdempotencyKey
from portal.subscriptions.models import VendorSubscription
from tests.support import people
from tests.support.people import PASSWORD

PATH = "/api/v1/auth/register"
BODY = {
    "business_name": "Kilim House",
    "name": "Alice Owner",
    "email": "alice@example.com",
    "password": PASSWORD,
    "tier": "professional",
}


def send(client: FlaskClient, key: str | None = None, path: str = PATH, **changed: Any) -> TestResponse:
    """Register; a field changed to None is left out."""
    body = {name: value for name, value in {**BODY, **changed}.items() if value is not None}
    return client.post(path, json=body, headers={"Idempotency-Key": key} if key else {})


def rows(model: type[Base]) -> int:
    """Rows of a table."""
    with tenancy.unscoped("a test"):
        return int(db.session.scalar(select(func.count()).select_from(model)) or 0)


@pytest.mark.parametrize("path", [PATH, PATH + "/"])
def test_an_account_is_opened_and_tokens_are_given(client: FlaskClient, path: str) -> None:
    answer = send(client, path=path)
    assert answer.status_code == 201
    given = answer.get_json()
    assert given["vendor"] == {"id": given["account_id"], "code": "kilim-house", "name": "Kilim House"}
    assert (given["tier"], given["trial_refused"], given["scope"]) == ("professional", False, "billing")
    assert given["next_url"] == "http://localhost/dashboard"
    claims = tokens.verify_access(given["access"])
    assert (claims.user_id, claims.account_id, claims.scope) == (given["user_id"], given["account_id"], "billing")
    expires = jwt.decode(given["access"], options={"verify_signature": False})["exp"]
    assert given["access_expires_at"].endswith("+00:00") and expires > 0
    assert given["refresh_expires_at"] > given["access_expires_at"]
    assert "Set-Cookie" not in answer.headers


def test_the_account_can_sign_in_on_the_web(client: FlaskClient) -> None:
    send(client)
    assert people.sign_in(client, "alice@example.com").location == "/dashboard"


def test_the_tier_may_be_left_out(client: FlaskClient) -> None:
    given = send(client, tier=None).get_json()
    assert (given["tier"], given["next_url"]) == (None, "http://localhost/vendor/kilim-house/plans")
    assert rows(VendorSubscription) == 0


def test_a_second_trial_of_one_person_is_refused(client: FlaskClient) -> None:
    send(client)
    given = send(client, email="alice+2@example.com", business_name="Second").get_json()
    assert given["trial_refused"] is True
    assert given["next_url"] == "http://localhost/vendor/second/plans"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"email": None}, "email"),
        ({"email": "nobody"}, "email"),
        ({"email": 5}, "email"),
        ({"email": "x" * 10_000}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "Password123!"}, "password"),
        ({"name": "\x00"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"business_name": ["a"]}, "business_name"),
        ({"tier": "platinum"}, "tier"),
        ({"tier": "enterprise"}, "tier"),
        ({"tier": ""}, "tier"),
        ({"cycle": "weekly"}, "cycle"),
        ({"locale": "xx"}, "locale"),
        ({"email_verified_at": "2020-01-01"}, "email_verified_at"),
        ({"role": "admin"}, "role"),
    ],
)
def test_what_does_not_fit_is_named_by_field(client: FlaskClient, changed: dict[str, Any], field: str) -> None:
    answer = send(client, **changed)
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    problem = answer.get_json()
    assert (problem["status"], problem["code"], list(problem["errors"])) == (422, "invalid", [field])
    assert PASSWORD not in answer.get_data(as_text=True)
    assert rows(User) == 0


def test_an_address_that_is_taken_is_named(client: FlaskClient) -> None:
    send(client)
    answer = send(client, email="ALICE@example.com", business_name="Other")
    assert answer.status_code == 422 and list(answer.get_json()["errors"]) == ["email"]
    assert (rows(User), rows(Vendor)) == (1, 1)


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"email=a", "application/x-www-form-urlencoded", 415),
        (b'{"name": "' + b"x" * 1_100_000 + b'"}', "application/json", 413),
    ],
)
def test_bodies_that_are_no_request_are_refused(client: FlaskClient, data: bytes, kind: str, status: int) -> None:
    answer = client.post(PATH, data=data, content_type=kind)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"


def test_other_methods_are_refused_in_json(client: FlaskClient) -> None:
    answer = client.get(PATH)
    assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")


def test_the_same_key_gives_the_same_account_with_fresh_tokens(client: FlaskClient) -> None:
    first, second = send(client, "key-1").get_json(), send(client, "key-1").get_json()
    changing = {"access", "refresh", "access_expires_at", "refresh_expires_at"}
    assert {k: v for k, v in first.items() if k not in changing} == {
        k: v for k, v in second.items() if k not in changing
    }
    assert first["refresh"] != second["refresh"]
    assert (rows(User), rows(Vendor), rows(RefreshToken)) == (1, 1, 2)


def test_the_same_key_with_another_body_is_refused(client: FlaskClient) -> None:
    send(client, "key-1")
    for changed in ({"business_name": "Other"}, {"email": "bob@example.com"}, {"tier": "essential"}):
        answer = send(client, "key-1", **changed)
        assert (answer.status_code, answer.get_json()["code"]) == (422, "idempotency_mismatch")
    assert rows(User) == 1


def test_a_key_gives_nobody_tokens_without_the_password(client: FlaskClient) -> None:
    send(client, "key-1")
    answers = [send(client, "key-1", password=f"{PASSWORD}-{i}") for i in range(12)]
    assert [a.status_code for a in answers] == [422] * 10 + [429] * 2
    assert all("access" not in a.get_json() for a in answers)


def test_neither_password_nor_token_is_kept_with_the_answer(client: FlaskClient) -> None:
    given = send(client, "key-1").get_json()
    row = db.session.scalars(select(IdempotencyKey)).one()
    kept = str(row.answer)
    assert given["access"] not in kept and given["refresh"] not in kept and PASSWORD not in kept


def test_a_refused_request_leaves_its_key_free(client: FlaskClient) -> None:
    assert send(client, "key-1", password="short").status_code == 422
    assert send(client, "key-1").status_code == 201


@pytest.mark.parametrize("key", ["x" * 256, "ä"])
def test_a_key_that_is_none_is_refused(client: FlaskClient, key: str) -> None:
    answer = send(client, key)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "idempotency_key")
    assert rows(User) == 0


def test_the_customer_is_made_by_a_job(client: FlaskClient, sandbox: Any) -> None:
    send(client)
    jobs.run_all()
    db.session.rollback()
    assert (db.session.scalars(select(Vendor.stripe_customer_id)).one() or "").startswith("cus_")


@pytest.mark.parametrize("key", ["key-1", None])
def test_eight_at_once_open_one_account(catalog: Flask, key: str | None) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: send(catalog.test_client(), key).status_code, range(8)))
    # With a key all get the one account; without one seven are told that the address is taken.
    assert sorted(codes) == ([201] * 8 if key else [201] + [422] * 7)
    assert (rows(User), rows(Vendor), rows(VendorSubscription)) == (1, 1, 1)
