"""``flask jobs``: what waits, what was given up and why, and trying it again."""

from flask import Flask

from portal.cli import jobs as commands
from portal.kit import jobs, outbox, tasks
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from tests.cli.conftest import Run

broken = [True]


def _fails_while_broken() -> None:
    if broken[0]:
        raise RuntimeError("the registrar is closed")


tasks.task("tests.jobs.registrar", max_attempts=1)(_fails_while_broken)


def job_id() -> int:
    found = db.session.query(OutboxJob.id).filter_by(task="tests.jobs.registrar").scalar()
    db.session.remove()
    return int(found)


def given_up() -> int:
    broken[0] = True
    with unit_of_work():
        outbox.enqueue("tests.jobs.registrar")
    jobs.run_all()
    return job_id()


def test_waiting_jobs_are_listed(app: Flask, run: Run) -> None:
    assert run(commands.group, "list") == (0, "0 jobs are pending.\n")
    with unit_of_work():
        outbox.enqueue("tests.jobs.registrar")
    code, said = run(commands.group, "list")
    assert code == 0
    assert f"{job_id():>6}  tests.jobs.registrar  0 tries  due " in said
    assert said.endswith("1 jobs are pending.\n")


def test_dead_jobs_tell_why_and_are_tried_again(app: Flask, run: Run) -> None:
    number = given_up()
    code, said = run(commands.group, "dead")
    assert code == 0
    assert "RuntimeError: the registrar is closed" in said
    assert "1 try" in said
    broken[0] = False
    assert run(commands.group, "retry", str(number)) == (0, "1 jobs will be tried again.\n")
    assert jobs.run_all() == 1
    assert commands.count("done") == 1
    assert run(commands.group, "dead") == (0, "No job was given up.\n")


def test_retry_all_takes_every_dead_job(app: Flask, run: Run) -> None:
    given_up()
    assert run(commands.group, "retry", "--all") == (0, "1 jobs will be tried again.\n")
    assert commands.count("dead") == 0


def test_what_is_not_dead_is_left_alone(app: Flask, run: Run) -> None:
    with unit_of_work():
        outbox.enqueue("tests.jobs.registrar")
    number = job_id()
    code, said = run(commands.group, "retry", str(number), "999999")
    assert code == 1
    assert f"Not given up, so left alone: {number}, 999999" in said
    assert run(commands.group, "retry")[0] == 2
