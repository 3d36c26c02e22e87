"""What each role may do, read from what every route of a vendor declares, as the table of docs/roles.md."""

import inspect
from dataclasses import dataclass

from flask import Flask

from portal.identity.rules import Role, at_least
from portal.web.kit import audience
from portal.web.kit.audience import Needs, Side

#: What stands over the routes of a door; a door that is not named here is headed by its own name.
AREAS = {
    "vendor_dashboard": "Dashboard",
    "vendor_billing": "Billing",
    "vendor_billing_details": "Billing details",
    "vendor_plans": "Plans",
    "vendor_checkout": "Paying by card",
    "vendor_pay": "Choosing how to pay",
    "vendor_transfer": "Bank transfer",
    "vendor_methods": "Payment methods",
    "vendor_purchases": "Purchases",
    "vendor_invoices": "Invoices",
    "vendor_ending": "End of the plan",
    "vendor_usage": "Usage",
    "vendor_features": "Features",
    "vendor_notices": "Notifications",
    "vendor_addons": "Add-ons",
    "vendor_addon": "Add-ons, managed",
    "vendor_provisioning": "Add-ons, set up",
    "vendor_certificate": "Certificates",
    "vendor_domains": "Domains",
    "vendor_mailboxes": "Mailboxes",
    "vendor_team": "Team",
    "vendor_api_keys": "API keys and webhooks",
    "vendor_support": "Support",
    "public_preferences": "Preferences",
}

TABLE = ("| what | route | owner | manager | member | open |", "|---|---|:-:|:-:|:-:|---|")
HEAD = """# Roles

What a person may do for a vendor. Every route declares the least role that opens it; this page is written from those
declarations by `flask --app wsgi roles > docs/roles.md`, and a test keeps the two equal. Another test asks every route
as each role.

| role | is for |
|---|---|
| **Member** | looks at everything and uses the product; asks support; changes nothing that costs money |
| **Manager** | the everyday work too: plan, payments, add-ons, domains, billing details |
| **Owner** | everything: the team, API keys and webhooks, the end of the plan. Each vendor has exactly one |

Decisions:

- **Invitations** hold a seat until they are accepted, withdrawn, or seven days old; the gate refuses when none is free.
  Who is in the team stays when a plan becomes smaller; nobody new joins until a seat is free.
- **The owner alone changes the team.** A manager who could invite managers would decide who pays and who sees what.
- **Ownership is handed over at once**, not by a mail that has to be accepted: the heir is in the team already and has a
  confirmed address, the owner proves with the password that it is them, and both are told by mail. So there is no time
  in between in which nobody knows who owns the vendor. The former owner becomes a manager.
- **Leaving and removing** end the pages and tokens of this vendor at the next request, and touch no other vendor. API
  keys belong to the vendor: removing somebody ends those that the person has made, unless the box is cleared.
- **The proof of a payment** is taken whatever the storage limit says, by managers and the owner.
- A route that is open *always* opens in every standing, also while the vendor is suspended; all others need an open
  plan.
"""


@dataclass(frozen=True, slots=True)
class Right:
    """One route: what it does, and from which role on."""

    area: str
    method: str
    path: str
    does: str
    role: Role
    always: bool

    def allows(self, role: Role) -> bool:
        """May somebody with this role use it?"""
        return at_least(role, self.role)


def rights(app: Flask) -> list[Right]:
    """Every route of a vendor's pages, by area and address."""
    found = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        declared = audience.of(view)
        if declared is None or declared.side != Side.VENDOR:
            continue
        door = rule.endpoint.rsplit(".", 1)[0]
        area, does = AREAS.get(door, door.removeprefix("vendor_").replace("_", " ").capitalize()), _does(view)
        for method in sorted((rule.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}):
            found.append(Right(area, method, rule.rule, does, declared.role, declared.needs == Needs.ACCOUNT))
    return sorted(found, key=lambda right: (right.area, right.path, right.method))


def _does(view: object) -> str:
    """The first sentence of the view's own words."""
    first = " ".join((inspect.getdoc(view) or "").split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".").replace("|", "\\|")


def page(app: Flask) -> str:
    """docs/roles.md."""
    lines, area = [HEAD], ""
    for right in rights(app):
        if right.area != area:
            area = right.area
            lines += [
                f"\n## {area}\n",
                "| what | route | owner | manager | member | open |",
                "|---|---|:-:|:-:|:-:|---|",
            ]
        marks = " | ".join("yes" if right.allows(role) else "no" for role in (Role.OWNER, Role.MANAGER, Role.MEMBER))
        opens = "always" if right.always else "with a plan"
        lines.append(f"| {right.does} | `{right.method} {right.path}` | {marks} | {opens} |")
    return "\n".join(lines) + "\n"
