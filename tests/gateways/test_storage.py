"""Private files in a bucket: spoken to over HTTP, each request signed, and nothing lost or half-read when it fails."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask import Flask

from config import Config
from portal.cli import doctor, doctor_files
from portal.entitlements import files
from portal.gateways import storage
from portal.kit import clock, tenancy
from portal.kit.errors import NotFound, Unavailable
from portal.kit.unit_of_work import unit_of_work
from tests.support import bucket as buckets
from tests.support import people
from tests.support.bucket import Bucket

KEY = "proofs/7/0123456789abcdef.pdf"


def signed(headers: dict[str, str], scope: str) -> str:
    return buckets.signature("GET", "/test.txt", "", headers, sorted(headers), scope)


def settings(bucket: Bucket, **changed: Any) -> Config:
    given = {
        "s3_bucket": buckets.NAME, "s3_endpoint": bucket.url, "s3_region": buckets.REGION,
        "s3_access_key_id": buckets.KEY_ID, "s3_secret_access_key": buckets.SECRET,
    }  # fmt: skip
    return Config(app_env="test", **{**given, **changed})


@pytest.fixture
def bucket(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket that the portal keeps its files in; it is asked once more and not waited for long."""
    monkeypatch.setattr(storage, "AGAIN", 1)
    monkeypatch.setattr(storage, "PATIENCE", 2.0)
    with buckets.serving() as running:
        config = settings(running)
        monkeypatch.setitem(app.extensions, "portal_config", config)
        storage.configure(config)
        yield running


@pytest.fixture(autouse=True)
def _back(app: Flask) -> Iterator[None]:
    """Afterwards files lie in the folder again."""
    config = app.extensions["portal_config"]
    yield
    storage.configure(config)


def test_signatures_are_those_of_amazons_own_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else our server and the library could agree on something that S3 refuses."""
    monkeypatch.setattr(buckets, "SECRET", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9", "x-amz-date": "20130524T000000Z",
               "x-amz-content-sha256": buckets.EMPTY}  # fmt: skip
    found = signed(headers, "20130524/us-east-1/s3/aws4_request")
    assert found == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


def test_a_file_is_kept_read_replaced_and_forgotten(bucket: Bucket) -> None:
    data = bytes(range(256)) * 12_000  # 3 MB
    storage.put(KEY, data)
    assert bucket.objects[KEY][0] == data and storage.get(KEY) == data
    storage.put(KEY, b"anew")
    assert storage.get(KEY) == b"anew"
    storage.delete(KEY)
    storage.delete(KEY)
    assert bucket.objects == {}
    with pytest.raises(NotFound):
        storage.get(KEY)


def test_nobody_reads_it_by_its_address(bucket: Bucket) -> None:
    """No request asks for a file that others may read, and without a signature, or with another's, there is none."""
    storage.put(KEY, b"private")
    assert not any(name in sent for sent in bucket.headers for name in ("x-amz-acl", "x-amz-grant-read"))
    assert requests.get(f"{bucket.url}/{buckets.NAME}/{KEY}", timeout=5).status_code == 403
    storage.configure(settings(bucket, s3_secret_access_key=buckets.SECRET[::-1]))
    with pytest.raises(Unavailable) as refused:
        storage.get(KEY)
    assert refused.value.code == "storage_refused"


def test_a_listing_reads_every_page(bucket: Bucket) -> None:
    bucket.page = 2
    for n in range(5):
        storage.put(f"proofs/{n}/x.pdf", b"x" * n)
    assert sorted((key, size) for key, size, _ in storage.listing()) == [(f"proofs/{n}/x.pdf", n) for n in range(5)]
    assert bucket.count("list") == 3  # 2 + 2 + 1


def test_bytes_in_a_bucket_count_and_are_given_back(bucket: Bucket, catalog: Flask) -> None:
    owner = people.register()
    key = files.keep(owner.vendor_id, "papers", b"x" * 700, "pdf", field="file", now=clock.business())
    assert (key in bucket.objects, catalog.test_cli_runner().invoke(args=["storage", "verify"]).exit_code) == (True, 0)
    files.forget(key, now=clock.business())
    assert bucket.objects == {}


FAULTS = [("put", "down"), ("get", "down"), ("get", "lost"), ("get", "cut"), ("delete", "down"), ("list", "down"),
          ("list", "cut")]  # fmt: skip


@pytest.mark.parametrize(("operation", "what"), FAULTS)
def test_what_fails_is_unavailable_and_never_half_a_file(bucket: Bucket, operation: str, what: str) -> None:
    storage.put(KEY, b"all of it")
    bucket.mischief[operation] = what
    acts = {"put": lambda: storage.put(KEY, b"anew"), "get": lambda: storage.get(KEY),
            "delete": lambda: storage.delete(KEY), "list": lambda: list(storage.listing())}  # fmt: skip
    with pytest.raises(Unavailable):
        acts[operation]()
    bucket.mischief.clear()
    assert storage.get(KEY) == b"all of it"


def test_a_fault_that_passes_is_not_noticed(bucket: Bucket) -> None:
    storage.put(KEY, b"all of it")
    bucket.mischief["get"] = "down"
    threading.Timer(0.05, bucket.mischief.clear).start()
    assert storage.get(KEY) == b"all of it"
    assert bucket.count("get") == 2


def test_a_store_that_says_nothing_is_given_up(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself the library tries ten times within three minutes, while a person waits."""
    monkeypatch.setattr(storage, "PATIENCE", 0.2)
    storage.configure(settings(bucket))
    bucket.mischief |= {"put": "silent", "get": "silent"}
    for act in (lambda: storage.put(KEY, b"x"), lambda: storage.get(KEY)):
        with pytest.raises(Unavailable):
            act()
    assert 2 <= len(bucket.calls) <= 2 * 2


def test_nobody_there_and_no_such_bucket_are_unavailable(bucket: Bucket) -> None:
    storage.configure(settings(bucket, s3_bucket="another"))
    for act in (lambda: storage.put(KEY, b"x"), lambda: storage.get(KEY)):
        with pytest.raises(Unavailable) as refused:
            act()
        assert refused.value.code == "storage_bucket"
    storage.configure(settings(bucket, s3_endpoint="http://127.0.0.1:9"))
    with pytest.raises(Unavailable):
        storage.put(KEY, b"x")


def test_nobody_waits_for_it_with_a_transaction_open(bucket: Bucket) -> None:
    with tenancy.unscoped("a test"), unit_of_work(), pytest.raises(RuntimeError, match="unit of work"):
        storage.put(KEY, b"x")
    assert bucket.calls == []


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", "A/b", "a/b c", "a/../b", "a/b.", "", "a\0b"])
def test_keys_are_ours(bucket: Bucket, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        storage.put(key, b"x")


def doctors_word() -> tuple[str, str]:
    [found] = doctor.examine(doctor_files.CHECKS)
    return found.level, f"{found.says} → {found.do}"


def test_the_doctor_tries_the_bucket_out_and_leaves_nothing(
    bucket: Bucket, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert doctors_word()[0] == "OK"
    assert bucket.objects == {} and bucket.count("put") == 1
    bucket.public = True
    level, says = doctors_word()
    assert level == "FAIL" and "can be read by anybody" in says
    assert bucket.objects == {}
    caplog.set_level(logging.DEBUG)
    for changed, word in (
        ({"s3_secret_access_key": "canary-of-the-bucket"}, "refuses the key"),
        ({"s3_bucket": "another"}, "is not there"),
        ({"s3_endpoint": "http://127.0.0.1:9"}, "does not answer"),
    ):
        storage.configure(settings(bucket, **changed))
        level, says = doctors_word()
        assert level == "FAIL" and word in says
    out, err = capfd.readouterr()
    assert "canary-of-the-bucket" not in caplog.text + out + err + says


def test_the_doctor_tries_the_folder_out_too(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctors_word()[0] == "OK"
    assert not list((app.extensions["portal_config"].data_dir / "files" / "doctor").glob("*"))

    def fails(*_: Any) -> None:
        raise Unavailable(code="storage")

    monkeypatch.setattr(storage, "put", fails)
    level, says = doctors_word()
    assert level == "FAIL" and "DATA_DIR" in says
