"""Static files with content-hashed addresses, a year of caching and gzip, all from memory.

``asset("css/app.css")`` in a template gives ``/static/css/app.css?v=<hash>``. Two names are more than a file:
``css/app.css`` is every file of ``static/css`` joined in alphabetical order (cascade layers make the order safe), and
relative ``url(…)`` values in CSS become hashed addresses as well.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, abort, request
from werkzeug.security import safe_join

_BUNDLE = "css/app.css"
_CSS_URL = re.compile(r"""url\(["']?(?!data:|/|#|https?:)([^"')]+)["']?\)""")
_COMPRESSIBLE = ("text/", "application/javascript", "image/svg+xml", "application/json")
_FONT_TYPES = {".woff2": "font/woff2"}  # Python's own table knows it only from 3.14 on
_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class StaticFile:
    """One file as it is sent; ``stamp`` is the newest modification time of its sources, in nanoseconds."""

    body: bytes
    gzipped: bytes | None
    digest: str
    mimetype: str
    stamp: int


class StaticFiles:
    """Reads each file once and keeps it; in debug mode looks at the modification time first."""

    def __init__(self, folder: Path, prefix: str = "/static", watch: bool = False) -> None:
        self.folder = folder
        self.prefix = prefix
        self.watch = watch
        self._files: dict[str, StaticFile] = {}

    def url(self, name: str) -> str:
        """Address with content hash. Raises FileNotFoundError for a name that is not there, so a typo is seen."""
        return f"{self.prefix}/{name}?v={self.get(name).digest}"

    def get(self, name: str) -> StaticFile:
        """The file, from memory where possible. Raises FileNotFoundError."""
        known = self._files.get(name)
        if known and not (self.watch and known.stamp != self._stamp(name)):
            return known
        self._files[name] = fresh = self._read(name)
        return fresh

    def _sources(self, name: str) -> Iterator[Path]:
        if name == _BUNDLE:
            yield from sorted((self.folder / "css").glob("*.css"))
            return
        path = safe_join(str(self.folder), name)
        if path is None or not Path(path).is_file():
            raise FileNotFoundError(f"no static file {name!r}: run `python -m portal.cli.assets`, or check the name")
        yield Path(path)

    def _stamp(self, name: str) -> int:
        return max((path.stat().st_mtime_ns for path in self._sources(name)), default=0)

    def _read(self, name: str) -> StaticFile:
        body = b"\n".join(path.read_bytes() for path in self._sources(name))
        mimetype = mimetypes.guess_type(name)[0] or _FONT_TYPES.get(Path(name).suffix, "application/octet-stream")
        if mimetype == "text/css":
            body = self._hash_urls(name, body.decode("utf-8")).encode("utf-8")
        # mtime=0 keeps the compressed bytes the same on every machine behind the load balancer
        packed = gzip.compress(body, 9, mtime=0) if mimetype.startswith(_COMPRESSIBLE) else None
        digest = hashlib.sha256(body).hexdigest()[:12]
        return StaticFile(body, packed, digest, mimetype, self._stamp(name))

    def _hash_urls(self, name: str, css: str) -> str:
        def replace(match: re.Match[str]) -> str:
            target = (self.folder / name).parent.joinpath(match[1]).resolve()
            return f'url("{self.url(target.relative_to(self.folder.resolve()).as_posix())}")'

        return _CSS_URL.sub(replace, css)


def serve(files: StaticFiles, name: str) -> Response:
    """Answer for ``/static/<name>``: cached for a year only under the right hash, else checked by ETag every time."""
    try:
        file = files.get(name)
    except FileNotFoundError:
        abort(404)
    zipped = file.gzipped is not None and "gzip" in request.headers.get("Accept-Encoding", "")
    response = Response(file.gzipped if zipped else file.body, mimetype=file.mimetype)
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    if file.gzipped is not None:
        response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = _YEAR if request.args.get("v") == file.digest else "no-cache"
    response.set_etag(file.digest + ("-gz" if zipped else ""))
    response.make_conditional(request)
    return response


def init_app(app: Flask) -> None:
    """Take over Flask's ``static`` endpoint and give templates the global ``asset(name)``."""
    folder = Path(app.static_folder or Path(app.root_path) / "static")
    files = StaticFiles(folder, app.static_url_path or "/static", watch=app.debug)

    def static(filename: str) -> Response:
        return serve(files, filename)

    if "static" in app.view_functions:
        app.view_functions["static"] = static
    else:
        app.add_url_rule("/static/<path:filename>", endpoint="static", view_func=static)
    app.extensions["static_files"] = files
    app.jinja_env.globals["asset"] = files.url
