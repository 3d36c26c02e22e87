"""What people do to a run by hand, and that a task of theirs goes on only by them."""

from datetime import timedelta

import pytest
from flask import Flask

from portal.addons import provisioning_flows
from portal.addons import provisioning_rules as rules
from portal.addons import provisioning_staff as staff
from portal.addons import provisioning_steps as step_rows
from portal.addons.models import ProvisioningStep
from portal.addons.rules import AddonStatus, RunKind, RunState
from portal.audit.models import AuditEntry
from portal.kit import actor, clock, jobs
from portal.kit.db import db
from portal.kit.errors import Conflict, Invalid, Unavailable
from portal.kit.unit_of_work import unit_of_work
from portal.notifications.models import SentMail
from portal.settings import service as settings
from tests.addons import factory
from tests.addons.provider import Provider
from tests.support import people
from tests.support.people import Someone
from tests.support.travel import Travel

pytestmark = pytest.mark.usefixtures("unscoped")
SAM = actor.staff(77, "Sam Staff")


@pytest.fixture
def ada(catalog: Flask) -> Someone:
    """A vendor, and an operator who reads mail."""
    who = people.register(tier=None)
    with unit_of_work():
        settings.change("support_email", "desk@example.com", actor=actor.SYSTEM, now=clock.business())
    jobs.run_all()
    return who


def by_hand(who: Someone) -> tuple[int, int]:
    """An add-on that staff sets up: (add-on, run)."""
    addon_id = factory.addon(who.vendor_id, factory.product())
    run_id = factory.begin(addon_id)
    jobs.run_all()
    return addon_id, run_id


def failed(who: Someone, provider: Provider) -> tuple[int, int]:
    """An add-on that the provider refused: (add-on, run)."""
    addon_id = factory.addon(who.vendor_id, factory.product(), url=provider.url)
    run_id = factory.begin(addon_id)
    provider.refuses = True
    jobs.run_all()
    provider.refuses = False
    return addon_id, run_id


def step_of(run_id: int, position: int = 0) -> int:
    return factory.steps(run_id)[position].id


def audited() -> list[tuple[str, str]]:
    rows = db.session.query(AuditEntry).filter(AuditEntry.action.startswith("provisioning")).order_by(AuditEntry.id)
    return [(row.action, row.data["note"]) for row in rows]


def test_a_task_waits_for_a_person_with_due_date_and_checklist(ada: Someone, travel: Travel) -> None:
    addon_id, run_id = by_hand(ada)
    (step,) = factory.steps(run_id)
    assert (step.state, factory.run_row(run_id).state) == ("waiting_staff", RunState.WAITING)
    assert step.result is not None and len(step.result["checklist"]) == 4
    # Promised within 48 hours.
    assert step.due_at is not None
    assert round((step.due_at - clock.business()) / timedelta(hours=1)) == 48
    (mail,) = db.session.query(SentMail).filter_by(kind="provisioning_for_staff")
    assert (mail.recipient, mail.params["why"], mail.params["run_id"]) == ("desk@example.com", "task", run_id)
    travel.on(days=9)
    factory.tend()
    assert factory.states(run_id) == ["waiting_staff"], "nothing but a person goes on from here"
    with unit_of_work():
        staff.complete(step.id, note="Ordered at the printer's", actor=SAM, now=clock.business())
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE
    assert audited() == [("provisioning.completed", "Ordered at the printer's")]


@pytest.mark.parametrize("note", ["", "   ", "x" * 1001])
def test_nothing_is_completed_or_left_out_without_a_reason(ada: Someone, note: str) -> None:
    _, run_id = by_hand(ada)
    for act in (staff.complete, staff.skip):
        with unit_of_work(), pytest.raises(Invalid) as refused:
            act(step_of(run_id), note=note, actor=SAM, now=clock.business())
        assert set(refused.value.fields) == {"note"}
    with unit_of_work(), pytest.raises(Invalid):
        staff.cancel(run_id, note=note, actor=SAM, now=clock.business())
    assert factory.states(run_id) == ["waiting_staff"]


def test_what_failed_is_tried_again_from_the_first_attempt(ada: Someone, provider: Provider) -> None:
    addon_id, run_id = failed(ada, provider)
    assert factory.addon_row(addon_id).status == AddonStatus.FAILED
    with unit_of_work():
        staff.retry(step_of(run_id), actor=SAM, now=clock.business())
    assert factory.addon_row(addon_id).status == AddonStatus.PENDING_SETUP
    jobs.run_all()
    assert factory.states(run_id) == ["done", "done"]
    assert list(provider.made.values()) == [1]


def test_a_failed_step_left_out_lets_the_run_go_on(ada: Someone, provider: Provider) -> None:
    addon_id, run_id = failed(ada, provider)
    with unit_of_work():
        staff.skip(step_of(run_id), note="Not needed here", actor=SAM, now=clock.business())
    with unit_of_work():
        staff.complete(step_of(run_id, 1), note="Looked at it", actor=SAM, now=clock.business())
    assert factory.states(run_id) == ["skipped", "done"]
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE
    assert sum(provider.made.values()) == 0


def test_only_the_step_that_is_on_can_be_changed(ada: Someone, provider: Provider) -> None:
    _, run_id = failed(ada, provider)
    with unit_of_work(), pytest.raises(Conflict):
        staff.complete(step_of(run_id, 1), note="x", actor=SAM, now=clock.business())
    with unit_of_work(), pytest.raises(Conflict):
        staff.retry(step_of(run_id, 1), actor=SAM, now=clock.business())
    assert factory.states(run_id) == ["failed", "todo"]


def test_nobody_steps_in_while_the_provider_is_being_asked(ada: Someone, provider: Provider) -> None:
    """Tried once without the look at the lease: the step was completed and then made."""
    run_id = factory.begin(factory.addon(ada.vendor_id, factory.product(), url=provider.url))
    with unit_of_work():
        assert step_rows.take(step_of(run_id), now=clock.business())
    for act in (staff.complete, staff.skip):
        with unit_of_work(), pytest.raises(Conflict):
            act(step_of(run_id), note="x", actor=SAM, now=clock.business())
    with unit_of_work(), pytest.raises(Conflict):
        staff.cancel(run_id, note="x", actor=SAM, now=clock.business())
    with unit_of_work() as session:
        row = session.get_one(ProvisioningStep, step_of(run_id))
        row.started_at = clock.wall() - rules.LEASE - timedelta(seconds=1)
    with unit_of_work():
        staff.complete(step_of(run_id), note="Its worker is dead", actor=SAM, now=clock.business())
    assert factory.states(run_id)[0] == "done"


def test_undoing_takes_back_what_was_made_and_stops_the_run(ada: Someone, provider: Provider) -> None:
    addon_id, run_id = made_and_stuck(ada, provider)
    provisioning_flows.undo(step_of(run_id), note="Wrong name", actor=SAM)
    assert sum(provider.made.values()) == 0
    assert (factory.states(run_id)[0], factory.run_row(run_id).state) == ("undone", RunState.FAILED)
    provisioning_flows.undo(step_of(run_id), note="Once more", actor=SAM)
    with unit_of_work():
        staff.retry(step_of(run_id), actor=SAM, now=clock.business())
    jobs.run_all()
    assert factory.states(run_id) == ["done", "done"]
    assert list(provider.made.values()) == [1]
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE


def made_and_stuck(who: Someone, provider: Provider) -> tuple[int, int]:
    """The first step is done, the second one is not: (add-on, run)."""
    addon_id = factory.addon(who.vendor_id, factory.product(), url=provider.url)
    run_id = factory.begin(addon_id)
    from portal.addons import runner

    runner.run(step_of(run_id))
    assert factory.states(run_id) == ["done", "todo"]
    return addon_id, run_id


def test_an_undoing_that_is_not_confirmed_says_so_and_can_be_repeated(
    ada: Someone, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.addons.provider import Make

    _, run_id = made_and_stuck(ada, provider)
    with monkeypatch.context() as broken:
        broken.setattr(Make, "undo", raises_unavailable)
        with pytest.raises(Unavailable):
            provisioning_flows.undo(step_of(run_id), note="x", actor=SAM)
    step = factory.steps(run_id)[0]
    assert (step.state, step.error) == ("undone", "The provider has not confirmed yet that it is undone.")
    jobs.run_all()
    factory.tend()
    assert factory.states(run_id) == ["undone", "todo"], "nothing goes on by itself"
    provisioning_flows.undo(step_of(run_id), note="x", actor=SAM)
    assert factory.steps(run_id)[0].error is None
    assert sum(provider.made.values()) == 0


def raises_unavailable(*_: object) -> None:
    raise Unavailable


def test_a_step_without_an_undo_has_none(ada: Someone) -> None:
    _, run_id = by_hand(ada)
    with pytest.raises(Conflict):
        provisioning_flows.undo(step_of(run_id), note="x", actor=SAM)


def test_a_stopped_run_rests_until_it_is_begun_anew(ada: Someone, provider: Provider, travel: Travel) -> None:
    addon_id, run_id = failed(ada, provider)
    with unit_of_work():
        staff.cancel(run_id, note="The vendor asked us to wait", actor=SAM, now=clock.business())
    travel.on(days=2)
    factory.tend()
    assert (factory.run_row(run_id).state, factory.addon_row(addon_id).status) == ("cancelled", "failed")
    with unit_of_work():
        again = staff.start_again(run_id, actor=SAM, now=clock.business()).id
    with unit_of_work(), pytest.raises(Conflict):
        staff.start_again(run_id, actor=SAM, now=clock.business())
    jobs.run_all()
    assert factory.states(again) == ["done", "done"]
    assert factory.addon_row(addon_id).status == AddonStatus.ACTIVE


def test_stopping_a_removal_ends_the_add_on_and_leaves_what_stands(ada: Someone, provider: Provider) -> None:
    addon_id = factory.addon(ada.vendor_id, factory.product(), url=provider.url)
    factory.begin(addon_id)
    jobs.run_all()
    provider.down = True
    down = factory.begin(addon_id, RunKind.TEARDOWN)
    jobs.run_all()
    with unit_of_work():
        staff.cancel(down, note="Removed in the provider's console", actor=SAM, now=clock.business())
    assert factory.addon_row(addon_id).status == AddonStatus.CANCELLED
    assert sum(provider.made.values()) == 1
