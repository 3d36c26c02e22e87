"""Files put together byte by byte, so that a test can say exactly what is wrong with them."""

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from PIL import Image

_PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
HEAD = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


def pdf(
    *more: bytes,
    root: bytes = b"",
    page: bytes = b"",
    trailer: bytes = b"",
    head: bytes = HEAD,
    pages: bytes = _PAGES,
    box: bytes = b"[0 0 200 200]",
) -> bytes:
    """One page; ``more`` are objects from number 4 on, the others go into the dictionary of that name."""
    shown = b"<</Type/Page/Parent 2 0 R/MediaBox" + box + page + b">>"
    return _written((b"<</Type/Catalog/Pages 2 0 R" + root + b">>", pages, shown, *more), trailer, head)


def _written(objects: tuple[bytes, ...], trailer: bytes, head: bytes) -> bytes:
    out, places = bytearray(head), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def stream(entries: bytes, data: bytes) -> bytes:
    """A stream object."""
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (entries, len(data), data)


def flate(data: bytes, entries: bytes = b"") -> bytes:
    """A stream that is packed."""
    return stream(b"/Filter/FlateDecode" + entries, zlib.compress(data))


def packed_pdf(objects: Mapping[int, bytes], *, listed: bool = True) -> bytes:
    """One page whose objects lie in an object stream (number 20), found by a reference stream (number 21).

    ``objects`` replace or join 1 (catalog), 2 (pages), 3 (page). Not ``listed``: those from 4 on stand in no table.
    """
    whole = {1: b"<</Type/Catalog/Pages 2 0 R>>", 2: _PAGES, 3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"}
    whole |= objects
    heads, bodies = b"", b""
    for number, body in whole.items():
        heads += b"%d %d " % (number, len(bodies))
        bodies += body + b" "
    out = bytearray(HEAD)
    at = len(out)
    out += b"20 0 obj\n%s\nendobj\n" % flate(heads + bodies, b"/Type/ObjStm/N %d/First %d" % (len(whole), len(heads)))
    start = len(out)
    rows = [(0, 0, 65535)] * 22
    for place, number in enumerate(whole):
        if listed or number < 4:
            rows[number] = (2, 20, place)
    rows[20], rows[21] = (1, at, 0), (1, start, 0)
    table = b"".join(struct.pack(">BIH", *row) for row in rows)
    out += b"21 0 obj\n%s\nendobj\n" % flate(table, b"/Type/XRef/W[1 4 2]/Size 22/Root 1 0 R")
    return bytes(out) + b"startxref\n%d\n%%%%EOF\n" % start


def updated(before: bytes, number: int, body: bytes) -> bytes:
    """An incremental update: one object anew, the older part untouched."""
    previous = int(before.rpartition(b"startxref\n")[2].split()[0])
    at = len(before)
    out = before + b"%d 0 obj\n%s\nendobj\n" % (number, body)
    out += b"xref\n%d 1\n%010d 00000 n \n" % (number, at)
    start = out.rindex(b"xref\n%d 1" % number)
    return out + b"trailer\n<</Size 30/Root 1 0 R/Prev %d>>\nstartxref\n%d\n%%%%EOF\n" % (previous, start)


def zeros(megabytes: int) -> bytes:
    """That many zeros as a deflate stream of about a thousandth of it, put together without making them."""
    pack = zlib.compressobj(9)
    head = pack.compress(bytes(2**20)) + pack.flush(zlib.Z_FULL_FLUSH)
    once = pack.compress(bytes(2**20)) + pack.flush(zlib.Z_FULL_FLUSH)
    return head + once * (megabytes - 1) + b"\x03\x00"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int = 4, height: int = 3, *chunks: bytes, bits: int = 8, colour: int = 2, rows: bytes | None = None,
    interlaced: int = 0,
) -> bytes:  # fmt: skip
    """A PNG with ``chunks`` before its picture; ``rows`` as they are packed (white where none are given)."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    plain = rows if rows is not None else (b"\0" + b"\xff" * -(-width * samples * bits // 8)) * height
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(plain)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(*segments: bytes, mode: str = "RGB", size: tuple[int, int] = (24, 16), **options: Any) -> bytes:
    """A JPEG with ``segments`` right after its beginning."""
    out = painted(mode, size, "JPEG", **options)
    return out[:2] + b"".join(segments) + out[2:]


def segment(marker: int, data: bytes) -> bytes:
    """A part of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def sized(data: bytes, width: int, height: int) -> bytes:
    """A JPEG that claims another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def painted(mode: str, size: tuple[int, int], kind: str, **options: Any) -> bytes:
    """A picture as Pillow writes it."""
    out = io.BytesIO()
    white: Any = {"CMYK": (0, 0, 0, 0), "I;16": 60_000}.get(mode, "white")
    image = Image.new(mode, size, white)
    image.save(out, kind, **options)
    return out.getvalue()
