"""Reading a schedule: which phase begins when. Pure reading, so that previews can ask too."""

from portal.sandbox.tx import Doc, Tx


def schedule_of(tx: Tx, subscription: Doc) -> Doc | None:
    """The schedule that manages this subscription, if any."""
    return tx.find(subscription["schedule"]) if subscription["schedule"] else None


def current(schedule: Doc) -> Doc | None:
    """The running phase."""
    now = schedule["current_phase"]
    return next((phase for phase in schedule["phases"] if now and phase["start_date"] == now["start_date"]), None)


def starting_at(tx: Tx, subscription: Doc, moment: int) -> Doc | None:
    """The phase that takes over at this moment (or took over before without having been applied)."""
    schedule = schedule_of(tx, subscription)
    if schedule is None or schedule["status"] != "active":
        return None
    running = schedule["current_phase"]["start_date"]
    begun = [phase for phase in schedule["phases"] if running < phase["start_date"] <= moment]
    return begun[-1] if begun else None
