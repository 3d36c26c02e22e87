"""``flask catalog grant``: a tier that was reshaped reaches those who have it, once, and nobody who is closed."""

import pytest
from flask import Flask

from portal.cli import catalog as command
from portal.entitlements import queries as entitlements
from portal.entitlements import service
from portal.kit import clock
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions import history
from portal.subscriptions.models import SubscriptionEvent
from portal.subscriptions.rules import Status
from tests.support import people

pytestmark = pytest.mark.usefixtures("unscoped")


def granted(app: Flask) -> str:
    return app.test_cli_runner().invoke(command.grant).output


def limits(vendor_id: int) -> dict[str, int | None]:
    db.session.rollback()
    return entitlements.rights(vendor_id, clock.business()).limits


def test_everybody_gets_what_the_tier_has_today(catalog: Flask) -> None:
    open_one, closed = people.register(tier="essential"), people.register("bob@example.com", business="Tea House")
    with unit_of_work() as session:
        history.lock(closed.vendor_id).status = Status.SUSPENDED
        service.end_tier_grants(closed.vendor_id, now=clock.business())
        service.grant_addon(open_one.vendor_id, "addon:1", {"orders": 5}, now=clock.business())
        session.connection().exec_driver_sql(
            "UPDATE tier_limits SET value = 150 WHERE metric = 'orders' AND value = 100"
        )
    assert limits(open_one.vendor_id)["orders"] == 105
    assert granted(catalog) == "2 vendors looked at, 1 brought in step with their tier.\n"
    # 150 of the tier and 5 of the add-on
    assert limits(open_one.vendor_id)["orders"] == 155
    assert limits(closed.vendor_id) == {}
    assert granted(catalog) == "2 vendors looked at, 0 brought in step with their tier.\n"
    assert db.session.query(SubscriptionEvent).filter_by(kind="rights_granted").count() == 1
