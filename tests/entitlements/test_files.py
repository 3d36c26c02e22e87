"""Stored files count as storage: admitted before they are stored, given back when they go, never twice."""

import os
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from portal.catalog.rules import Metric
from portal.entitlements import file_books, files, gate
from portal.entitlements.models import EntitlementGrant
from portal.gateways import storage
from portal.kit import clock, tenancy
from portal.kit.actor import SYSTEM
from portal.kit.db import db
from portal.kit.errors import Forbidden, NotFound, PaymentRequired, Unavailable
from portal.kit.unit_of_work import unit_of_work
from portal.subscriptions.history import lock, note
from portal.subscriptions.rules import Status
from tests.billing.test_numbering import side_by_side
from tests.support import people
from tests.support.people import Someone

MB = 1_000_000


@pytest.fixture
def alice(catalog: Flask) -> Iterator[Someone]:
    """A vendor whose plan has exactly ten megabytes left: its other bytes are counted already."""
    for key, _, _ in list(storage.listing()):
        storage.delete(key)
    owner = people.register()
    with tenancy.scoped(owner.vendor_id):
        verdict = gate.check(owner.vendor_id, Metric.STORAGE_GB, 0, now=clock.business())
        assert verdict.limit is not None
        with unit_of_work():
            gate.admit(owner.vendor_id, Metric.STORAGE_GB, verdict.limit - 10 * MB, key="before", now=clock.business())
        yield owner


def left(owner: Someone) -> int:
    db.session.rollback()
    verdict = gate.check(owner.vendor_id, Metric.STORAGE_GB, 0, now=clock.business())
    assert verdict.limit is not None
    return verdict.limit - verdict.used


def keep(owner: Someone, size: int, **more: bool) -> str:
    return files.keep(owner.vendor_id, "papers", b"x" * size, "pdf", field="file", now=clock.business(), **more)


def test_a_file_takes_its_bytes_and_gives_them_back_once(alice: Someone) -> None:
    key = keep(alice, 4 * MB)
    # 10 MB - 4 MB = 6 MB.
    assert left(alice) == 6 * MB
    assert files.owner_of(key) == alice.vendor_id and len(storage.get(key)) == 4 * MB
    for _ in range(3):
        files.forget(key, now=clock.business())
    assert left(alice) == 10 * MB
    with pytest.raises(NotFound):
        storage.get(key)


def test_a_full_storage_refuses_at_the_field_and_stores_nothing(alice: Someone) -> None:
    keep(alice, 8 * MB)
    with pytest.raises(Forbidden) as refused:
        keep(alice, 3 * MB)
    assert refused.value.code == "limit_reached" and refused.value.fields == {"file": files.FULL}
    # 10 - 8 = 2 MB are left, and one file is there.
    assert left(alice) == 2 * MB
    assert len(list(storage.listing())) == 1
    keep(alice, 2 * MB)
    assert left(alice) == 0


def test_the_proof_of_a_payment_is_taken_whatever_the_limit(alice: Someone) -> None:
    keep(alice, 10 * MB)
    keep(alice, 1 * MB, may_refuse=False)
    assert left(alice) == -1 * MB
    with unit_of_work():
        subscription = lock(alice.vendor_id)
        subscription.status = Status.SUSPENDED
        note(subscription, "suspended", actor=SYSTEM, now=clock.business())
    keep(alice, 1 * MB, may_refuse=False)
    assert left(alice) == -2 * MB
    with pytest.raises(PaymentRequired):
        keep(alice, 1)


def test_a_store_that_fails_counts_nothing(alice: Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried once without giving back: six megabytes were left, and this failed."""

    def fails(_key: str, _data: bytes) -> None:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(storage, "put", fails)
        with pytest.raises(Unavailable):
            keep(alice, 4 * MB)
    assert left(alice) == 10 * MB
    keep(alice, 10 * MB)


def test_eight_at_once_on_room_for_three(catalog: Flask, alice: Someone) -> None:
    def put(_: int) -> bool:
        with tenancy.scoped(alice.vendor_id):
            try:
                keep(alice, 3 * MB)
            except Forbidden:
                return False
            return True

    # 10 MB / 3 MB: three fit, 1 MB is left.
    assert sum(side_by_side(catalog, put, 8)) == 3
    assert left(alice) == 1 * MB
    assert len(list(storage.listing())) == 3


@pytest.mark.parametrize("key", ["papers/0/x.pdf", "papers/x/y.pdf", "statements/abc.csv", "papers/12", "12/x.pdf"])
def test_the_operators_own_files_are_nobodys(key: str) -> None:
    assert files.owner_of(key) is None


def grown_old(catalog: Flask) -> None:
    """Files as of two hours ago, by the store's clock."""
    root = catalog.extensions["portal_config"].data_dir / "files"
    then = time.time() - 7200
    for path in root.rglob("*.*"):
        os.utime(path, (then, then))


@pytest.fixture
def plain(catalog: Flask, alice: Someone) -> Someone:
    """Without the bytes that the fixture above counted for no file."""
    with unit_of_work():
        spare = gate.check(alice.vendor_id, Metric.STORAGE_GB, 0, now=clock.business()).used
        gate.give_back(alice.vendor_id, Metric.STORAGE_GB, spare, key="before", now=clock.business())
    return alice


def verify(app: Flask, *options: str) -> tuple[int, str]:
    done = app.test_cli_runner().invoke(args=["storage", "verify", *options])
    return done.exit_code, done.output


def test_books_that_agree(catalog: Flask, plain: Someone) -> None:
    keep(plain, 1000)
    files.forget(keep(plain, 500), now=clock.business())
    keep(plain, 200, may_refuse=False)
    assert verify(catalog) == (0, "Every stored byte is counted, and nothing else is.\n")


def test_what_is_stored_uncounted_is_found_and_counted(catalog: Flask, plain: Someone) -> None:
    """As files are that were handed in before storage counted."""
    storage.put(f"proofs/{plain.vendor_id}/old.pdf", b"x" * 700)
    storage.put("statements/abc.csv", b"the operator's own")
    grown_old(catalog)
    code, said = verify(catalog)
    assert code == 1
    assert f"vendor {plain.vendor_id}: 0 bytes counted, 700 bytes stored" in said
    assert f"not counted: proofs/{plain.vendor_id}/old.pdf (700 bytes)" in said
    assert verify(catalog, "--fix")[0] == 0
    assert verify(catalog)[0] == 0


def test_what_is_counted_and_gone_is_found_and_given_back(catalog: Flask, plain: Someone, travel: object) -> None:
    """As when the process died between counting and storing."""
    key = keep(plain, 900)
    storage.delete(key)
    [book] = file_books.books()
    assert (book.counted, book.stored, book.gone) == (900, 0, []), "within the hour it may be on its way"
    travel.on(hours=2)  # type: ignore[attr-defined]
    code, said = verify(catalog)
    assert code == 1 and f"counted, but gone: {key}" in said
    assert verify(catalog, "--fix")[0] == 0
    assert file_books.books() == []


def test_what_the_store_kept_although_it_said_no_is_deleted(
    catalog: Flask, plain: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = storage.put

    def lies(key: str, data: bytes) -> None:
        really(key, data)
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(storage, "put", lies)
        with pytest.raises(Unavailable):
            keep(plain, 300)
    grown_old(catalog)
    assert verify(catalog, "--fix")[0] == 0
    assert list(storage.listing()) == []
    assert verify(catalog)[0] == 0


def test_a_store_that_does_not_answer_is_told(catalog: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Iterator[object]:
        raise Unavailable

    monkeypatch.setattr(storage, "listing", away)
    code, said = verify(catalog)
    assert code == 1 and "Nothing was compared" in said


def test_grants_are_in_gigabytes_and_bytes_are_counted(alice: Someone) -> None:
    gigabytes = db.session.scalar(
        select(EntitlementGrant.amount).where(
            EntitlementGrant.vendor_id == alice.vendor_id, EntitlementGrant.key == "storage_gb"
        )
    )
    verdict = gate.check(alice.vendor_id, Metric.STORAGE_GB, 0, now=clock.business())
    assert gigabytes is not None and verdict.limit == gigabytes * 1_000_000_000
