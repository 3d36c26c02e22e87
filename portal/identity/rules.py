"""Roles, stages and the pure rules of who is who."""

import re
import unicodedata
from datetime import timedelta
from enum import StrEnum


class Role(StrEnum):
    """What a person may do for a vendor."""

    OWNER = "owner"
    MANAGER = "manager"
    MEMBER = "member"


class StaffKind(StrEnum):
    """What a person may do for the operator."""

    ADMIN = "admin"
    SUPPORT = "support"
    FINANCE = "finance"


class KeyScope(StrEnum):
    """Whose API key it is: one vendor's, or that of the operator's own platform."""

    VENDOR = "vendor"
    PLATFORM = "platform"


class Stage(StrEnum):
    """Where the operator's work for a vendor stands; not its standing."""

    ONBOARDING = "onboarding"
    BUILDING = "building"
    DEPLOYED = "deployed"
    ACTIVE = "active"
    SUPPORTING = "supporting"


_RANK = {Role.MEMBER: 0, Role.MANAGER: 1, Role.OWNER: 2}


def at_least(role: Role, needed: Role) -> bool:
    """Does ``role`` include what ``needed`` may do?"""
    return _RANK[role] >= _RANK[needed]


#: Guesses of one account's password that are evaluated within the window (ACC-10).
GUESSES = 10
GUESS_WINDOW = timedelta(minutes=15)
SESSION_LIFETIME = timedelta(days=30)

PASSWORD_MIN, PASSWORD_MAX = 10, 200

# fmt: off
#: Codes that a vendor may not have, because an address of the portal's own starts with them or could be taken for one.
RESERVED_CODES = frozenset({
    "about", "account", "accounts", "admin", "api", "app", "assets", "auth", "billing", "blog", "brand", "checkout",
    "credits", "dashboard", "demo", "docs", "domains", "health", "healthz", "help", "home", "hooks", "invoices",
    "login", "logout", "mail", "mailbox", "me", "metrics", "new", "null", "onboarding", "password", "plans", "portal",
    "preferences", "pricing", "profile", "projects", "public", "readyz", "root", "settings", "sign-in", "sign-out",
    "sign-up", "sites", "static", "status", "support", "system", "team", "undefined", "usage",
    "vendors", "verify", "webhooks", "www",
})
# fmt: on


def email_key(email: str) -> str:
    """The form under which an address is unique: trimmed, case folded, the domain as DNS writes it (IDNA)."""
    folded = unicodedata.normalize("NFC", email.strip()).casefold()
    local, at, domain = folded.rpartition("@")
    try:
        return local + at + domain.encode("idna").decode("ascii")
    except UnicodeError:
        return folded


def slug(name: str) -> str:
    """A vendor code from a business name: lower-case ASCII words joined by hyphens, at most 40 characters."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:40].strip("-")
    return words or "vendor"


def code_candidate(wanted: str, attempt: int) -> str:
    """The ``attempt``-th code to try for a slug (from 1): kilim, kilim-2, kilim-3 …; a reserved word starts at 2."""
    number = attempt + 1 if wanted in RESERVED_CODES else attempt
    return wanted if number == 1 else f"{wanted}-{number}"
