"""Private files: a folder of this machine, or a bucket that all machines share (S3 and what speaks like it).

Nothing here is reachable by address: doors read a file and decide who gets it.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from config import Config
from portal.kit.errors import NotFound, Unavailable
from portal.kit.unit_of_work import assert_no_transaction

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Keys are made by us: folders and a name, nothing that could climb out.
_KEY = re.compile(r"[a-z0-9-]+(?:/[a-z0-9-]+)*(?:\.[a-z0-9]{1,8})?")
_config: Config | None = None
_store: "ObjectStore | None" = None


def configure(config: Config) -> None:
    """Remember where files go; the store itself is opened when the first file needs it."""
    global _config, _store
    _config, _store = config, None


def _current() -> "ObjectStore":
    global _store
    if _store is None:
        if _config is None:
            raise RuntimeError("storage is not configured")
        _store = _bucket(_config) if _config.s3_bucket else _folder(_config)
    return _store


def _folder(config: Config) -> "ObjectStore":
    from obstore.store import LocalStore

    root = config.data_dir.resolve() / "files"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LocalStore(prefix=str(root))


def _bucket(config: Config) -> "ObjectStore":
    from obstore.store import S3Store

    settings: dict[str, Any] = {"bucket": config.s3_bucket, "region": config.s3_region or "us-east-1"}
    if config.s3_endpoint:
        settings |= {"endpoint": config.s3_endpoint, "virtual_hosted_style_request": False}
    if config.s3_access_key_id:
        settings["access_key_id"] = config.s3_access_key_id
        settings["secret_access_key"] = config.s3_secret_access_key.get_secret_value()
    allow_http = config.s3_endpoint.startswith("http://")
    return S3Store(**settings, client_options={"allow_http": allow_http, "timeout": "20s"})


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of ours: {key!r}")
    return key


def put(key: str, data: bytes) -> None:
    """Keep ``data`` under ``key``; the same key again replaces it. Unavailable when the store does not answer."""
    from obstore.exceptions import BaseError

    assert_no_transaction()
    try:
        _current().put(_checked(key), data)
    except BaseError as error:
        raise Unavailable from error


def get(key: str) -> bytes:
    """The bytes under ``key``; NotFound when there are none, Unavailable when the store does not answer."""
    from obstore.exceptions import BaseError, NotFoundError

    assert_no_transaction()
    try:
        return bytes(_current().get(_checked(key)).bytes())
    except (NotFoundError, FileNotFoundError) as error:
        raise NotFound from error
    except BaseError as error:
        raise Unavailable from error


def delete(key: str) -> None:
    """Forget ``key``; what is gone already stays gone."""
    from obstore.exceptions import BaseError, NotFoundError

    assert_no_transaction()
    try:
        _current().delete(_checked(key))
    except (NotFoundError, FileNotFoundError):
        return
    except BaseError as error:
        raise Unavailable from error


def listing() -> Iterator[tuple[str, int, datetime]]:
    """Every file: key, bytes, and when it was last written (by the store's clock); read in portions.

    Unavailable when the store does not answer.
    """
    from obstore.exceptions import BaseError

    assert_no_transaction()
    try:
        for portion in _current().list():
            for found in portion:
                yield found["path"], found["size"], found["last_modified"]
    except BaseError as error:
        raise Unavailable from error
