"""Programs that call the JSON interface: their keys, made as on the page, and what they send."""

from portal.identity import api_keys
from portal.identity.api_key_rules import Reach
from portal.kit import clock, tenancy
from portal.kit.actor import SYSTEM
from portal.kit.unit_of_work import unit_of_work


def key(vendor_id: int | None, *scopes: str, days: int | None = None, name: str = "shop server") -> str:
    """A key in full, of a vendor or (None) of the platform; without scopes it reaches everything."""
    with tenancy.unscoped("a test"), unit_of_work():
        made = api_keys.create(
            vendor_id, name=name, scopes=scopes or tuple(Reach), days=days, actor=SYSTEM, now=clock.business()
        )
    return made.text


def bearer(text: str, vendor: str | None = None, **more: str) -> dict[str, str]:
    """The headers of a request with this key or token; a platform's names its vendor."""
    named = {"X-Vendor": vendor} if vendor is not None else {}
    return {"Authorization": f"Bearer {text}", **named, **more}


def altered(text: str) -> str:
    """The same prefix with another secret."""
    return text[:-1] + ("A" if text[-1] != "A" else "B")
