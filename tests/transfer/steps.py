"""What happens with bank transfers, in few words."""

from datetime import datetime
from typing import Any

from portal.billing import transfer_views
from portal.billing.models import BankTransfer, Invoice
from portal.catalog import queries as catalog
from portal.catalog.rules import Cycle
from portal.checkout import transfer, transfer_flows
from portal.checkout.transfer import Approval, Decided
from portal.identity.models import Vendor
from portal.kit import actor, clock, jobs, periodic
from portal.kit.actor import Actor
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from portal.settings import service as settings
from portal.subscriptions import queries as subscriptions
from portal.subscriptions.queries import Overview
from tests.support.stories import Somebody, signs_up
from tests.support.travel import Travel

ADMIN = actor.staff(900, "Sam Staff")
COLLEAGUE = actor.staff(901, "Nora Second")
IBAN = "DE02120300000000202051"


def change(**values: object) -> None:
    """Set the operator's settings."""
    with unit_of_work():
        for key, value in values.items():
            settings.change(key, value, actor=actor.SYSTEM, now=clock.business())


def offer(**more: object) -> None:
    """Take transfers, to an account."""
    change(pay_by_transfer="live", bank_holder="Kilim Portal Ltd", bank_iban=IBAN, bank_bic="BYLADEM1001", **more)


def payer(tier: str | None = "professional", email: str = "ada@shop.example", name: str = "Ada's Shop") -> Somebody:
    """A vendor that has told its billing details."""
    who = signs_up(tier, email, name)
    with unit_of_work():
        vendor = db.session.get_one(Vendor, who.id)
        vendor.legal_name = f"{name} GmbH"
        vendor.address = {"street": "Hauptstr. 1", "postcode": "10115", "city": "Berlin", "country": "DE"}
    return who


def orders(who: Somebody, tier: str = "professional", cycle: Cycle = Cycle.MONTHLY) -> int:
    """Choose bank transfer for a tier; gives the transfer that is waited for."""
    price = catalog.offer(tier, cycle)
    assert price is not None
    made = transfer_flows.start(who.id, price.id, actor=who.actor)
    assert made is not None
    jobs.run_all()
    return made


def approves(
    transfer_id: int, amount_minor: int | None = None, by: Actor = ADMIN, start: datetime | None = None
) -> Decided:
    """Staff say that money came in: all that is open, or an amount."""
    found = row(transfer_id)
    open_minor = paper(found).due_minor - paper(found).paid_minor
    approval = Approval(amount_minor or open_minor, clock.business(), found.version, start)
    with unit_of_work():
        decided = transfer.approve(transfer_id, approval, actor=by, now=clock.business())
    jobs.run_all()
    return decided


def row(transfer_id: int) -> BankTransfer:
    """The transfer as committed now."""
    db.session.rollback()
    return db.session.get_one(BankTransfer, transfer_id, populate_existing=True)


def paper(found: BankTransfer) -> Invoice:
    """Its invoice as committed now."""
    return db.session.get_one(Invoice, found.invoice_id, populate_existing=True)


def waiting(who: Somebody) -> int | None:
    """The newest transfer that is waited for."""
    db.session.rollback()
    return transfer_views.waiting_for(who.id)


def held(who: Somebody) -> Overview:
    """The subscription as committed now."""
    db.session.rollback()
    found = subscriptions.overview(who.id)
    assert found is not None
    return found


def lives_on(travel: Travel, *, step: int = 24, **delta: float) -> None:
    """Let time pass in steps of so many hours, with everything on its date."""
    end = travel.now.timestamp() + sum({"days": 86400, "hours": 3600}[k] * v for k, v in delta.items())
    while travel.now.timestamp() < end - 1:
        travel.on(seconds=min(step * 3600, end - travel.now.timestamp()))
        tick()


def tick() -> None:
    """What the clock's next stroke brings."""
    with unit_of_work():
        periodic.insert_due()
    while jobs.run_all():
        pass


def rows(model: Any, who: Somebody) -> list[Any]:
    """Everything of one kind that belongs to the vendor, oldest first."""
    db.session.rollback()
    return list(db.session.query(model).filter_by(vendor_id=who.id).order_by(model.id).populate_existing())
