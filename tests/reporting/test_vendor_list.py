"""The list of vendors on a real database: what is found, in which order, at which cost."""

from datetime import timedelta

import pytest
from sqlalchemy import event

from portal.catalog.rules import Cycle
from portal.identity.rules import Stage
from portal.kit import paging
from portal.kit.db import db
from portal.kit.errors import NotFound
from portal.kit.money import Money
from portal.reporting import vendor_list
from portal.reporting.vendor_list import VendorFilter
from portal.subscriptions.rules import Status
from tests.reporting import factory

pytestmark = pytest.mark.usefixtures("catalog", "unscoped")


@pytest.fixture
def shops(catalog, unscoped):
    factory.vendor("Öztürk Teppiche", "ozturk-teppiche", email="baris@teppich.example", tier="essential")
    factory.vendor("Oak & Iron", "oak-iron", tier="business", status=Status.ACTIVE, stage=Stage.ACTIVE)
    factory.vendor("100% Wool", "100-wool", tier="professional", status=Status.PAST_DUE, cycle=Cycle.YEARLY)
    factory.vendor("The Oakery", "the-oakery", tier=None)
    factory.vendor("Plain_Goods", "plain-goods", status=Status.CANCELLED)


def names(**wanted):
    return {row.name for row in vendor_list.page(VendorFilter(**wanted), None).rows}


SEARCHES = (
    ("o", {"Öztürk Teppiche", "Oak & Iron", "The Oakery"}),
    ("oa", {"Oak & Iron", "The Oakery"}),
    ("OAK", {"Oak & Iron", "The Oakery"}),
    ("kery", {"The Oakery"}),
    ("ke", set()),
    ("öz", {"Öztürk Teppiche"}),
    ("ÖZTÜRK", {"Öztürk Teppiche"}),
    ("ozturk", {"Öztürk Teppiche"}),
    ("baris@teppich.example", {"Öztürk Teppiche"}),
    ("BARIS@", {"Öztürk Teppiche"}),
    ("100%", {"100% Wool"}),
    ("%%%", set()),
    ("n_g", {"Plain_Goods"}),
    ("p_ain", set()),
    ("'; DROP TABLE vendors; --", set()),
    ("\\", set()),
    ("магазин", set()),
)


@pytest.mark.usefixtures("shops")
def test_search_finds_beginnings_of_words_and_from_three_letters_any_part():
    found = {words: names(words=words) for words, _ in SEARCHES}
    assert found == dict(SEARCHES)


@pytest.mark.usefixtures("shops")
def test_filters_narrow_together():
    assert names(tier="business") == {"Oak & Iron"}
    assert names(standing="past_due") == {"100% Wool"}
    assert names(standing=vendor_list.NO_PLAN) == {"The Oakery"}
    assert names(stage="active") == {"Oak & Iron"}
    assert names(words="oak", standing="active") == {"Oak & Iron"}
    assert names(tier="business", standing="trial") == set()


@pytest.mark.usefixtures("shops")
def test_rows_say_owner_tier_and_what_recurs_a_month():
    rows = {row.name: row for row in vendor_list.page(VendorFilter(), None).rows}
    oak, wool = rows["Oak & Iron"], rows["100% Wool"]
    assert (oak.owner, oak.owner_email, oak.tier) == ("Owner of Oak & Iron", "oak-iron@shops.example", "Business")
    assert oak.mrr == Money(19900, "EUR")
    # €990 a year: 99000 / 12 = 8250
    assert wool.mrr == Money(8250, "EUR")
    assert rows["Öztürk Teppiche"].mrr is None
    assert (rows["The Oakery"].standing, rows["The Oakery"].tier) == (None, None)


def every_page(wanted):
    """All names by following the cursors forwards, and each page's names again by following them back."""
    cursor, there = None, []
    while True:
        page = vendor_list.page(wanted, cursor, size=4)
        there.append([row.name for row in page.rows])
        if page.next is None:
            break
        cursor = page.next
    back = [there[-1]]
    while page.previous:
        page = vendor_list.page(wanted, page.previous, size=4)
        back.append([row.name for row in page.rows])
    assert back[::-1] == there
    return [name for names_of_page in there for name in names_of_page]


@pytest.mark.parametrize("sort", [f"{sign}{column}" for column in vendor_list.SORTS for sign in ("", "-")])
def test_paging_meets_every_vendor_once_in_order_both_ways(sort):
    tiers, statuses = ["essential", "business", None], [Status.TRIAL, Status.ACTIVE]
    for i in range(11):
        factory.vendor(
            f"Shop {i % 5}", f"shop-{i}", tier=tiers[i % 3], status=statuses[i % 2],
            since=factory.START + timedelta(days=i // 3),
        )  # fmt: skip
    found = every_page(VendorFilter(sort=sort))
    assert sorted(found) == sorted(f"Shop {i % 5}" for i in range(11))
    if sort.endswith("name"):
        assert found == sorted(found, reverse=sort.startswith("-"))


FOREIGN_CURSORS = (
    "",
    "x",
    "%%%",
    paging.encode(False, [1]),
    paging.encode(False, [None, 1]),
    paging.encode(False, [["a"], 1]),
    paging.encode(False, [True, True]),
    paging.encode(False, ["a\0b", 1]),
    paging.encode(False, ["a", 10**30]),
    paging.encode(False, [10**30, 1]),
    paging.encode(False, [{"at": "2027-01-01T00:00:00"}, 1]),
    paging.encode(False, [{"at": "soon"}, 1]),
    "A" * 100_000,
)


@pytest.mark.parametrize("sort", list(vendor_list.SORTS))
def test_a_cursor_that_the_list_did_not_make_leads_nowhere(sort):
    for cursor in FOREIGN_CURSORS:
        with pytest.raises(NotFound):
            vendor_list.page(VendorFilter(sort=sort), cursor)


@pytest.mark.parametrize("number", [1, 25, 100])
def test_one_query_whatever_the_number(number):
    factory.vendors(number)
    db.session.rollback()
    seen = []
    listen = lambda *args: seen.append(args[2])  # noqa: E731 - one line, used twice
    event.listen(db.engine, "before_cursor_execute", listen)
    try:
        page = vendor_list.page(VendorFilter(words="shop", sort="name"), None)
    finally:
        event.remove(db.engine, "before_cursor_execute", listen)
    assert len(page.rows) == min(number, vendor_list.PAGE_SIZE)
    assert len([statement for statement in seen if not statement.startswith("BEGIN")]) == 1


def test_what_an_address_asks_for_is_read_with_care():
    read = vendor_list.read({"q": " a\0b ", "standing": "rich", "stage": "<b>", "sort": "price", "tier": "x" * 500})
    assert read == VendorFilter(words="a b", tier="x" * 20)
    assert vendor_list.read({"standing": "none", "stage": "building", "sort": "-tier"}) == VendorFilter(
        standing="none", stage="building", sort="-tier"
    )
