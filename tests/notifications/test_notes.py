"""Notes in the portal and what a person has dismissed: once for its cause, read by the vendor's own people."""

from datetime import timedelta

import pytest
from flask import Flask

from portal.kit import clock, tenancy
from portal.kit.errors import Invalid, NotFound
from portal.kit.unit_of_work import unit_of_work
from portal.notifications import dismissals, notes
from portal.notifications.note_rules import KINDS, WrongNoteError
from tests.support import people

pytestmark = pytest.mark.usefixtures("unscoped")
ORDERS = {"metric": "Orders", "threshold": 80, "used": 400, "limit": 500}


def tell(vendor_id: int, key: str = "orders:80", **more: object) -> bool:
    with unit_of_work():
        return notes.tell(vendor_id, "usage_alert", {**ORDERS, **more}, dedupe_key=key, now=clock.business())


def test_a_cause_is_told_once_to_each_vendor(catalog: Flask) -> None:
    one, other = people.register(), people.register("bob@example.com", business="Other")
    assert [tell(one.vendor_id), tell(one.vendor_id), tell(other.vendor_id)] == [True, False, True]
    assert (notes.unread(one.vendor_id), notes.unread(other.vendor_id)) == (1, 1)


def test_a_long_cause_is_told_once_too(catalog: Flask) -> None:
    one = people.register()
    assert [tell(one.vendor_id, "x" * 300), tell(one.vendor_id, "x" * 300), tell(one.vendor_id, "x" * 301)] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {**ORDERS, "secret": "x"},
        {**ORDERS, "used": "400"},
        {**ORDERS, "used": True},
        {**ORDERS, "metric": 3},
        {name: value for name, value in ORDERS.items() if name != "limit"},
    ],
)
def test_a_note_without_what_its_words_need_is_a_bug(catalog: Flask, params: dict[str, object]) -> None:
    one = people.register()
    with pytest.raises(WrongNoteError), unit_of_work():
        notes.tell(one.vendor_id, "usage_alert", params, dedupe_key="x", now=clock.business())
    with pytest.raises(WrongNoteError), unit_of_work():
        notes.tell(one.vendor_id, "no_such_note", {}, dedupe_key="x", now=clock.business())
    assert notes.unread(one.vendor_id) == 0


def test_the_words_of_every_kind_need_nothing_but_its_parameters() -> None:
    for kind in KINDS.values():
        for words in (kind.title, kind.text):
            assert words % dict.fromkeys(kind.params, "x")


def test_one_is_read_once_and_never_by_another_vendor(catalog: Flask) -> None:
    one, other = people.register(), people.register("bob@example.com", business="Other")
    tell(one.vendor_id)
    note = notes.page(one.vendor_id).rows[0]
    with tenancy.scoped(other.vendor_id), unit_of_work(), pytest.raises(NotFound):
        notes.mark_read(other.vendor_id, note.id, now=clock.business())
    with tenancy.scoped(one.vendor_id), unit_of_work():
        now = clock.business()
        assert [notes.mark_read(one.vendor_id, note.id, now=now) for _ in range(2)] == [True, False]
    assert notes.unread(one.vendor_id) == 0


def test_all_that_was_seen_is_read_and_what_came_later_is_not(catalog: Flask) -> None:
    one = people.register()
    tell(one.vendor_id, "a"), tell(one.vendor_id, "b")
    seen = notes.page(one.vendor_id).rows[0].id
    tell(one.vendor_id, "c")
    with unit_of_work():
        # Two were on the page; the third came after it was made.
        assert notes.mark_all_read(one.vendor_id, until=seen, now=clock.business()) == 2
    assert notes.unread(one.vendor_id) == 1


def test_pages_meet_each_note_once_newest_first(catalog: Flask) -> None:
    one = people.register()
    with unit_of_work():
        for i in range(60):
            at = clock.business() + timedelta(minutes=i)
            notes.tell(one.vendor_id, "usage_alert", {**ORDERS, "used": i}, dedupe_key=str(i), now=at)
    met, cursor = [], None
    while True:
        found = notes.page(one.vendor_id, cursor)
        met += [note.params["used"] for note in found.rows]
        cursor = found.next
        if cursor is None:
            break
    assert met == list(range(59, -1, -1))


def test_what_is_dismissed_is_so_for_one_person_at_one_vendor(catalog: Flask) -> None:
    one, other = people.register(), people.register("bob@example.com", business="Other")
    with unit_of_work():
        now = clock.business()
        assert [dismissals.dismiss(one.vendor_id, one.user_id, "upsell:x", now=now) for _ in range(2)] == [True, False]
    assert dismissals.of(one.vendor_id, one.user_id) == {"upsell:x"}
    assert dismissals.of(one.vendor_id, other.user_id) == set() == dismissals.of(other.vendor_id, one.user_id)


@pytest.mark.parametrize("what", ["", "x" * 121, "a\nb", "a\0b"])
def test_a_name_that_cannot_be_kept_is_refused(catalog: Flask, what: str) -> None:
    one = people.register()
    with pytest.raises(Invalid), unit_of_work():
        dismissals.dismiss(one.vendor_id, one.user_id, what, now=clock.business())
