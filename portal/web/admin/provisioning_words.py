"""Where setting an add-on up stands, as staff read it: what a step says to the vendor is told of the vendor.

Rows and logs keep the message ids that the vendor reads, so that staff's own words are found by those.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from portal.addons.providers import certificate, mailboxes, manual, own_domain, registrar
from portal.addons.provisioning_queries import LogLine
from portal.kit.text import N_
from portal.web.kit import provisioning_words as words
from portal.web.kit.provisioning_words import (
    kind,
    log_actor,
    look,
    ordered,
    row_badge,
    state_badge,
    step_badge,
)

__all__ = ["filled", "kind", "log_actor", "log_text", "look", "ordered", "row_badge", "state_badge", "step_badge"]

#: Staff's words by the vendor's; what is not here says the same to both.
TO_STAFF: Mapping[str, str] = {
    own_domain.SET_RECORDS: N_("The vendor has to set the records of %(domain)s. We look every few minutes."),
    own_domain.HELD: N_("Another vendor here uses %(domain)s. This one was told to write to us if it owns the name."),
    mailboxes.DOMAIN_FIRST: N_("Mail begins when %(domain)s works. The vendor is told what is missing."),
    mailboxes.SOMEBODYS: N_("Another vendor has mailboxes at %(domain)s. Find out whose the name is."),
    mailboxes.SET_RECORDS: N_("The vendor has to set the records for mail of %(domain)s. We look every few minutes."),
    mailboxes.SPREADING: N_("The records of %(domain)s are set. Nothing is left to do until everybody knows them."),
    registrar.TAKEN: N_("%(domain)s is taken by somebody else. Agree with the vendor on another name."),
    registrar.PREMIUM: N_("%(domain)s is sold at a special price. Talk with the vendor about it."),
    registrar.TOO_DEAR: N_("%(domain)s costs more than this add-on covers. Talk with the vendor about it."),
    registrar.OURS_ALREADY: N_("%(domain)s is in our account already. Find out whose it is."),
    registrar.SPREADING: N_("The name is registered. It takes a while until everybody knows where it leads."),
    certificate.TELL_US: N_("The vendor has to name the company and the domain, or hand in a request of its own."),
    certificate.WE_ORDER: N_("The certificate is to be ordered. The authority may call the vendor's company."),
    manual.BY_HAND: N_("This is done by hand. The vendor has nothing to do."),
}


def filled(message: str | None, data: Mapping[str, Any]) -> str:
    """A message id with its data in it, in staff's words."""
    return words.filled(TO_STAFF.get(message or "", message), data)


def log_text(line: LogLine) -> str:
    """A line of the log with the notes and details that are for staff alone."""
    return words.log_text(replace(line, message=TO_STAFF.get(line.message, line.message)), to_staff=True)
