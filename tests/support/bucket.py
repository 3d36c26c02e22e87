"""An object store of our own that speaks S3 as Amazon documents it, in a thread of the test process.

Every request must be signed (Signature Version 4): the signature is computed here again from the request as it arrived,
over all headers that matter and the bytes of the body. Nothing is readable without.
"""

import hashlib
import hmac
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

KEY_ID, SECRET, REGION, NAME = (
    "AKIATESTS0123456789A",
    "bucket-secret-for-tests/0123456789+abcdef",
    "eu-central-1",
    "files",
)
#: How far clocks may differ.
TOLERANCE = timedelta(minutes=15)
EMPTY = hashlib.sha256(b"").hexdigest()


class Refused(Exception):
    """Why a request is not answered, by S3's own code."""

    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code
        super().__init__(code)


@dataclass
class Bucket:
    """What is stored. ``mischief``: operation → "down", "lost", "cut" or "silent", for every try until it is taken out;
    ``page``: keys that one answer of a listing holds; ``public``: readable without a signature.
    """

    url: str = ""
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    mischief: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    page: int = 1000
    public: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def count(self, operation: str) -> int:
        """How often something was asked for."""
        return self.calls.count(operation)


def signature(method: str, path: str, query: str, headers: Mapping[str, str], signed: list[str], scope: str) -> str:
    """The signature that this request must carry, as Amazon describes it; ``headers`` in lower case.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    pairs = sorted((quote(k, "-_.~"), quote(v, "-_.~")) for k, v in parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join([
        method,
        quote(unquote(path), "/-_.~"),
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed),
        "",
        ";".join(signed),
        headers["x-amz-content-sha256"],
    ])  # fmt: skip
    day, region, service, end = scope.split("/")
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in (day, region, service, end):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def verify(method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raise Refused for a request that the key's owner did not make, or made at another time or for other bytes."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        raise Refused(403, "AccessDenied")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key_id, _, scope = parts["Credential"].partition("/")
    signed = parts["SignedHeaders"].split(";")
    at = datetime.strptime(headers.get("x-amz-date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if key_id != KEY_ID:
        raise Refused(403, "InvalidAccessKeyId")
    if abs(datetime.now(UTC) - at) > TOLERANCE or scope != f"{at:%Y%m%d}/{REGION}/s3/aws4_request":
        raise Refused(403, "RequestTimeTooSkewed")
    if {"host", *(name for name in headers if name.startswith("x-amz-"))} - set(signed) or signed != sorted(signed):
        raise Refused(403, "SignatureDoesNotMatch")
    hashed = headers.get("x-amz-content-sha256", "")
    if hashed not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        raise Refused(400, "XAmzContentSHA256Mismatch")
    url = urlsplit(target)
    expected = signature(method, url.path, url.query, headers, signed, scope)
    if not hmac.compare_digest(expected, parts["Signature"]):
        raise Refused(403, "SignatureDoesNotMatch")


def _operation(method: str, key: str, query: Mapping[str, str]) -> str:
    if key:
        return {"PUT": "put", "GET": "get", "HEAD": "get", "DELETE": "delete"}.get(method, "")
    return {"GET": "list", "POST": "delete"}.get(method, "") if {"list-type", "delete"} & query.keys() else ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def _go(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        url = urlsplit(self.path)
        name, _, key = unquote(url.path).lstrip("/").partition("/")
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        operation = _operation(self.command, key, query)
        try:
            if not (self.bucket.public and operation == "get" and "authorization" not in headers):
                verify(self.command, self.path, headers, body)
            if name != NAME:
                raise Refused(404, "NoSuchBucket")
            self.bucket.calls.append(operation)
            self.bucket.headers.append(headers)
            self._answer(operation, key, query, body)
        except Refused as refused:
            self._say(refused.status, f"<Error><Code>{refused.code}</Code></Error>".encode())

    do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = _go  # noqa: N815 - named by http.server

    def _answer(self, operation: str, key: str, query: Mapping[str, str], body: bytes) -> None:
        what = self.bucket.mischief.get(operation, "")
        if what == "down":
            raise Refused(503, "SlowDown")
        if what == "silent":
            self.bucket.released.wait(20)
        said = b"" if what == "silent" else getattr(self, f"_{operation}")(key, query, body)
        if what in ("lost", "silent"):
            self.close_connection = True
            return
        self._say(200, said, cut=what == "cut")

    def _put(self, key: str, _query: Mapping[str, str], body: bytes) -> bytes:
        self.bucket.objects[key] = (body, datetime.now(UTC))
        return b""

    def _get(self, key: str, _query: Mapping[str, str], _body: bytes) -> bytes:
        if key not in self.bucket.objects:
            raise Refused(404, "NoSuchKey")
        return self.bucket.objects[key][0]

    def _delete(self, key: str, _query: Mapping[str, str], body: bytes) -> bytes:
        """One by its address, or several by a list; what is not there is no error."""
        names = [key] if key else [e.text or "" for e in ElementTree.fromstring(body).iter() if e.tag.endswith("Key")]
        for each in names:
            self.bucket.objects.pop(each, None)
        return "<DeleteResult>{}</DeleteResult>".format(
            "".join(f"<Deleted><Key>{escape(each)}</Key></Deleted>" for each in names)
        ).encode()

    def _list(self, _key: str, query: Mapping[str, str], _body: bytes) -> bytes:
        after = query.get("continuation-token", "")
        names = sorted(n for n in self.bucket.objects if n.startswith(query.get("prefix", "")) and n > after)
        shown, more = names[: self.bucket.page], names[self.bucket.page :]
        rows = "".join(
            f"<Contents><Key>{escape(n)}</Key><Size>{len(self.bucket.objects[n][0])}</Size>"
            f"<LastModified>{self.bucket.objects[n][1]:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
            for n in shown
        )
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
        cut = f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>"
        return f"<ListBucketResult>{rows}{token}{cut}</ListBucketResult>".encode()

    def _say(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
        self.send_header("Last-Modified", f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S GMT}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def log_message(self, *_: Any) -> None:
        """Say nothing: a failing test shows what matters."""


@contextmanager
def serving() -> Iterator[Bucket]:
    """A bucket on this machine."""
    bucket = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": bucket}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield bucket
    finally:
        bucket.released.set()
        server.shutdown()
        server.server_close()
