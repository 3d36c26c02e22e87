"""By hand: a task for staff with a due date and a checklist. Serves whatever no other recipe fits."""

from datetime import timedelta

from portal.addons.providers import Context, Found, Outcome, Recipe, Step, WaitStaff, register
from portal.addons.rules import RunKind
from portal.kit.text import N_

#: By when staff should have done what nothing was promised for.
ANSWER = timedelta(days=2)
BY_HAND = N_("We do this by hand. There is nothing for you to do.")

CHECKLISTS = {
    RunKind.SETUP: (
        N_("Read what was ordered, and for whom."),
        N_("Set it up at the provider."),
        N_("Try that it works, as the vendor would."),
        N_("Complete the step and write down what was done; the vendor is told."),
    ),
    RunKind.CHANGE: (
        N_("Read what it is to become."),
        N_("Change it at the provider."),
        N_("Complete the step and write down what was done."),
    ),
    RunKind.TEARDOWN: (
        N_("Remove it at the provider, so that it costs nothing any more."),
        N_("Complete the step and write down what was done."),
    ),
}


class _ByHand(Step):
    """Waits for a person; nobody else can say whether it is done."""

    code = "by_hand"

    def find(self, ctx: Context) -> Found | None:
        """Only a person knows."""
        return None

    def act(self, ctx: Context) -> Outcome:
        """Give the task to staff: until the promised time where there is one."""
        due = ctx.promised_at or ctx.now + ANSWER
        return WaitStaff(BY_HAND, due, CHECKLISTS[ctx.kind])


class SetUp(_ByHand):
    """Somebody of the operator sets it up."""

    title = N_("We set it up for you")
    staff_title = N_("Set it up by hand")


class Change(_ByHand):
    """Somebody of the operator changes it."""

    title = N_("We change it for you")
    staff_title = N_("Change it by hand")


class Remove(_ByHand):
    """Somebody of the operator removes it."""

    title = N_("We remove it")
    staff_title = N_("Remove it by hand")


RECIPE = register(
    Recipe(
        "manual",
        ("domain", "mailboxes", "certificate", "storage", "manual"),
        setup=(SetUp,),
        change=(Change,),
        teardown=(Remove,),
        rank=0,
    )
)
