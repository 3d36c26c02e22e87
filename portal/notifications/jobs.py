"""Delivering mails."""

from portal.kit import tasks
from portal.notifications import flows


@tasks.task("mail.deliver", kind="flow")
def deliver(mail_id: int) -> None:
    """Send or keep one mail."""
    flows.deliver(mail_id)
