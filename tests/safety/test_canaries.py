"""Every secret there is, as a canary: afterwards it is in no log, table, queue, page, answer, mail or traceback.

Keys of programs and what signs webhooks while they are used are in tests/api/test_canary.py.
"""

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import text

from config import Config
from portal import gateways
from portal.addons import certificates, mailboxes
from portal.addons.models import Certificate, Mailbox
from portal.cli import doctor, keys
from portal.cli.embedded_redis import running
from portal.gateways import mailboxes as mail_host
from portal.gateways import registrar, storage, stripe
from portal.gateways.mailboxes import MailHost
from portal.identity import second_factor
from portal.kit import crypto, dispatcher, jobs, log, tenancy
from portal.kit.db import Base, db
from portal.kit.errors import PortalError
from portal.notifications.models import WebhookEndpoint
from portal.notifications.webhooks import place
from portal.settings import queries as settings
from tests.browser import cast, cast_addons
from tests.support import bucket, far_servers, people, phone
from tests.support.people import post
from tests.support.servers import Sandbox

CANARY = "canary-violet-harbour-4711"
#: What a person types and the portal must forget or seal.
TYPED = {"mailbox": "violet-harbour-quartz-4711", "login": "copper-lantern-meadow-47"}


class Heard(logging.Handler):
    """Everything that is logged, at any level, with the facts beside the words."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(record.__dict__))


@pytest.fixture
def heard(catalog: Flask) -> Iterator[Heard]:
    """Logs as in production, only louder."""
    listening, root = Heard(), logging.getLogger()
    log.configure("json", "DEBUG")
    root.addHandler(listening)
    yield listening
    root.removeHandler(listening)
    log.configure("console", "ERROR")


#: Every secret of the environment. A new one must be put to the test here.
SECRETS = {
    "secret_key", "encryption_keys", "stripe_secret_key", "stripe_webhook_secret", "smtp_password",
    "s3_secret_access_key", "namecheap_api_key", "mailcow_api_key", "metrics_token",
}  # fmt: skip


def test_every_secret_setting_is_one_here() -> None:
    assert {name for name, kind in Config.model_fields.items() if kind.annotation is SecretStr} == SECRETS


def test_secret_settings_are_told_to_nobody(
    catalog: Flask, sandbox: Sandbox, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is used against a server that refuses it, by the gateway and by the doctor."""
    canaries: dict[str, Any] = {name: f"{CANARY}-{name}" for name in SECRETS}
    before: Config = catalog.extensions["portal_config"]
    with far_servers.namecheap() as names, far_servers.mailcow() as mail, bucket.serving() as files:
        config = Config(
            app_env="test", data_dir=before.data_dir, stripe_api_base=sandbox.url, stripe_max_retries=0,
            smtp_host="127.0.0.1", smtp_port=9, smtp_user_email="portal@example.com", mailcow_url=mail.url,
            namecheap_api_user="shop", namecheap_client_ip="203.0.113.5", namecheap_api_url=names.url,
            s3_bucket=bucket.NAME, s3_endpoint=files.url, s3_region=bucket.REGION, s3_access_key_id=bucket.KEY_ID,
            dns_resolvers="127.0.0.1:9", **canaries,
        )  # fmt: skip
        monkeypatch.setitem(catalog.extensions, "portal_config", config)
        gateways.configure(config)
        try:
            said = [repr(config), str(config), *refusals()]
            said.append(catalog.test_cli_runner().invoke(doctor.doctor).output)
            said += config.problems()
        finally:
            gateways.configure(before)
    assert "FAIL  mail" in said[-len(config.problems()) - 1]
    assert CANARY not in "\n".join(said)
    assert CANARY not in "\n".join(heard.lines)


def refusals() -> Iterator[str]:
    """What each gateway raises, with all that it was raised from."""
    asks: list[Any] = [
        lambda: stripe.current().account(),
        lambda: registrar.current().quote("myshop.com", "com"),
        lambda: mail_host.current().room("myshop.com"),
        lambda: mail_host.current().add_mailbox("a@myshop.com", "A", CANARY),
        lambda: storage.put("doctor/x.txt", b"x"),
    ]
    for ask in asks:
        with pytest.raises(PortalError) as refused:
            ask()
        error: BaseException | None = refused.value
        while error is not None:
            yield f"{error!r} {error} {error.__dict__}"
            error = error.__cause__ or error.__context__


def sealed(mailbox_id: int, user_id: int) -> dict[str, str]:
    """What lies sealed in the database, opened; by whom it is kept."""
    key = db.session.query(Certificate).filter(Certificate.private_key.is_not(None)).first()
    endpoint = db.session.query(WebhookEndpoint).first()
    assert key is not None and endpoint is not None
    found = {
        "certificates": crypto.unseal(str(key.private_key), bound_to=certificates._place(key.id)),
        "webhook endpoints": crypto.unseal(endpoint.secret, bound_to=place(endpoint.id)).removeprefix("whsec_"),
        "mailboxes": str(mailboxes.password_of(db.session.get_one(Mailbox, mailbox_id))),
        "second factors": str(second_factor.begun(user_id)),
    }
    db.session.rollback()
    return found


def test_sealed_and_typed_secrets_are_found_nowhere(
    client: FlaskClient, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given, used, refused by a host that is away, and in the hands of a page that breaks.

    Tried once with the mailbox's password in an audit entry.
    """
    with tenancy.unscoped("a test"), phone.wall_clock() as hand, running(tmp_path) as server:
        who = people.sign_up(client, tier="business", password=TYPED["login"])
        cast_addons.is_furnished(who)
        cast._is_equipped(who)
        phone.scan(client, hand, TYPED["login"])
        mailbox = db.session.query(Mailbox.id).filter_by(vendor_id=who.vendor_id).first()
        assert mailbox is not None
        monkeypatch.setattr(mail_host, "_current", MailHost("http://127.0.0.1:9", "key", "mail.example", 3072))
        jobs.run_all()
        answers = uses(client, who.code, mailbox.id, monkeypatch)
        queue = queued(dispatcher.connect(server))
        answers += uses(client, who.code, mailbox.id, monkeypatch)
        jobs.run_all()  # what was handed to the queue is on its way; the second time it fails here
        secrets = {**sealed(mailbox.id, who.user_id), **TYPED}
        places = {"logs": "\n".join(heard.lines), "tables": tables(), "pages": "\n".join(answers), "queue": queue}
    assert keys.KEEPERS.keys() <= secrets.keys(), "whoever keeps sealed values is put to the test here"
    assert all(len(each) > 100 for each in places.values())
    for name, secret in secrets.items():
        for part in parts(secret):
            for where, found in places.items():
                assert part not in found, f"{name} is in the {where}"


def parts(secret: str) -> list[str]:
    """A key of many lines is looked for line by line: the rest of it would be told by any of them."""
    return [line for line in secret.splitlines() if len(line) >= 16 and "-----" not in line]


def uses(client: FlaskClient, code: str, mailbox: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A new password for a mailbox, once well and once with a page that breaks; then the pages around it."""
    here = f"/vendor/{code}/mailboxes/{mailbox}/password"
    assert post(client, here, {"password": TYPED["mailbox"]}).status_code == 303
    with monkeypatch.context() as broken:
        broken.setattr(mailboxes, "new_password", lambda *_, **__: 1 / 0)
        failed = post(client, here, {"password": TYPED["mailbox"]})
    assert failed.status_code == 500
    weak = post(client, here, {"password": "short-" + TYPED["mailbox"][:3]})
    wrong = people.try_sign_in(client.application.test_client(), "alice@example.com", TYPED["login"] + "x")
    pages = [client.get(f"/vendor/{code}/{page}") for page in ("mailboxes", "domains", "api-keys", "addons", "billing")]
    pages += [client.get(page) for page in ("/profile", "/dashboard", "/mailbox", "/api/v1/openapi.json")]
    settings.forget()
    return [answer.get_data(as_text=True) for answer in (failed, weak, wrong, *pages)]


def tables() -> str:
    """Every value of every table."""
    with db.engine.connect() as connection:
        found = [connection.execute(text(f'SELECT * FROM "{t.name}"')).fetchall() for t in Base.metadata.sorted_tables]
    return "\n".join(repr(tuple(row)) for rows in found for row in rows)


def queued(redis: Redis) -> str:
    """All that lies in Redis once what is due was handed to it, jobs unpacked."""
    dispatcher.dispatch(redis)
    found: list[str] = []
    for key in redis.scan_iter():
        values: Any = redis.hgetall(key) if redis.type(key) == b"hash" else {key: redis.dump(key)}
        for value in values.values():
            found += [repr(value), repr(_unpacked(value))]
    redis.close()
    return "\n".join(found)


def _unpacked(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return b""
