"""What programs are told of a vendor's plan, credits and add-ons (API-3): each change once, as it stands afterwards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.addons import domains, given
from portal.api.webhook_document import DATA, build
from portal.catalog import queries as catalog_queries
from portal.credits import service as credits
from portal.credits.book import Book
from portal.credits.rules import EntryKind, Part
from portal.gateways import outgoing
from portal.kit import actor, clock, jobs
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhooks
from portal.notifications.models import WebhookDelivery
from portal.notifications.webhook_rules import KINDS
from portal.subscriptions import queries, service
from portal.subscriptions.history import TOLD
from tests.addons.buying import wish
from tests.support import people
from tests.support.people import Someone

pytestmark = pytest.mark.usefixtures("unscoped")
SAM = actor.staff(7, "Sam Staff")


@pytest.fixture
def ada(catalog: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Someone]:
    """A vendor in its trial of Essential; what is sent to it is looked at before it leaves."""
    monkeypatch.setattr(outgoing, "fault", lambda _url: None)
    who = people.register(tier="essential")
    jobs.run_all()
    monkeypatch.setattr("portal.notifications.webhook_flows.deliver", lambda *_: None)
    yield who


def listens(vendor_id: int | None, *kinds: str) -> None:
    with unit_of_work():
        webhooks.add(vendor_id, f"https://shop.example/{vendor_id}", kinds, actor=SYSTEM, now=clock.business())


def told() -> list[tuple[str, dict[str, Any]]]:
    db.session.rollback()
    rows = db.session.query(WebhookDelivery).order_by(WebhookDelivery.id).populate_existing()
    found = [(row.kind, row.payload["data"]) for row in rows]
    assert all(data.keys() == DATA[kind].keys() for kind, data in found), "as the reference says"
    return found


def a_longer_trial(ada: Someone) -> None:
    tier, version = catalog_queries.tier_by_code("essential"), queries.version(ada.vendor_id)
    assert tier is not None and version is not None
    with unit_of_work():
        service.extend_local_trial(ada.vendor_id, tier, 7, reason="Asked", actor=SAM, now=clock.business(),
                                   base_version=version)  # fmt: skip


def test_a_longer_trial_is_told_to_the_platform_as_it_stands(ada: Someone) -> None:
    """The trial of 14 days began on 15 January at noon; 7 more days end it on 5 February."""
    listens(None, "subscription.changed")
    a_longer_trial(ada)
    jobs.run_all()
    ((kind, data),) = told()
    assert (kind, data["change"], data["status"], data["tier"]) == (
        "subscription.changed", "trial_extended", "trial", "essential",
    )  # fmt: skip
    assert data["trial_ends_at"].startswith("2027-02-05T12:00:0")
    assert isinstance(data["version"], int)


def test_where_nobody_listens_no_job_is_written(ada: Someone) -> None:
    listens(None, "addon.ready")
    a_longer_trial(ada)
    assert db.session.query(OutboxJob).filter_by(task="subscriptions.publish").count() == 0


def test_credits_that_come_and_go_are_told_with_the_balance(ada: Someone) -> None:
    """Essential includes 500: 500 + 50 = 550, 550 - 20 = 530."""
    listens(ada.vendor_id, "credits.changed")
    for amount in (50, -20):
        with unit_of_work():
            credits.adjust(ada.vendor_id, amount, reason="Asked", key=str(amount), actor=SAM, now=clock.business())
    assert [(kind, data["kind"], data["amount"], data["balance"]) for kind, data in told()] == [
        ("credits.changed", "adjustment", 50, 550),
        ("credits.changed", "adjustment", -20, 530),
    ]


def test_used_credits_are_not_told_and_the_reference_says_so(ada: Someone) -> None:
    """Of 500, 30 are used in silence; 50 more make 520."""
    listens(ada.vendor_id, "credits.changed")
    with unit_of_work():
        book = Book(ada.vendor_id, SAM, clock.business())
        parts = [Part(lot.id, 30) for lot in book.lots()]
        assert book.remove(parts, EntryKind.USAGE, description="Shop assistant", key="used") == 30
    assert told() == []
    with unit_of_work():
        credits.adjust(ada.vendor_id, 50, reason="Asked", key="50", actor=SAM, now=clock.business())
    assert [(data["amount"], data["balance"]) for _, data in told()] == [(50, 520)]
    assert "using them is not told" in build()["credits.changed"]["post"]["summary"]


def test_an_addon_is_told_from_the_beginning_to_the_end(ada: Someone) -> None:
    listens(ada.vendor_id, "addon.changed", "addon.ready", "addon.ended", "entitlements.changed")
    with unit_of_work():
        addon = given.give(ada.vendor_id, wish("extra-storage", quantity=2), reason="Sorry", tell=False, actor=SAM,
                           now=clock.business())  # fmt: skip
    jobs.run_all()
    given.remove(ada.vendor_id, addon.id, at_once=True, reason="Over", tell=False, actor=SAM)
    jobs.run_all()
    kinds = [(kind, data.get("change")) for kind, data in told()]
    assert kinds[0] == ("addon.changed", "added")
    assert {("addon.ready", None), ("entitlements.changed", None), ("addon.ended", None)} <= set(kinds)
    assert told()[0][1] | {"addon": addon.id, "product": "extra-storage", "quantity": 2} == told()[0][1]


def test_another_main_address_is_told(ada: Someone) -> None:
    listens(None, "domain.changed")
    with unit_of_work():
        domains.choose_primary(ada.vendor_id, None, actor=SAM, now=clock.business())
    assert told() == [("domain.changed", {"change": "primary", "domain": "", "state": "active", "primary": True})]


def test_the_reference_names_every_kind() -> None:
    assert DATA.keys() == KINDS.keys()


def test_every_line_that_is_told_of_is_written_somewhere() -> None:
    """A kind in TOLD that no verb writes would be a promise that nobody keeps."""
    written = "".join(
        path.read_text() for path in Path("portal/subscriptions").glob("*.py") if path.name != "history.py"
    )
    assert [kind for kind in sorted(TOLD) if f'"{kind}"' not in written] == []
