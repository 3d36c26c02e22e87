"""From sign-up to renewal on real parts: every amount worked out by hand."""

from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient

from portal.billing.models import Invoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.credits import queries as credits
from portal.kit import actor
from portal.kit.db import db
from portal.notifications.models import SentMail
from portal.subscriptions import change_flows, queries
from portal.subscriptions.rules import ChangeState, Status, When
from tests.support.servers import Sandbox
from tests.support.stories import lives_on, opens_checkout, pays, push_catalog, settle, signs_up
from tests.support.travel import Travel

ADMIN = actor.staff(1, "Grace")
pytestmark = pytest.mark.usefixtures("unscoped")


def mails() -> list[str]:
    return [m.kind for m in db.session.query(SentMail).order_by(SentMail.id)]


def test_from_trial_to_renewal_with_an_upgrade_by_an_admin(
    client: FlaskClient, sandbox: Sandbox, travel: Travel
) -> None:
    push_catalog()
    who = signs_up()
    assert queries.held(who.id).status == Status.TRIAL
    assert credits.balance(who.id) == 2000

    # Four days into the trial a payment method is added: ten days are left and stay free.
    travel.to(datetime(2027, 1, 19, 12, tzinfo=UTC))
    url = opens_checkout(who)
    assert pays(url).status_code in (302, 303)
    settle(sandbox, client)
    held = queries.held(who.id)
    assert held.status == Status.ACTIVE
    assert held.trial_ends_at is not None
    assert held.trial_ends_at.date().isoformat() == "2027-01-29"
    assert credits.balance(who.id) == 2000

    # Past the first charge on 29 January, and ten days on.
    lives_on(sandbox, client, travel, days=20)
    held = queries.held(who.id)
    assert (held.status, held.period_start.date().isoformat(), held.period_end.date().isoformat()) == (
        Status.ACTIVE, "2027-01-29", "2027-02-28",
    )  # fmt: skip
    assert credits.balance(who.id) == 2000
    paid = db.session.query(Invoice).filter(Invoice.total_minor > 0).one()
    assert (paid.total_minor, paid.paid_minor, paid.status) == (9900, 9900, "paid")
    assert mails().count("receipt") == 1

    # An admin upgrades to Business now, ten days into the period of 30 days.
    business = catalog.offer("business", Cycle.MONTHLY)
    assert business is not None
    preview = change_flows.preview_change(who.id, business.id, When.NOW)
    state = change_flows.change_tier(who.id, business.id, When.NOW, actor=ADMIN, base_version=held.version)
    settle(sandbox, client)
    assert state == ChangeState.APPLIED
    # 29 January to 28 February: 30 days. To 8 February: 10 days and a little.
    assert preview.proration_at is not None
    left = (held.period_end - preview.proration_at).total_seconds() / (
        held.period_end - held.period_start
    ).total_seconds()
    assert preview.due.minor == round(19900 * left) - round(9900 * left)
    upgrade = db.session.query(Invoice).filter(Invoice.reason == "subscription_update").one()
    assert upgrade.total_minor == preview.due.minor
    overview = queries.overview(who.id)
    assert overview is not None
    assert overview.tier_code == "business"
    assert mails().count("tier_changed") == 1
    before = credits.balance(who.id)
    assert before == 2000 + int(8000 * left)

    # The next period: renewed at the new price, credits granted once.
    lives_on(sandbox, client, travel, days=21)
    held = queries.held(who.id)
    assert held.period_start.date().isoformat() == "2027-02-28"
    assert credits.balance(who.id) == 10000
    assert mails().count("receipt") == 3
