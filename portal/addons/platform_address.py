"""Where a vendor's shop is found without a name of its own, and where such a name has to point."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Platform:
    """``base``: what all shops are under (empty: this installation shows none). ``addresses``: IP addresses for names
    that cannot be a CNAME; without them such a name must lead where the platform address leads.
    """

    base: str = ""
    addresses: tuple[str, ...] = ()


_platform = Platform()


def configure(platform: Platform) -> None:
    """Set the platform of this process."""
    global _platform
    _platform = platform


def current() -> Platform:
    """The platform of this process."""
    return _platform


def of(vendor_code: str) -> str:
    """``myshop.platform.com``; empty where the operator has not said what shops are under."""
    return f"{vendor_code.lower()}.{_platform.base}" if _platform.base else ""
