"""Is a file what it says, and harmless? Decided by its content, never by its name; images are painted anew."""

import io
import warnings
from dataclasses import dataclass

from portal.kit.errors import Invalid, TooLarge
from portal.kit.text import N_

#: The most that a document may weigh.
LARGEST = 10 * 1024 * 1024
#: More pixels than a scanned page has in any sense; a small file can claim a huge picture.
MOST_PIXELS = 60_000_000
#: Objects looked through in a PDF. A scanned receipt has a few dozen.
MOST_OBJECTS = 20_000
NO_DOCUMENT = N_("Please hand in a PDF, PNG or JPEG file that can be opened.")
ACTIVE_PDF = N_("This PDF contains programs or attachments. Please print it to a new PDF.")
#: What a document does not need: programs, files within, forms that fetch. A view to open with is no program.
_ACTIVE = frozenset(
    ("/JS", "/JavaScript", "/Launch", "/EmbeddedFile", "/EmbeddedFiles", "/RichMedia", "/XFA", "/SubmitForm",
     "/ImportData", "/GoToR", "/GoToE", "/Movie", "/Sound", "/Rendition")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """A file that may be kept: its kind by content, the ending for its name, and the bytes to keep."""

    media_type: str
    ending: str
    data: bytes


def document(data: bytes, *, field: str, largest: int = LARGEST) -> Document:
    """``data`` as a PDF, PNG or JPEG that is safe to keep and hand on.

    Images are decoded and encoded anew, so that nothing else hides in them. Raises Invalid at ``field`` for anything
    else, TooLarge beyond ``largest`` bytes.
    """
    if len(data) > largest:
        raise TooLarge(fields={field: N_("This file is too large: 10 MB at most.")})
    if data.startswith(b"%PDF-"):
        return _pdf(data, field)
    if data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return _image(data, field)
    raise Invalid(fields={field: NO_DOCUMENT})


def _image(data: bytes, field: str) -> Document:
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told about size by our own rule below
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as found:
                if found.width * found.height > MOST_PIXELS:
                    raise ValueError("too many pixels")
                found.load()
                kind = "PNG" if found.format == "PNG" else "JPEG"
                upright = ImageOps.exif_transpose(found)
        out = io.BytesIO()
        upright.convert("RGBA" if kind == "PNG" else "RGB").save(out, kind, quality=88)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, MemoryError) as error:
        raise Invalid(fields={field: NO_DOCUMENT}) from error
    return Document(f"image/{kind.lower()}", "png" if kind == "PNG" else "jpg", out.getvalue())


def _pdf(data: bytes, field: str) -> Document:
    """Every object is looked at, also those packed into streams, where a search through the bytes would miss them."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    if b"%%EOF" not in data[-2048:]:
        raise Invalid(fields={field: NO_DOCUMENT})
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted or not 0 < len(reader.pages) <= 500:
            raise Invalid(fields={field: N_("This PDF is locked or empty. Please hand in one that can be opened.")})
        if _is_active(reader):
            raise Invalid(
                fields={field: N_("This PDF contains programs or attachments. Please print it to a new PDF.")}
            )
    except Invalid:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError, MemoryError) as error:
        raise Invalid(fields={field: NO_DOCUMENT}) from error
    return Document("application/pdf", "pdf", data)


def _is_active(reader: object) -> bool:
    """Walk from the trailer; far too many objects count as active too."""
    from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject

    seen: set[tuple[int, int]] = set()
    to_see: list[object] = [reader.trailer]  # type: ignore[attr-defined]
    looked_at = 0
    while to_see:
        found, looked_at = to_see.pop(), looked_at + 1
        if looked_at > MOST_OBJECTS * 50 or len(seen) > MOST_OBJECTS:
            return True
        if isinstance(found, IndirectObject):
            if (found.idnum, found.generation) in seen:
                continue
            seen.add((found.idnum, found.generation))
            found = found.get_object()
        if isinstance(found, DictionaryObject):
            if _ACTIVE.intersection(found) or found.get("/S") in _ACTIVE or found.get("/Type") in _ACTIVE:
                return True
            to_see.extend(found.raw_get(key) for key in found)
        elif isinstance(found, ArrayObject):
            to_see.extend(list.__iter__(found))
    return False
