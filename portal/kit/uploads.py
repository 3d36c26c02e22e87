"""Is a file what it says, and harmless? Decided by its content, never by its name; images are painted anew."""

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portal.kit.errors import Invalid, TooLarge
from portal.kit.text import N_

if TYPE_CHECKING:
    from PIL.Image import Image

#: The most that a document may weigh.
LARGEST = 10 * 1024 * 1024
#: More pixels than a scanned page or a phone's photo has; a small file can claim a huge picture.
MOST_PIXELS = 60_000_000
#: A picture of more pixels is kept at half its width and height, which is still finer than any screen.
KEPT_PIXELS = 16_000_000
NO_DOCUMENT = N_("Please hand in a PDF, PNG or JPEG file that can be opened.")
ACTIVE_PDF = N_("This PDF contains programs or attachments. Please print it to a new PDF.")
UNREADABLE_PDF = N_("This PDF is locked or empty. Please hand in one that can be opened.")


@dataclass(frozen=True, slots=True)
class Document:
    """A file that may be kept: its kind by content, the ending for its name, and the bytes to keep."""

    media_type: str
    ending: str
    data: bytes


def document(data: bytes, *, field: str, largest: int = LARGEST) -> Document:
    """``data`` as a PDF, PNG or JPEG that is safe to keep and hand on; a WebP becomes one of the latter.

    Images are decoded and encoded anew, so that nothing else hides in them. Raises Invalid at ``field`` for anything
    else, TooLarge beyond ``largest`` bytes.
    """
    if len(data) > largest:
        raise TooLarge(fields={field: N_("This file is too large: 10 MB at most.")})
    if data.startswith(b"%PDF-"):
        return _pdf(data, field)
    if data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
        return _image(data, field)
    raise Invalid(fields={field: NO_DOCUMENT})


def _pdf(data: bytes, field: str) -> Document:
    from portal.kit import pdfs

    try:
        pdfs.examine(data)
    except pdfs.Active as error:
        raise Invalid(fields={field: ACTIVE_PDF}) from error
    except Exception as error:  # there is no end to what a reader may raise for a file that was made to break it
        raise Invalid(fields={field: UNREADABLE_PDF}) from error
    return Document("application/pdf", "pdf", data)


def _image(data: bytes, field: str) -> Document:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told about size by our own rule below
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as found:
                if not 0 < found.width * found.height <= MOST_PIXELS:
                    raise ValueError("no picture, or too many pixels")
                return _painted(found)
    except Exception as error:  # likewise
        raise Invalid(fields={field: NO_DOCUMENT}) from error


def _painted(found: "Image") -> Document:
    """The picture alone, upright: no comments, profiles or places where it was taken."""
    halved = found.width * found.height > KEPT_PIXELS
    if halved:
        found.draft(
            found.mode, (found.width // 2, found.height // 2)
        )  # a JPEG is then decoded at half its size at once
    claimed = found.width * found.height
    kind = "PNG" if found.format == "PNG" or found.has_transparency_data else "JPEG"
    plain = _eight_bits(_upright(found))
    if halved and claimed > KEPT_PIXELS:
        plain = plain.reduce(2)
    plain = plain.convert("RGBA" if found.has_transparency_data else "RGB")
    plain.info.clear()
    out = io.BytesIO()
    plain.save(out, kind, quality=88)
    return Document(f"image/{kind.lower()}", "png" if kind == "PNG" else "jpg", out.getvalue())


def _upright(found: "Image") -> "Image":
    """Turned as the camera was held; a note about it that cannot be read turns nothing."""
    from PIL import ImageOps

    found.load()
    try:
        return ImageOps.exif_transpose(found)
    except Exception:  # an EXIF block is a file format of its own, with as many ways to be broken
        return found.copy()


def _eight_bits(found: "Image") -> "Image":
    """Scanners write greys of 16 bits; converted plainly all of them would be white."""
    return found.convert("I").point(lambda grey: grey * (1 / 256)).convert("L") if found.mode[:1] == "I" else found
