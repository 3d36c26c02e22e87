"""P9: how many statements a page takes, with one row, with 25 and with 100."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from portal.billing.models import Invoice
from portal.kit import clock, tenancy
from portal.kit.db import db
from portal.kit.unit_of_work import unit_of_work
from tests.bench.figures import Figure, Goal, Line, spread
from tests.bench.p8_pages import PARTIAL, meters_address
from tests.bench.rounds import Tell
from tests.bench.vendors import Cast
from tests.support import people
from tests.support.stories import PASSWORD, Somebody

ROWS = (1, 25, 100)
TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
#: Address, most statements, the limit's words, whether htmx asks.
Spec = tuple[str, int, str, bool]


def measure(app: Flask, cast: Cast, tell: Tell) -> Figure:
    """P9, in the bench's own process; leaves its rows behind in the database."""
    who = cast.vendors[0]
    # Requests stand outside of this context: inside they would share its ``g``, and with it who is at the door.
    with app.app_context():
        engine = db.engine
        staff_email = people.staff().email
    clients = {name: app.test_client() for name in ("owner", "staff")}
    people.sign_in(clients["owner"], who.email, PASSWORD)
    people.sign_in(clients["staff"], staff_email)
    specs = {**_vendor_pages(who, clients["owner"]), **ADMIN_PAGES}
    counts: dict[str, list[int]] = {name: [] for name in specs}
    for have, rows in itertools.pairwise((0, *ROWS)):
        with app.app_context(), tenancy.unscoped("the bench makes rows"):
            _more_rows(who, have, rows)
            db.session.remove()
        for name, (path, _, _, partial) in specs.items():
            client = clients["staff" if name in ADMIN_PAGES else "owner"]
            counts[name].append(_count(engine, client, path, PARTIAL if partial else {}))
        tell(f"  {rows} rows: " + ", ".join(f"{name} {found[-1]}" for name, found in counts.items()))
    engine.dispose()
    return _figure(specs, counts)


def _vendor_pages(who: Somebody, owner: FlaskClient) -> dict[str, Spec]:
    base = f"/vendor/{who.code}/billing"
    meters = meters_address(owner.get(base).get_data(as_text=True))
    parts = ("plan-card", "invoices-card", "credits", "credits-card")
    fragments = {f"fragment {part}": (f"{base}/{part}", 2, FRAGMENT, True) for part in parts}
    fragments["fragment meters"] = (meters, 2, FRAGMENT, True)
    return {"billing page": (base, 6, "billing page", False), **fragments}


FRAGMENT, LIST = "any fragment", "any list"
ADMIN_PAGES: dict[str, Spec] = {
    "admin's list of vendors": ("/admin/vendors", 3, LIST, False),
    "its results while typing": ("/admin/vendors?q=shop", 2, FRAGMENT, True),
}


def _more_rows(who: Somebody, have: int, want: int) -> None:
    """Invoices of the vendor, and vendors, up to so many."""
    now = clock.business()
    with unit_of_work() as session:
        session.add_all(_invoice(who.id, number, now - timedelta(days=30 * number)) for number in range(have, want))
    for number in range(have, want):
        people.register(f"p9-{number}@example.com", business=f"Shop number {number}")


def _invoice(vendor_id: int, number: int, issued: Any) -> Invoice:
    money = dict.fromkeys(("subtotal_minor", "total_minor", "due_minor", "paid_minor"), 9900)
    return Invoice(
        vendor_id=vendor_id,
        provider="stripe",
        number=f"P9-{number}",
        stripe_invoice_id=f"in_p9_{number}",
        status="paid",
        reason="subscription_cycle",
        currency="EUR",
        tax_minor=0,
        issued_at=issued,
        **money,
    )


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Every statement that is sent in this block; transaction control left out."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(TRANSACTIONS):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _count(engine: Engine, client: FlaskClient, path: str, headers: dict[str, str]) -> int:
    """The second time, so that what is kept per process (the operator's settings) is known. Raises for no 200."""
    client.get(path, headers=headers)
    with counted(engine) as seen:
        answer = client.get(path, headers=headers)
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}")
    return len(seen)


def _figure(specs: dict[str, Spec], counts: dict[str, list[int]]) -> Figure:
    lines = [Line(name, "statements", spread(found)) for name, found in counts.items()]
    limits = itertools.groupby(sorted(specs, key=lambda name: specs[name][1:3]), key=lambda name: specs[name][1:3])
    goals = [
        Goal(f"statements, {words}", max(max(counts[name]) for name in names), "at most", limit, 0)
        for (limit, words), names in limits
    ]
    differing = sum(len(set(found)) > 1 for found in counts.values())
    goals.append(Goal("pages whose number changes with the rows", differing, "at most", 0, 0))
    return Figure("P9", "Statements a page takes", HOW, lines, goals)


HOW = f"""\
Counted where they are sent, with {", ".join(map(str, ROWS[:-1]))} and {ROWS[-1]} rows (invoices of the vendor, \
vendors of the operator); finding the person at the door is counted, transaction control and the pool's ping are not."""
