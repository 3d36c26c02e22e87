"""Outgoing webhooks over real HTTP: signed, once per endpoint, tried again for three days, paused, replayed (API-3)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from config import Config
from portal.gateways import outgoing
from portal.kit import clock, jobs, tenancy
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, NotFound
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhook_queries as queries
from portal.notifications import webhook_rules as rules
from portal.notifications import webhooks
from portal.notifications.models import SentMail, WebhookDelivery, WebhookEndpoint
from portal.settings import service as settings
from tests.notifications.receiver import Receiver, running
from tests.support import people
from tests.support.people import Someone

pytestmark = pytest.mark.usefixtures("unscoped")
DATA = {"metric": "orders", "threshold": 80, "used": 400, "limit": 500}


@pytest.fixture
def receiver(catalog: Flask) -> Iterator[Receiver]:
    """A server of the vendor's, on a network that this installation allows."""
    outgoing.configure(Config(outgoing_private_networks="127.0.0.0/8"))
    with running() as it:
        yield it
    outgoing.configure(Config())


@pytest.fixture
def ada(receiver: Receiver) -> Someone:
    who = people.register()
    jobs.run_all()
    return who


def told(vendor_id: int | None, receiver: Receiver, *kinds: str) -> tuple[int, str]:
    """An endpoint at the receiver; gives its id and secret."""
    with unit_of_work():
        return webhooks.add(vendor_id, receiver.url, kinds, actor=SYSTEM, now=clock.business())


def happens(vendor_id: int | None, event_id: str = "alert:1", kind: str = "usage.alert") -> int:
    with unit_of_work():
        return webhooks.publish(kind, vendor_id=vendor_id, event_id=event_id, data=DATA, now=clock.business())


def delivery() -> WebhookDelivery:
    db.session.rollback()
    return db.session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id.desc()).limit(1)).one()


def endpoint(endpoint_id: int) -> WebhookEndpoint:
    return db.session.get_one(WebhookEndpoint, endpoint_id, populate_existing=True)


def test_an_event_arrives_signed_and_with_its_facts(ada: Someone, receiver: Receiver) -> None:
    _, secret = told(ada.vendor_id, receiver)
    assert happens(ada.vendor_id) == 1
    jobs.run_all()
    (got,) = receiver.got
    assert got.path == "/hooks?shop=1"
    assert got.json["type"] == "usage.alert"
    assert got.json["data"] == DATA
    assert got.json["vendor"] == {"id": ada.vendor_id, "code": ada.code}
    assert datetime.fromisoformat(got.json["timestamp"]).tzinfo is not None
    assert got.headers["webhook-id"] == "alert:1"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.signed_with(secret)
    assert not got.signed_with(rules.new_secret())
    assert (delivery().state, delivery().attempts, delivery().last_status) == ("delivered", 1, 200)


def test_a_changed_body_no_longer_fits_its_signature(ada: Someone, receiver: Receiver) -> None:
    _, secret = told(ada.vendor_id, receiver)
    happens(ada.vendor_id)
    jobs.run_all()
    (got,) = receiver.got
    got.body = got.body.replace(b'"used":400', b'"used":401')
    assert not got.signed_with(secret)


def test_the_same_event_is_told_once(ada: Someone, receiver: Receiver) -> None:
    told(ada.vendor_id, receiver)
    assert [happens(ada.vendor_id), happens(ada.vendor_id)] == [1, 0]
    jobs.run_all()
    assert len(receiver.got) == 1


def test_an_event_that_nobody_listed_is_a_bug(ada: Someone) -> None:
    with pytest.raises(rules.WrongWebhookError, match="usage\\.nothing"), unit_of_work():
        webhooks.publish("usage.nothing", vendor_id=ada.vendor_id, event_id="x", data={}, now=clock.business())


def test_who_hears_of_it(ada: Someone, receiver: Receiver) -> None:
    """The vendor's own endpoint and the platform's; no other vendor's, none for other kinds, none that was removed."""
    other = people.register("bob@example.com", business="Bobs Books")
    told(ada.vendor_id, receiver)
    told(None, receiver)
    told(other.vendor_id, receiver)
    gone, _ = told_at(ada.vendor_id, receiver, "/gone")
    told_at(ada.vendor_id, receiver, "/addons", "addon.ready")
    with unit_of_work():
        webhooks.remove(ada.vendor_id, gone, now=clock.business())
    with tenancy.scoped(ada.vendor_id):  # as a vendor's page or job would
        assert happens(ada.vendor_id) == 2
    jobs.run_all()
    assert len(receiver.got) == 2
    assert {got.json["vendor"]["code"] for got in receiver.got} == {ada.code}
    assert queries.deliveries(ada.vendor_id, None).rows[0].kind == "usage.alert"
    assert len(queries.deliveries(ada.vendor_id, None).rows) == len(queries.deliveries(None, None).rows) == 1
    assert queries.deliveries(other.vendor_id, None).rows == []


def told_at(vendor_id: int | None, receiver: Receiver, path: str, *kinds: str) -> tuple[int, str]:
    with unit_of_work():
        url = receiver.url.replace("/hooks", path)
        return webhooks.add(vendor_id, url, kinds, actor=SYSTEM, now=clock.business())


def test_a_refused_event_is_tried_for_three_days_and_then_given_up(ada: Someone, receiver: Receiver) -> None:
    """0 s + 5 s + 5 min + 30 min + 2 h + 5 h + 10 h + 14 h + 20 h + 24 h: ten tries, the last 75 h 35 min 5 s later."""
    which, secret = told(ada.vendor_id, receiver)
    happens(ada.vendor_id)
    receiver.then(*[500] * 10)
    begun = clock.wall()
    with time_machine.travel(begun, tick=False) as machine:
        jobs.run_all()
        for tries, gap in enumerate((5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400), 1):
            assert (delivery().state, delivery().attempts, len(receiver.got)) == ("pending", tries, tries)
            machine.shift(timedelta(seconds=gap - 1))
            jobs.run_all()
            assert len(receiver.got) == tries, "not before its time"
            machine.shift(timedelta(seconds=1))
            jobs.run_all()
        assert clock.wall() - begun == timedelta(hours=75, minutes=35, seconds=5)
        jobs.run_all()
    assert (delivery().state, delivery().attempts, delivery().last_status) == ("failed", 10, 500)
    assert delivery().last_error == "hello"
    assert {got.headers["webhook-id"] for got in receiver.got} == {"alert:1"}
    assert all(got.signed_with(secret) for got in receiver.got)
    assert len({got.headers["webhook-timestamp"] for got in receiver.got}) == 10
    assert endpoint(which).state == "failing"
    assert mails("webhook_failing") == [("alice@example.com", "127.0.0.1")]


def mails(kind: str) -> list[tuple[str, str]]:
    rows = db.session.scalars(select(SentMail).where(SentMail.kind == kind))
    return [(row.recipient, row.params["host"]) for row in rows]


def test_an_endpoint_that_takes_something_again_works(ada: Someone, receiver: Receiver) -> None:
    which, _ = told(ada.vendor_id, receiver)
    fails_for_good(ada, receiver)
    happens(ada.vendor_id, "alert:2")
    jobs.run_all()
    assert (endpoint(which).state, endpoint(which).failing_since) == ("active", None)


def fails_for_good(ada: Someone, receiver: Receiver) -> int:
    """An event that is refused ten times; gives its delivery's id."""
    happens(ada.vendor_id)
    receiver.then(*[503] * 10)
    with time_machine.travel(clock.wall(), tick=False) as machine:
        for _ in range(10):
            jobs.run_all()
            machine.shift(timedelta(days=1))
    assert delivery().state == "failed"
    return delivery().id


def test_the_platform_is_told_at_the_support_address(ada: Someone, receiver: Receiver) -> None:
    with unit_of_work():
        settings.change("support_email", "help@portal.example", actor=SYSTEM, now=clock.business())
    told(None, receiver)
    fails_for_good(ada, receiver)
    jobs.run_all()
    assert mails("webhook_failing_staff") == [("help@portal.example", "127.0.0.1")]
    assert mails("webhook_failing") == []


def test_a_given_up_event_can_be_sent_again_under_its_id(ada: Someone, receiver: Receiver) -> None:
    told(ada.vendor_id, receiver)
    number = fails_for_good(ada, receiver)
    with unit_of_work():
        webhooks.send_again(ada.vendor_id, number)
    jobs.run_all()
    assert (delivery().state, delivery().attempts) == ("delivered", 1)
    assert [got.headers["webhook-id"] for got in receiver.got] == ["alert:1"] * 11


def test_another_vendors_deliveries_and_endpoints_are_not_there(ada: Someone, receiver: Receiver) -> None:
    which, _ = told(ada.vendor_id, receiver)
    happens(ada.vendor_id)
    other = people.register("bob@example.com", business="Bobs Books").vendor_id
    number = delivery().id
    for whose in (other, None):
        for verb in (webhooks.pause, webhooks.resume, webhooks.rotate, webhooks.end_previous):
            with pytest.raises(NotFound), unit_of_work():
                verb(whose, which)
        with pytest.raises(NotFound), unit_of_work():
            webhooks.send_again(whose, number)
        with pytest.raises(NotFound):
            queries.delivery(whose, number)


def test_nothing_is_sent_while_paused_and_what_waited_follows(ada: Someone, receiver: Receiver) -> None:
    which, _ = told(ada.vendor_id, receiver)
    happens(ada.vendor_id, "alert:before")
    with unit_of_work():
        assert webhooks.pause(ada.vendor_id, which) is True
    assert happens(ada.vendor_id, "alert:while") == 0
    jobs.run_all()
    assert receiver.got == []
    with pytest.raises(Conflict), unit_of_work():
        webhooks.send_test(ada.vendor_id, which, now=clock.business())
    with unit_of_work():
        assert webhooks.resume(ada.vendor_id, which) is True
    jobs.run_all()
    assert [got.headers["webhook-id"] for got in receiver.got] == ["alert:before"]


def test_for_a_day_the_old_secret_fits_as_well(ada: Someone, receiver: Receiver) -> None:
    """24 hours, tries that wait included; of three secrets the oldest no longer. A program changes over in peace."""
    which, oldest = told(ada.vendor_id, receiver)
    happens(ada.vendor_id)
    with time_machine.travel(clock.wall(), tick=False) as machine:
        with unit_of_work():
            old = webhooks.rotate(ada.vendor_id, which)
            new = webhooks.rotate(ada.vendor_id, which)
        assert len({oldest, old, new}) == 3
        jobs.run_all()
        machine.shift(timedelta(hours=24, seconds=-1))
        happens(ada.vendor_id, "alert:2")
        jobs.run_all()
        machine.shift(timedelta(seconds=1))
        happens(ada.vendor_id, "alert:3")
        jobs.run_all()
    fits = [[got.signed_with(secret) for secret in (new, old, oldest)] for got in receiver.got]
    assert fits == [[True, True, False], [True, True, False], [True, False, False]]


def test_an_old_secret_that_somebody_else_has_is_ended_at_once(ada: Someone, receiver: Receiver) -> None:
    which, old = told(ada.vendor_id, receiver)
    with unit_of_work():
        new = webhooks.rotate(ada.vendor_id, which)
        assert webhooks.end_previous(ada.vendor_id, which)
        assert not webhooks.end_previous(ada.vendor_id, which), "there is none any more"
    happens(ada.vendor_id)
    jobs.run_all()
    assert [receiver.got[0].signed_with(secret) for secret in (new, old)] == [True, False]
    assert endpoint(which).previous_secret is None


def test_the_secret_is_sealed_to_its_row(ada: Someone, receiver: Receiver) -> None:
    which, secret = told(ada.vendor_id, receiver)
    row = endpoint(which)
    assert secret not in row.secret
    assert row.secret_last4 == secret[-4:]
    other, _ = told_at(ada.vendor_id, receiver, "/other")
    with unit_of_work():
        endpoint(other).secret = row.secret
    happens(ada.vendor_id)
    jobs.run_all()
    assert len(receiver.got) == 1, "what was moved does not open, so nothing is sent"


def test_a_test_event_goes_to_one_endpoint_whatever_it_wants(ada: Someone, receiver: Receiver) -> None:
    which, _ = told(ada.vendor_id, receiver, "addon.ready")
    told_at(ada.vendor_id, receiver, "/other")
    with unit_of_work():
        webhooks.send_test(ada.vendor_id, which, now=clock.business())
    jobs.run_all()
    assert [(got.path, got.json["type"]) for got in receiver.got] == [("/hooks?shop=1", "test.sent")]


def test_a_redirect_is_not_followed(ada: Someone, receiver: Receiver) -> None:
    told(ada.vendor_id, receiver)
    happens(ada.vendor_id)
    receiver.then(302, Location=receiver.url)
    jobs.run_all()
    assert len(receiver.got) == 1
    assert (delivery().state, delivery().last_status) == ("pending", 302)


def test_a_job_that_runs_twice_sends_once(ada: Someone, receiver: Receiver) -> None:
    told(ada.vendor_id, receiver)
    happens(ada.vendor_id)
    jobs.run_all()
    with unit_of_work() as session:
        job = session.scalars(select(OutboxJob).where(OutboxJob.task == "webhooks.deliver")).one()
        job.state = "pending"
    jobs.run_all()
    assert len(receiver.got) == 1


def test_no_secret_is_in_a_jobs_arguments(ada: Someone, receiver: Receiver) -> None:
    _, secret = told(ada.vendor_id, receiver)
    happens(ada.vendor_id)
    for job in db.session.scalars(select(OutboxJob)):
        assert secret not in repr((job.args, job.dedupe_key))


@pytest.mark.parametrize(
    ("url", "kinds", "field"),
    [
        ("ftp://shop.example.com/", (), "url"),
        ("shop.example.com/hooks", (), "url"),
        ("https://user:word@shop.example.com/", (), "url"),
        ("https://shop.example.com/#part", (), "url"),
        ("https://shop", (), "url"),
        ("https://shop.example.com/" + "x" * 500, (), "url"),
        ("https://shop.example.com/a b", (), "url"),
        ("https://shöp.example.com/", (), "url"),
        ("https://10.0.0.1/", (), "url"),
        ("https://shop.example.com/", ("no.such",), "kinds"),
    ],
)
def test_what_is_no_endpoint_is_refused_at_its_field(
    ada: Someone, url: str, kinds: tuple[str, ...], field: str
) -> None:
    with pytest.raises(Invalid) as refused, unit_of_work():
        webhooks.add(ada.vendor_id, url, kinds, actor=SYSTEM, now=clock.business())
    assert list(refused.value.fields) == [field]
    assert queries.endpoints(ada.vendor_id) == []


def test_ten_endpoints_are_enough(ada: Someone, receiver: Receiver) -> None:
    for number in range(10):
        told_at(ada.vendor_id, receiver, f"/{number}")
    with pytest.raises(Conflict):
        told_at(ada.vendor_id, receiver, "/one-more")


def test_keys_are_changed_for_endpoints_too(ada: Someone, receiver: Receiver) -> None:
    from portal.kit import crypto

    which, secret = told(ada.vendor_id, receiver)
    old = list(crypto._keys.values())
    try:
        crypto.configure([b"n" * 32, *old])
        with unit_of_work():
            assert webhooks.reseal(0, 200) == (1, None)
        crypto.configure([b"n" * 32])
        assert crypto.unseal(endpoint(which).secret, bound_to=webhooks.place(which)) == secret
    finally:
        crypto.configure(old)
