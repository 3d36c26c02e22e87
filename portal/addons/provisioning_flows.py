"""What staff does to a run and the network takes part in: undoing a step."""

from portal.addons import provisioning_staff as staff
from portal.kit import clock
from portal.kit.actor import Actor
from portal.kit.unit_of_work import unit_of_work


def undo(step_id: int, *, note: str, actor: Actor) -> None:
    """Take back what a step made: written down, done at the provider, written down. Raises what begin_undo raises.

    When the provider does not answer (Unavailable) the step says so, and undoing it once more is harmless.
    """
    with unit_of_work():
        undoing = staff.begin_undo(step_id, note=note, actor=actor, now=clock.business())
    undoing.step.undo(undoing.context)
    with unit_of_work():
        staff.finish_undo(undoing, actor=actor, now=clock.business())
