"""Roles, stages and the pure rules of who is who."""

import re
import unicodedata
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


def email_key(email: str) -> str:
    """The form under which an address is unique: trimmed, case folded."""
    return unicodedata.normalize("NFC", email.strip()).casefold()


def slug(name: str) -> str:
    """A vendor code from a business name: lower-case ASCII words joined by hyphens, at most 40 characters."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:40].strip("-")
    return words or "vendor"
