"""What two of the cast have above their plans: add-ons in every state, names, mailboxes, keys and webhooks."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from portal.addons import domain_queries, domain_rules, domains, provisioning_book, provisioning_staff, purchase
from portal.addons import provisioning_steps as steps
from portal.addons import service as addons
from portal.addons.domain_rules import Checked, Standing, Verdict
from portal.addons.models import Mailbox, VendorAddon
from portal.addons.providers import Refused
from portal.addons.purchase import Wish
from portal.addons.rules import DomainState, MailboxState, Origin
from portal.catalog.models import AddonPrice, AddonProduct
from portal.catalog.rules import Metric
from portal.checkout import addon_flows
from portal.checkout.flows import Addresses
from portal.entitlements import gate
from portal.identity import api_keys
from portal.identity.api_key_rules import Reach
from portal.kit import actor, clock, tenancy
from portal.kit.db import db
from portal.kit.models import OutboxJob
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import webhooks
from tests.support.people import Someone

SAM = actor.staff(1, "Sam Staff")
WORKS, WAITS, FAILED = "www.walnut.example", "shop.walnut.example", "walnuts.example"


def buys_storage(who: Someone, base_url: str) -> None:
    """Twice ten gigabytes, charged to its card."""
    owner = actor.user(who.user_id, who.name)
    with tenancy.scoped(who.vendor_id):
        price = db.session.scalar(select(AddonPrice.id).join(AddonProduct).where(AddonProduct.code == "extra-storage"))
        assert price is not None
        wish = Wish(price, 2)
        shown = addon_flows.prospect(who.vendor_id, wish)
        back = Addresses(base_url, base_url)
        started = addon_flows.buy(who.vendor_id, wish, back, shown=shown.due, at=shown.at, actor=owner)
    assert started.url is None


def is_furnished(who: Someone) -> None:
    """A name that works with mail at it, one whose records are missing, one that failed, and programs of its own."""
    now = clock.business()
    with tenancy.unscoped("add-ons of the cast"):
        with unit_of_work():
            _works(who, now)
        with unit_of_work():
            _done(_given(who, "custom-domain", now, **_named(WAITS)), 1, now)
        with unit_of_work():
            _fails(_given(who, "custom-domain", now, **_named(FAILED)), now)
    with tenancy.scoped(who.vendor_id), unit_of_work():
        _lets_programs_in(who, now)


def _named(name: str) -> dict[str, str]:
    return {"name": name, "shown": name, "how": "own"}


def _given(who: Someone, code: str, now: datetime, variant: str = "", **config: Any) -> VendorAddon:
    product = purchase.product(db.session.query(AddonProduct.id).filter_by(code=code).scalar())
    new = addons.New(who.vendor_id, product, Origin.GIVEN, variant, config=config, reason="For the opening")
    return addons.add(new, actor=SAM, now=now)


def _works(who: Someone, now: datetime) -> None:
    addon = _given(who, "custom-domain", now, **_named(WORKS))
    _done(addon, 1, now)
    domain = domains.of_addon(who.vendor_id, addon.id)
    assert domain is not None
    wanted = domain_queries.one(who.vendor_id, domain.id).records(who.code)
    found = domain_rules.stored([Checked(each.wanted, Verdict.FOUND) for each in wanted])
    standing = Standing(DomainState.ACTIVE, timedelta(hours=6))
    domains.record_look(domain.id, who.vendor_id, found, DomainState.PENDING, standing, now=now)
    _done(addon, 1, now)
    # No name server knows these records: the look that is due would take them back.
    looks = (OutboxJob.task == "addons.check_domain", OutboxJob.vendor_id == who.vendor_id)
    db.session.execute(delete(OutboxJob).where(*looks))
    mail = _given(who, "email-package", now, "5", domain_id=domain.id, name=WORKS, shown=WORKS)
    _done(mail, len(_steps(mail)), now)
    # No mail server stands beside this stack: the rows are as one leaves them.
    for local, name, state, error in (
        ("info", "Walnut Workshop", MailboxState.ACTIVE, None),
        ("anna.berg", "Anna Berg", MailboxState.PENDING, None),
        ("orders", "", MailboxState.FAILED, "The mail server has refused this address."),
    ):
        db.session.add(
            Mailbox(vendor_id=who.vendor_id, vendor_addon_id=mail.id, domain_id=domain.id, state=state, error=error,
                    address=f"{local}@{WORKS}", name=name, created_at=now)
        )  # fmt: skip
        gate.admit(who.vendor_id, Metric.MAILBOXES, key=f"cast:{local}", now=now)


def _steps(addon: VendorAddon) -> list[Any]:
    run = provisioning_book.newest_run(addon)
    assert run is not None
    return provisioning_book.steps_of(run)


def _done(addon: VendorAddon, count: int, now: datetime) -> None:
    """Staff complete the next steps by hand."""
    for step in [step for step in _steps(addon) if step.state != "done"][:count]:
        provisioning_staff.complete(step.id, note="Done for the opening", actor=SAM, now=now)


def _fails(addon: VendorAddon, now: datetime) -> None:
    claim = steps.take(_steps(addon)[0].id, now=now)
    assert claim is not None
    steps.record(claim, Refused("This name cannot be had."), now=now)


def _lets_programs_in(who: Someone, now: datetime) -> None:
    owner = actor.user(who.user_id, who.name)
    api_keys.create(who.vendor_id, name="Shop on the Linden Street", scopes=list(Reach), days=90, actor=owner, now=now)
    old = api_keys.create(who.vendor_id, name="Old till", scopes=[Reach.USAGE_WRITE], days=None, actor=owner, now=now)
    api_keys.revoke(who.vendor_id, old.id, actor=owner, now=now)
    told, _secret = webhooks.add(who.vendor_id, "https://hooks.walnut.example/portal", [], actor=owner, now=now)
    webhooks.send_test(who.vendor_id, told, now=now)
