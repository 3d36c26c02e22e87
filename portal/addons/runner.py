"""Carrying out one attempt of a step: take it, ask and act with no unit of work open, record what came of it.

A worker may die anywhere. Before it acted: the step is taken again after its lease. Between acting and recording: the
next attempt asks first and finds what was made. Two workers never record the same step; see ADR 0019.
"""

from portal.addons import provisioning_rules as rules
from portal.addons import provisioning_steps as steps
from portal.addons.providers import Done, Outcome, Refused, Retry
from portal.addons.provisioning_steps import Claim
from portal.kit import clock, log
from portal.kit.errors import PortalError, TooMany, Unavailable
from portal.kit.unit_of_work import end_reading, unit_of_work

logger = log.get(__name__)


def run(step_id: int) -> None:
    """One attempt; does nothing when it is not this step's time or turn. Safe to repeat and to run in parallel."""
    with unit_of_work():
        claim = steps.take(step_id, now=clock.business())
    if claim is None:
        return
    outcome = attempt(claim)
    if outcome is None:
        return
    try:
        _record(claim, outcome)
    except PortalError as error:
        _record(claim, Refused(error.message, error.params, error.code), keep=False)
    except Exception as error:
        logger.exception("addons.step_not_kept", step_id=step_id)
        _record(claim, Retry(rules.OUR_FAULT, detail=type(error).__name__), keep=False)


def attempt(claim: Claim) -> Outcome | None:
    """Ask, then act when there is nothing yet; None when another worker took the step over in between.

    Never raises: what goes wrong is tried again, or is a refusal that staff must look at.
    """
    try:
        return _ask_then_act(claim)
    except (Unavailable, TooMany) as error:
        # Its own words ask a reader to try again; here nobody has to.
        said = rules.NO_ANSWER if error.message == type(error).message else error.message
        return Retry(said, data=error.params, detail=error.code)
    except PortalError as error:
        return Refused(error.message, error.params, error.code)
    except Exception as error:
        logger.exception("addons.step_failed", step_id=claim.step_id)
        return Retry(rules.OUR_FAULT, detail=type(error).__name__)


def _ask_then_act(claim: Claim) -> Outcome | None:
    found = claim.step.find(claim.context)
    if found is not None:
        return Done(found.reference, found.result, rules.ALREADY if claim.context.attempt > 1 else "")
    ours = steps.is_ours(claim)
    end_reading()
    return claim.step.act(claim.context) if ours else None


def _record(claim: Claim, outcome: Outcome, *, keep: bool = True) -> None:
    with unit_of_work():
        steps.record(claim, outcome, now=clock.business(), keep=keep)
