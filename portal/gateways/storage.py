"""Private files: a folder of this machine, or a bucket that all machines share (S3 and what speaks like it).

Nothing here is reachable by address: doors read a file and decide who gets it. A person waits meanwhile, so that a
store which does not answer is given up after PATIENCE; files are at most 10 MB and are read whole.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from config import Config
from portal.kit import log
from portal.kit.errors import NotFound, Unavailable
from portal.kit.unit_of_work import assert_no_transaction

if TYPE_CHECKING:
    from obstore.store import ObjectStore

logger = log.get(__name__)

#: Seconds for one try, and for all tries together; a try is repeated twice where it can do no harm.
PATIENCE, ALL_TOGETHER, AGAIN = 10.0, 15.0, 2
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


def _bucket(config: Config, *, signed: bool = True) -> "ObjectStore":
    """The bucket; without ``signed`` as a stranger sees it."""
    from obstore.store import S3Store

    settings: dict[str, Any] = {"bucket": config.s3_bucket, "region": config.s3_region or "us-east-1"}
    if not signed:
        settings["skip_signature"] = True
    if config.s3_endpoint:
        settings |= {"endpoint": config.s3_endpoint, "virtual_hosted_style_request": False}
    if config.s3_access_key_id and signed:
        settings["access_key_id"] = config.s3_access_key_id
        settings["secret_access_key"] = config.s3_secret_access_key.get_secret_value()
    allow_http = config.s3_endpoint.startswith("http://")
    options: Any = {
        "allow_http": allow_http, "timeout": timedelta(seconds=PATIENCE),
        "connect_timeout": timedelta(seconds=PATIENCE / 2),
    }  # fmt: skip
    again: Any = {"max_retries": AGAIN, "retry_timeout": timedelta(seconds=ALL_TOGETHER)}
    return S3Store(**settings, client_options=options, retry_config=again)


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of ours: {key!r}")
    return key


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Tell the store's faults in our words, and to the log which they were; its own words may hold addresses."""
    from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

    assert_no_transaction()
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        if "NoSuchBucket" not in str(error) and what != "put":
            raise NotFound from error
        logger.warning("storage.failed", what=what, why="no such bucket")
        raise Unavailable(code="storage_bucket") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        logger.warning("storage.failed", what=what, why="refused")
        raise Unavailable(code="storage_refused") from error
    except BaseError as error:
        logger.warning("storage.failed", what=what, why=type(error).__name__)
        raise Unavailable(code="storage") from error


def put(key: str, data: bytes) -> None:
    """Keep ``data`` under ``key``; the same key again replaces it. Unavailable when the store does not take it."""
    with _asking("put"):
        _current().put(_checked(key), data)


def get(key: str) -> bytes:
    """The bytes under ``key``, whole; NotFound when there are none, Unavailable when the store does not answer."""
    with _asking("get"):
        return bytes(_current().get(_checked(key)).bytes())


def delete(key: str) -> None:
    """Forget ``key``; what is gone already stays gone. Unavailable when the store does not answer."""
    try:
        with _asking("delete"):
            _current().delete(_checked(key))
    except NotFound:
        return


def listing() -> Iterator[tuple[str, int, datetime]]:
    """Every file: key, bytes, and when it was last written (by the store's clock); read in portions.

    Unavailable when the store does not answer.
    """
    with _asking("list"):
        for portion in _current().list():
            for found in portion:
                yield found["path"], found["size"], found["last_modified"]


def try_out() -> bool:
    """Write a small file, read it, and delete it again; says whether a stranger could have read it meanwhile.

    Unavailable (``storage_refused``, ``storage_bucket``, ``storage``) for a store that does not keep files.
    """
    key = f"doctor/{uuid.uuid4().hex}.txt"
    put(key, key.encode())
    try:
        if get(key) != key.encode():
            raise Unavailable(code="storage")
        return _is_open(key)
    finally:
        delete(key)


def _is_open(key: str) -> bool:
    from obstore.exceptions import BaseError

    if _config is None or not _config.s3_bucket:
        return False
    try:
        return bool(_bucket(_config, signed=False).get(key).bytes())
    except (BaseError, FileNotFoundError):
        return False
