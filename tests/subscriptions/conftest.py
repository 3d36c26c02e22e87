"""A catalog that Stripe knows, and a vendor that pays."""

import pytest
from flask.testing import FlaskClient

from portal.kit import actor
from tests.subscriptions.shop import Case, Till, pays_since
from tests.support.scenes import Scene
from tests.support.servers import Sandbox
from tests.support.stories import Somebody, lives_on, opens_checkout, pays, push_catalog, settle, signs_up
from tests.support.travel import Travel

ADMIN, OTHER_ADMIN = actor.staff(1, "Grace"), actor.staff(2, "Edsger")


@pytest.fixture
def pushed(client: FlaskClient, sandbox: Sandbox, scene: Scene) -> Sandbox:
    """The sandbox, knowing the catalog."""
    scene("Stripe knows the catalog", push_catalog)
    return sandbox


@pytest.fixture
def payer(client: FlaskClient, pushed: Sandbox, travel: Travel, scene: Scene) -> Somebody:
    """A vendor of Professional whose first paid period began on 15 January at noon (its trial was over)."""
    from tests.stripe_events.life import end_trial

    def paid_at_once() -> Somebody:
        who = signs_up()
        end_trial(who)
        assert pays(opens_checkout(who)).status_code == 303
        settle(pushed, client)
        return who

    return scene("paid after the trial", paid_at_once)


@pytest.fixture
def later(client: FlaskClient, pushed: Sandbox, travel: Travel):
    """``later(days=…)``: let time pass with everything that happens in it, each thing on its date."""
    return lambda **delta: lives_on(pushed, client, travel, **delta)


@pytest.fixture
def much_later(client: FlaskClient, pushed: Sandbox, travel: Travel):
    """The same in steps of two days, where no date matters but the ends of periods."""
    return lambda **delta: lives_on(pushed, client, travel, step=48, **delta)


@pytest.fixture
def till(client: FlaskClient, sandbox: Sandbox, travel: Travel, scene: Scene):
    """``till(case)``: the shop of a case, as it stands after the first payment."""

    def opened(case: Case) -> Till:
        name = f"pays {case.old} in {case.currency} since {case.start:%Y-%m-%d} in {case.zone.replace('/', ' ')}"
        return Till(scene(name, lambda: pays_since(case, sandbox, client, travel)), sandbox, client, travel)

    return opened
