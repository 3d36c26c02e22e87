"""Many vendors at once, written as rows: lists are tried on numbers that no sign-up could make in time."""

from datetime import datetime, timedelta

from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.identity.models import Membership, User, Vendor
from portal.identity.rules import Role, Stage
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.models import VendorSubscription
from portal.subscriptions.rules import Provider, Status

START = datetime.fromisoformat("2027-01-01T09:00:00+00:00")


def vendor(
    name: str,
    code: str,
    *,
    email: str = "",
    tier: str | None = "professional",
    status: Status = Status.TRIAL,
    stage: Stage = Stage.ONBOARDING,
    cycle: Cycle = Cycle.MONTHLY,
    since: datetime = START,
) -> int:
    """A vendor with its owner and, where a tier is named, a subscription at today's price; gives its id."""
    found = catalog.tier_by_code(tier) if tier else None
    price = found.price(cycle) if found else None
    address = email or f"{code}@shops.example"
    with unit_of_work() as session:
        row = Vendor(code=code, name=name, stage=stage, created_at=since)
        owner = User(email=address, email_key=address.casefold(), name=f"Owner of {name}", created_at=since)
        session.add_all([row, owner])
        session.flush()
        session.add(Membership(vendor_id=row.id, user_id=owner.id, role=Role.OWNER, created_at=since))
        if found:
            session.add(
                VendorSubscription(
                    vendor_id=row.id, tier_code=found.code, tier_id=found.id, price_id=price.id if price else None,
                    status=status, provider=Provider.NONE, period_start=since, period_end=since + timedelta(days=30),
                    trial_ends_at=since + timedelta(days=14), version=1, started_at=since,
                )
            )  # fmt: skip
    return row.id


def vendors(number: int, **about: object) -> list[int]:
    """That many vendors, named Shop 001 and on, a day apart."""
    return [
        vendor(f"Shop {i:03}", f"shop-{i:03}", since=START + timedelta(days=i), **about)  # type: ignore[arg-type]
        for i in range(1, number + 1)
    ]
