"""Delivering mails and webhooks."""

from portal.kit import tasks
from portal.notifications import flows, webhook_flows


@tasks.task("mail.deliver", kind="flow")
def deliver(mail_id: int) -> None:
    """Send or keep one mail."""
    flows.deliver(mail_id)


@tasks.task("webhooks.deliver", kind="flow")
def deliver_webhook(delivery_id: int, tried: int) -> None:
    """Make one try to deliver an event; what follows from it is written as the next job."""
    webhook_flows.deliver(delivery_id, tried)
