"""Is a PDF a document and nothing else? It is kept to the byte, since it may be signed: it is refused or taken whole.

Readers differ in what they make of a broken or updated file. Therefore every object that any table of the file lists is
looked at, whether the page needs it or not, and the bytes outside of all tables are searched by name as well.
"""

import io
import re
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdf import PdfReader

#: Objects looked through. A scanned receipt has a few dozen.
MOST_OBJECTS, MOST_PARTS = 20_000, 500_000
MOST_PAGES = 500
#: Bytes that all streams may unpack to: a coloured page of a fine scanner (600 dpi) has 104 million.
MOST_UNPACKED = 120_000_000
#: Pixels of one picture, and points of one side of a page (the longest that the format knew for long is 14,400).
MOST_PIXELS, LONGEST_SIDE = 240_000_000, 50_000
#: Bytes of a stream in one of the packings that cannot be measured quickly; nobody has used them for twenty years.
MOST_OLD = 100_000

#: What a document does not need: programs, files within, forms that fetch. A view to open with is no program.
_ACTIVE = frozenset(
    ("/JS", "/JavaScript", "/Launch", "/EmbeddedFile", "/EmbeddedFiles", "/EF", "/Collection", "/RichMedia",
     "/RichMediaContent", "/RichMediaExecute", "/XFA", "/SubmitForm", "/ImportData", "/GoToR", "/GoToE", "/GoTo3DView",
     "/Movie", "/Sound", "/Rendition", "/OnInstantiate")
)  # fmt: skip
_ACTIVE_SUBTYPES = frozenset(
    ("/FileAttachment", "/Movie", "/Sound", "/Screen", "/RichMedia", "/3D", "/U3D", "/PRC", "/PS")
)
#: The same in bytes that no table lists; short names would be found by chance among packed ones.
_NAMED = re.compile(
    rb"/(?:JavaScript|Launch|EmbeddedFiles?|FileAttachment|RichMedia\w*|SubmitForm|ImportData|Rendition|OnInstantiate)"
    rb"(?![A-Za-z])"
)
_ESCAPED = re.compile(rb"#([0-9a-fA-F]{2})")
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
#: Bytes before a stream in which its dictionary stands.
_DICTIONARY = 1000
#: What makes a browser or a server see a page in it.
_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body|script|svg|iframe|img|\?php|\?=)", re.I)
#: What stands behind the last object: tables, trailers, where the table is, remarks.
_BEHIND = re.compile(
    rb"xref\s+(?:\d+\s+\d+\s+(?:\d{10}\s+\d{5}\s+[nf]\s*)*)+|trailer\s*<<.*?>>\s*(?=(?:%[^\r\n]*\s*)*startxref)|startxref\s+\d+"
    rb"|%[^\r\n]*|[\s\x00]+",
    re.S,
)
#: Dictionaries or lists within each other, a hundred deep.
_DEEP = re.compile(rb"(?:<<[^<>]{0,80}){100}|(?:\[[^\[\]]{0,80}){100}")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.I)
_SCHEMES = frozenset(("http", "https", "mailto", "tel"))
_PLAIN, _MEASURED, _OLD = ("/ASCII85Decode", "/ASCIIHexDecode"), "/FlateDecode", ("/LZWDecode", "/RunLengthDecode")
_PICTURES = ("/DCTDecode", "/JPXDecode", "/JBIG2Decode", "/CCITTFaxDecode")


class NotReadable(ValueError):
    """It is cut, broken, locked, too large for what it shows, or not only a PDF."""


class Active(ValueError):
    """It holds programs or files, or fetches something when it is opened."""


def examine(data: bytes) -> None:
    """Raise Active or NotReadable for what is no harmless document; whatever the reader raises means the latter."""
    from pypdf import PdfReader

    if b"%%EOF" not in data[-2048:] or _PAGE.search(data, 0, 1024) or _goes_on(data):
        raise NotReadable
    if _DEEP.search(data):
        raise NotReadable
    _search(data)
    reader = PdfReader(io.BytesIO(data), strict=False)
    if reader.is_encrypted:
        raise NotReadable
    _walk(reader)
    _look_at_pages(reader)


def _goes_on(data: bytes) -> bool:
    """Is there something else behind it? A ZIP is read from its end, so that one behind a PDF opens as well."""
    import zipfile

    if _BEHIND.sub(b"", data.rpartition(b"endobj")[2]):
        return True
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return bool(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def _search(data: bytes) -> None:
    """Names of what is active, wherever they stand, escaped or not, and in object streams that no table lists."""
    if _NAMED.search(_unescaped(data)):
        raise Active
    room = MOST_UNPACKED
    for found in _STREAM.finditer(data):
        before = _unescaped(data[max(0, found.start() - _DICTIONARY) : found.start()])
        if b"/ObjStm" in before.rpartition(b"endobj")[2]:
            objects = _unpacked(data[found.end() :], room)
            room -= len(objects)
            if _NAMED.search(_unescaped(objects)):
                raise Active


def _unescaped(data: bytes) -> bytes:
    """Names as they are meant: ``/J#53`` is ``/JS``."""
    return _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), data)


def _unpacked(data: bytes, room: int) -> bytes:
    """What a deflate stream at the beginning of ``data`` unpacks to; nothing where there is none. Measured before it is
    kept, so that a bomb costs no memory.
    """
    unpacked_to(data, room)
    try:
        return zlib.decompressobj().decompress(data)
    except zlib.error:
        return b""


def unpacked_to(data: bytes, room: int) -> int:
    """Bytes that a deflate stream unpacks to. NotReadable beyond ``room``; what is broken counts as far as it goes."""
    unpack, size, rest = zlib.decompressobj(), 0, data
    while rest and not unpack.eof:
        try:
            size += len(unpack.decompress(rest, 2**20))
        except zlib.error:
            return size
        if size > room:
            raise NotReadable
        rest = unpack.unconsumed_tail
    return size


def _walk(reader: "PdfReader") -> None:
    """Every object of every table, those packed into streams too, where a search through the bytes would miss them."""
    from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, StreamObject

    listed = [(number, generation) for generation, table in reader.xref.items() for number in table]
    listed += [(number, 0) for number in reader.xref_objStm]
    if len(listed) > MOST_OBJECTS:
        raise NotReadable
    to_see: list[Any] = [reader.trailer, *(IndirectObject(number, generation, reader) for number, generation in listed)]
    seen: set[tuple[int, int]] = set()
    room, looked_at = MOST_UNPACKED, 0
    while to_see:
        found, looked_at = to_see.pop(), looked_at + 1
        if looked_at > MOST_PARTS:
            raise NotReadable
        if isinstance(found, IndirectObject):
            place = (found.idnum, found.generation)
            if place in seen:
                continue
            seen.add(place)
            found = found.get_object()
        if isinstance(found, StreamObject):
            room -= _stream(found, room)
        if isinstance(found, DictionaryObject):
            _dictionary(found)
            to_see.extend(found.raw_get(key) for key in found)
        elif isinstance(found, ArrayObject):
            to_see.extend(list.__iter__(found))


def _dictionary(found: Any) -> None:
    if _ACTIVE.intersection(found) or any(_name(found, key) in _ACTIVE for key in ("/S", "/Type")):
        raise Active
    subtype = _name(found, "/Subtype")
    if subtype in _ACTIVE_SUBTYPES or (subtype == "/Form" and "/Ref" in found) or _leads_astray(_value(found, "/URI")):
        raise Active
    if subtype == "/Image" and not 0 < _whole(found, "/Width") * _whole(found, "/Height") <= MOST_PIXELS:
        raise NotReadable
    if "/MediaBox" in found and not _is_page_sized(found):
        raise NotReadable


def _value(found: Any, key: str) -> Any:
    """What stands under a key, references followed (the reader's own ``get`` does not); None where nothing does."""
    return found[key] if key in found else None  # noqa: SIM401 - get does not follow references


def _name(found: Any, key: str) -> str:
    value = _value(found, key)
    return value if isinstance(value, str) else ""


def _whole(found: Any, key: str) -> int:
    value = _value(found, key)
    return max(value, 0) if isinstance(value, int) else 0


def _leads_astray(link: Any) -> bool:
    """A link that is no link to a page or a mail address: a program, a file, a share of somebody's network."""
    if isinstance(link, bytes):
        link = link.decode("latin-1")
    if not isinstance(link, str):
        return False
    plain = "".join(c for c in link if c > " ")
    scheme = _SCHEME.match(plain)
    return plain.startswith(("\\\\", "//")) or (scheme is not None and scheme[1].lower() not in _SCHEMES)


def _is_page_sized(page: Any) -> bool:
    left, bottom, right, top = (float(each.get_object()) for each in page["/MediaBox"])
    unit = float(_value(page, "/UserUnit") or 1)
    return max(abs(right - left), abs(top - bottom)) * unit <= LONGEST_SIDE


def _stream(found: Any, room: int) -> int:
    """How many bytes it unpacks to. Active for one that lies in another file, NotReadable for a bomb."""
    if "/F" in found:
        raise Active
    named = _value(found, "/Filter") or []
    filters = [str(each.get_object()) for each in named] if isinstance(named, list) else [str(named)]
    packings = [each for each in filters if each not in _PLAIN]
    if len(filters) > 3 or sum(each not in _PICTURES for each in packings) > 1:
        raise NotReadable
    if any(each not in (_MEASURED, *_OLD, *_PICTURES) for each in packings):
        raise NotReadable
    data = _written_plain(found._data, filters)
    if packings and packings[0] in _OLD and len(data) > MOST_OLD:
        raise NotReadable
    return unpacked_to(data, room) if packings[:1] == [_MEASURED] else len(data)


def _written_plain(data: bytes, filters: list[str]) -> bytes:
    """Without what only writes bytes as letters, which comes first where it comes at all."""
    from pypdf.filters import ASCII85Decode, ASCIIHexDecode

    for each in filters:
        if each not in _PLAIN:
            break
        data = (ASCII85Decode if each == _PLAIN[0] else ASCIIHexDecode).decode(data)
    return data


def _look_at_pages(reader: "PdfReader") -> None:
    """There are some, as many as the file says, and what they show is there."""
    from pypdf.generic import DictionaryObject, NullObject

    catalog = _value(reader.trailer, "/Root")
    tree = _value(catalog, "/Pages") if isinstance(catalog, DictionaryObject) else None
    if not isinstance(tree, DictionaryObject):
        raise NotReadable
    count = len(reader.pages)
    if not 0 < count <= MOST_PAGES or _value(tree, "/Count") != count:
        raise NotReadable
    for page in reader.pages:
        if "/Contents" in page and isinstance(_value(page, "/Contents"), NullObject | None):
            raise NotReadable
