"""The audit log keeps who did what, without secrets, and cannot be rewritten."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from portal.audit import queries, service
from portal.audit.models import AuditEntry
from portal.kit import log
from portal.kit.actor import SYSTEM, staff
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.support.tenants import make_vendor
from tests.support.travel import Travel

NOW = Travel.START


def record(action: str, vendor_id: int | None, days: int = 0, **data: object) -> None:
    with unit_of_work():
        service.record(staff(7, "Ada"), action, vendor_id=vendor_id, data=data, now=NOW + timedelta(days=days))


def test_the_newest_acts_on_a_vendor_come_first_and_no_others(app: Flask) -> None:
    mine, other = make_vendor("kilim-house"), make_vendor("tea-house")
    record("vendor.renamed", mine, 0, before="Kilim", after="Kilim House")
    record("vendor.stage", other, 1)
    record("vendor.stage", mine, 2)
    record("vendor.blocked", mine, 2)
    found = queries.recent(mine, 2)
    assert [(act.action, act.at) for act in found] == [
        ("vendor.blocked", NOW + timedelta(days=2)),
        ("vendor.stage", NOW + timedelta(days=2)),
    ]
    assert queries.recent(mine)[-1].data == {"before": "Kilim", "after": "Kilim House"}
    assert {act.actor_label for act in queries.recent(mine)} == {"Ada"}


def test_what_stands_under_a_secrets_name_is_blotted_out_at_any_depth(app: Flask) -> None:
    record("key.made", None, password="hunter2", nested={"Token": "t0p", "list": [{"secret": "s"}, "plain"]})
    entry = db.session.scalars(select(AuditEntry)).one()
    assert entry.data == {"password": "…", "nested": {"Token": "…", "list": [{"secret": "…"}, "plain"]}}


def test_an_act_can_be_followed_to_its_request(app: Flask) -> None:
    reset = log.request_id.set("abc123")
    try:
        with unit_of_work():
            service.record(SYSTEM, "catalog.preset_loaded", vendor_id=None, data={}, now=NOW)
    finally:
        log.request_id.reset(reset)
    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.request_id, entry.actor_kind, entry.vendor_id) == ("abc123", "system", None)


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor_label = 'Nobody'", "DELETE FROM audit_log"])
def test_it_cannot_be_rewritten(app: Flask, statement: str) -> None:
    record("vendor.stage", make_vendor())
    with pytest.raises(DatabaseError, match="append-only"), unit_of_work() as session:
        session.execute(text(statement))
    assert db.session.scalars(select(AuditEntry.actor_label)).all() == ["Ada"]
