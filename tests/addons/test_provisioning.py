"""Setting up, step by step: what is retried, what waits, who is told, and that nothing is made twice."""

from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from flask import Flask

from portal.addons import provisioning, runner
from portal.addons import provisioning_rules as rules
from portal.addons import provisioning_steps as step_rows
from portal.addons.models import ProvisioningRun, ProvisioningStep, VendorAddon
from portal.addons.providers import Refused
from portal.addons.rules import AddonStatus, RunKind, RunState
from portal.entitlements import queries as entitlements
from portal.kit import actor, clock, jobs, tenancy
from portal.kit.db import db
from portal.kit.errors import Conflict, NotFound, Unavailable
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.settings import service as settings
from tests.addons import factory
from tests.addons.provider import Provider
from tests.support import people
from tests.support.people import Someone
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")


@pytest.fixture
def ada(catalog: Flask) -> Someone:
    """A vendor with an owner to write to, and an operator who reads mail; what signing up brings is done."""
    who = people.register(tier=None)
    with unit_of_work():
        settings.change("support_email", "desk@example.com", actor=actor.SYSTEM, now=clock.business())
    jobs.run_all()
    return who


def remote(who: Someone, provider: Provider, **more: Any) -> int:
    """An add-on that the provider makes."""
    return factory.addon(who.vendor_id, factory.product(), url=provider.url, **more)


def sites(who: Someone) -> int | None:
    """How many sites the vendor may have."""
    db.session.rollback()
    return entitlements.rights(who.vendor_id, clock.business()).limits.get("sites", 0)


def mails(kind: str) -> list[SentMail]:
    return list(db.session.query(SentMail).filter_by(kind=kind))


def test_steps_follow_each_other_to_the_end(ada: Someone, provider: Provider) -> None:
    addon_id = remote(ada, provider, quantity=3)
    run_id = factory.begin(addon_id)
    assert factory.states(run_id) == ["todo", "todo"]
    assert jobs.run_all() > 0
    assert factory.states(run_id) == ["done", "done"]
    run, addon = factory.run_row(run_id), factory.addon_row(addon_id)
    assert (run.state, addon.status) == (RunState.DONE, AddonStatus.ACTIVE)
    assert addon.provisioned_at is not None
    # 2 sites each, bought 3 times.
    assert sites(ada) == 6
    assert sum(provider.made.values()) == 1
    assert [m.recipient for m in mails("addon_ready")] == [ada.email]
    assert factory.logged(run_id) == [rules.BEGUN, rules.DONE, rules.DONE, rules.FINISHED_RUN]


def test_our_own_name_for_it_is_written_before_anybody_is_asked(
    ada: Someone, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = factory.begin(remote(ada, provider))
    seen = []
    monkeypatch.setattr(runner, "attempt", lambda claim: seen.append(factory.steps(run_id)[0].reference))
    step_id = factory.steps(run_id)[0].id
    runner.run(step_id)
    assert seen == [f"thing-{step_id}"]


def test_beginning_twice_sets_up_once(ada: Someone, provider: Provider) -> None:
    addon_id = remote(ada, provider)
    first = factory.begin(addon_id)
    assert factory.begin(addon_id) == first
    jobs.run_all()
    assert factory.begin(addon_id) == first
    jobs.run_all()
    assert sum(provider.made.values()) == 1


def test_a_lost_answer_is_found_by_asking(ada: Someone, provider: Provider, travel: Travel) -> None:
    """Tried once with the asking taken out of runner._ask_then_act: the thing was made twice."""
    run_id = factory.begin(remote(ada, provider))
    provider.lose_answers = 1
    jobs.run_all()
    step = factory.steps(run_id)[0]
    assert (step.state, step.attempts, step.error) == ("retrying", 1, "The provider does not answer.")
    travel.on(minutes=1)
    factory.tend()
    assert factory.states(run_id) == ["done", "done"]
    assert list(provider.made.values()) == [1]
    assert rules.ALREADY in factory.logged(run_id)


def test_gaps_grow_and_the_last_try_leaves_it_to_a_person(ada: Someone, provider: Provider, travel: Travel) -> None:
    addon_id = remote(ada, provider)
    run_id = factory.begin(addon_id)
    provider.down = True
    jobs.run_all()
    waited = []
    while factory.run_row(run_id).state == RunState.RUNNING:
        step = factory.steps(run_id)[0]
        assert step.next_try_at is not None
        waited.append(round((step.next_try_at - clock.business()) / timedelta(minutes=1)))
        travel.to(step.next_try_at - timedelta(seconds=30))
        factory.tend()
        assert factory.steps(run_id)[0].attempts == len(waited), "not before its time"
        travel.to(step.next_try_at + timedelta(seconds=1))
        factory.tend()
    # 1 min, 5 min, 15 min, 1 h, 4 h, 12 h, 24 h: eight tries over 41 hours and 21 minutes.
    assert waited == [1, 5, 15, 60, 240, 720, 1440]
    assert (factory.run_row(run_id).state, factory.addon_row(addon_id).status) == (RunState.FAILED, AddonStatus.FAILED)
    assert factory.steps(run_id)[0].attempts == 8
    assert sites(ada) == 0
    assert [m.recipient for m in mails("addon_failed")] == [ada.email]
    (to_staff,) = mails("provisioning_for_staff")
    assert (to_staff.recipient, to_staff.params["why"]) == ("desk@example.com", "failed")
    travel.on(days=3)
    factory.tend()
    assert factory.steps(run_id)[0].attempts == 8, "nothing is tried any more by itself"


@pytest.mark.thorough
def test_a_provider_that_is_down_for_a_day_is_met_again(ada: Someone, provider: Provider, travel: Travel) -> None:
    run_id = factory.begin(remote(ada, provider))
    provider.down = True
    for _ in range(30):
        factory.tend()
        travel.on(hours=1)
    provider.down = False
    for _ in range(14):
        travel.on(hours=1)
        factory.tend()
    assert factory.states(run_id) == ["done", "done"]
    assert list(provider.made.values()) == [1]


def test_a_refusal_is_not_tried_again(ada: Someone, provider: Provider) -> None:
    addon_id = remote(ada, provider)
    run_id = factory.begin(addon_id)
    provider.refuses = True
    jobs.run_all()
    step = factory.steps(run_id)[0]
    assert (step.state, step.attempts, step.error) == ("failed", 1, "The provider refuses this.")
    assert factory.addon_row(addon_id).status == AddonStatus.FAILED


def test_a_fault_of_ours_says_no_more_than_that(
    ada: Someone, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.addons.provider import Make

    def broken(*_: object) -> None:
        raise KeyError("password is hunter2")

    monkeypatch.setattr(Make, "act", broken)
    run_id = factory.begin(remote(ada, provider))
    jobs.run_all()
    step = factory.steps(run_id)[0]
    assert (step.state, step.error) == ("retrying", rules.OUR_FAULT)
    texts = [str(row) for row in db.session.execute(db.text("SELECT message, data FROM provisioning_log"))]
    assert not any("hunter2" in text for text in texts)


def test_nobody_is_asked_to_try_again_what_tries_itself(
    ada: Someone, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway's own words end with "please try again in a minute". Tried once with them: the step said so."""
    from tests.addons.provider import Make

    def silent(*_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(Make, "act", silent)
    run_id = factory.begin(remote(ada, provider))
    jobs.run_all()
    assert factory.steps(run_id)[0].error == rules.NO_ANSWER


def test_what_cannot_be_kept_is_a_refusal_and_not_tried_for_ever(
    ada: Someone, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.addons.provider import Make

    def taken(*_: object, **__: object) -> None:
        raise Conflict("Another vendor holds this.")

    monkeypatch.setattr(Make, "keep", taken)
    run_id = factory.begin(remote(ada, provider))
    jobs.run_all()
    assert factory.steps(run_id)[0].error == "Another vendor holds this."
    assert factory.run_row(run_id).state == RunState.FAILED


def test_of_two_workers_one_wins(ada: Someone, provider: Provider, catalog: Flask) -> None:
    """Tried once with take() giving a claim whatever the state: there were four attempts."""
    run_id = factory.begin(remote(ada, provider))
    step_id = factory.steps(run_id)[0].id
    db.session.remove()
    start = Barrier(4)

    def work() -> None:
        with catalog.app_context(), tenancy.unscoped("a test"):
            start.wait(timeout=10)
            runner.run(step_id)
            db.session.remove()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert factory.steps(run_id)[0].state == "done"
    assert factory.steps(run_id)[0].attempts == 1
    assert list(provider.made.values()) == [1]


def test_a_silent_attempt_is_taken_over_after_its_lease_and_leaves_no_trace(ada: Someone, provider: Provider) -> None:
    """A worker that slept through its lease neither acts nor records. Tried once without is_ours: it acted once more;
    and without the same look in record(): what it recorded late counted.
    """
    run_id = factory.begin(remote(ada, provider))
    step_id = factory.steps(run_id)[0].id
    with unit_of_work():
        slow = step_rows.take(step_id, now=clock.business())
    assert slow is not None
    with unit_of_work():
        assert step_rows.take(step_id, now=clock.business()) is None, "still leased"
    with unit_of_work() as session:
        session.get_one(ProvisioningStep, step_id).started_at = clock.wall() - rules.LEASE - timedelta(seconds=1)
    runner.run(step_id)
    assert factory.steps(run_id)[0].state == "done"
    provider.made.clear()  # so that asking does not find it
    assert runner.attempt(slow) is None, "it is not ours any more"
    with unit_of_work():
        assert not step_rows.record(slow, Refused("late"), now=clock.business())
    assert factory.steps(run_id)[0].state == "done"
    assert sum(provider.made.values()) == 0


def test_a_lost_job_is_found_by_the_clock(ada: Someone, provider: Provider) -> None:
    run_id = factory.begin(remote(ada, provider))
    with unit_of_work() as session:
        session.query(OutboxJob).filter_by(task="addons.step").delete()
    factory.tend()
    assert factory.states(run_id) == ["done", "done"]


def test_another_vendors_add_on_cannot_be_woken(ada: Someone, provider: Provider) -> None:
    addon_id = remote(ada, provider)
    factory.begin(addon_id)
    other = people.register("bob@example.com", business="Bobs Books", tier=None)
    with unit_of_work(), pytest.raises(NotFound):
        provisioning.wake(other.vendor_id, addon_id, now=clock.business())


def test_a_change_follows_the_setting_up(ada: Someone, provider: Provider) -> None:
    addon_id = remote(ada, provider)
    setup = factory.begin(addon_id)
    with unit_of_work() as session:
        session.get_one(VendorAddon, addon_id).quantity = 2
    assert factory.begin(addon_id, RunKind.CHANGE) == setup
    jobs.run_all()
    kinds = [run.kind for run in db.session.query(ProvisioningRun).order_by(ProvisioningRun.id)]
    assert kinds == [RunKind.SETUP, RunKind.CHANGE]
    # 2 sites each, twice.
    assert sites(ada) == 4
    assert len(mails("addon_ready")) == 1


def test_taking_down_ends_the_grants_at_once_and_removes_the_thing(ada: Someone, provider: Provider) -> None:
    addon_id = remote(ada, provider)
    factory.begin(addon_id)
    jobs.run_all()
    assert sites(ada) == 2
    down = factory.begin(addon_id, RunKind.TEARDOWN)
    assert sites(ada) == 0, "before anybody was asked"
    assert factory.begin(addon_id, RunKind.TEARDOWN) == down
    jobs.run_all()
    addon = factory.addon_row(addon_id)
    assert (addon.status, addon.cancelled_at is not None) == (AddonStatus.CANCELLED, True)
    assert sum(provider.made.values()) == 0
    with pytest.raises(Conflict):
        factory.begin(addon_id)


def test_taking_down_waits_for_an_answer_that_is_under_way(ada: Someone, provider: Provider) -> None:
    """Otherwise what is being made at this moment would stay at the provider for ever."""
    addon_id = remote(ada, provider)
    setup = factory.begin(addon_id)
    step_id = factory.steps(setup)[0].id
    with unit_of_work():
        claim = step_rows.take(step_id, now=clock.business())
    assert claim is not None
    outcome = runner.attempt(claim)
    assert factory.begin(addon_id, RunKind.TEARDOWN) == setup
    assert outcome is not None
    with unit_of_work():
        step_rows.record(claim, outcome, now=clock.business())
    assert factory.run_row(setup).state == RunState.CANCELLED
    assert sum(provider.made.values()) == 1
    jobs.run_all()
    assert sum(provider.made.values()) == 0
    assert factory.addon_row(addon_id).status == AddonStatus.CANCELLED


def test_taking_down_what_failed_removes_what_may_be_there(ada: Someone, provider: Provider) -> None:
    """The answer was lost and nobody asked again: only our own reference knows of it."""
    addon_id = remote(ada, provider)
    setup = factory.begin(addon_id)
    provider.lose_answers = 1
    jobs.run_all()
    assert factory.states(setup) == ["retrying", "todo"]
    factory.begin(addon_id, RunKind.TEARDOWN)
    jobs.run_all()
    assert factory.run_row(setup).state == RunState.CANCELLED
    assert sum(provider.made.values()) == 0


def test_a_broken_promise_is_told_once(ada: Someone, provider: Provider, travel: Travel) -> None:
    run_id = factory.begin(remote(ada, provider))
    # Promised within 48 hours of noon on 15 January.
    assert factory.run_row(run_id).promised_at is not None
    provider.down = True
    for hours in (1, 24, 22):
        travel.on(hours=hours)
        factory.tend()
    assert mails("addon_late") == [], "47 hours"
    for _ in range(3):
        travel.on(hours=1)
        factory.tend()
    assert len(mails("addon_late")) == 1, "50 hours"
    assert [m.params["why"] for m in mails("provisioning_for_staff")].count("late") == 1


def test_storage_is_there_at_once(ada: Someone) -> None:
    product = factory.product("storage", grants={"storage_gb": 10})
    addon_id = factory.addon(ada.vendor_id, product, quantity=2)
    factory.begin(addon_id)
    jobs.run_all()
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE
    # 10 GB each, twice.
    assert entitlements.rights(ada.vendor_id, clock.business()).limits["storage_gb"] == 20


def test_a_retry_has_its_own_job_that_waits_until_then(ada: Someone, provider: Provider) -> None:
    run_id = factory.begin(remote(ada, provider))
    provider.down = True
    jobs.run_all()
    step = factory.steps(run_id)[0]
    (waiting,) = db.session.query(OutboxJob).filter_by(task="addons.step", state="pending")
    assert waiting.args == {"step_id": step.id}
    # The first gap is a minute.
    assert 50 <= (waiting.run_at - clock.wall()).total_seconds() <= 61
