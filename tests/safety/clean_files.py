"""Sound documents as many programs write them: every one must be taken."""

import io
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

from tests.safety.files import chunk, flate, jpeg, packed_pdf, painted, pdf, png, segment, stream, updated

Make = Callable[[], bytes]
_LINK = b"/Annots[<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/URI/URI(%s)>>>>]"


@cache
def _typst(standard: Any = "1.7") -> bytes:
    """A page with words, set by typst as our own invoices are."""
    import typst

    text = b"""#set document(title: "Receipt", date: datetime(year: 2027, month: 1, day: 15))
#set page(width: 9cm, height: 9cm)
Paid: 99.00 #link("https://bank.example")"""
    return bytes(typst.compile(text, format="pdf", pdf_standards=[standard]))


def _pillow(mode: str, **options: object) -> Make:
    return lambda: painted(mode, (40, 30), "PDF", **options)


def _pypdf(change: Callable[[PdfWriter], object]) -> Make:
    def make() -> bytes:
        writer, out = (
            PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(flate(b"BT ET"), page=b"/Contents 4 0 R")))),
            io.BytesIO(),
        )
        change(writer)
        writer.write(out)
        return out.getvalue()

    return make


def _scanned() -> bytes:
    """A page that is a photo, as scanners and phones make it."""
    photo = painted("L", (60, 40), "JPEG")
    entries = (
        b"/Type/XObject/Subtype/Image/Width 60/Height 40/BitsPerComponent 8/ColorSpace/DeviceGray/Filter/DCTDecode"
    )
    return pdf(stream(entries, photo), page=b"/Resources<</XObject<</Im 4 0 R>>>>")


def _frames(kind: str) -> bytes:
    out = io.BytesIO()
    pictures = [Image.new("RGB", (12, 9), colour) for colour in ("white", "red", "blue")]
    pictures[0].save(out, kind, save_all=True, append_images=pictures[1:])
    return out.getvalue()


def _turned() -> bytes:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    return jpeg(segment(0xE1, exif), size=(60, 20))


_FIELD = b"/AcroForm<</Fields[4 0 R]/DA(/Helv 0 Tf)>>"
PDFS: dict[str, Make] = {
    "typst, 1.7": _typst,
    "typst, 2.0": lambda: _typst("2.0"),
    "typst, PDF/A-2b": lambda: _typst("a-2b"),
    "typst, PDF/A-4": lambda: _typst("a-4"),
    "Pillow, colours": _pillow("RGB"),
    "Pillow, grey": _pillow("L"),
    "Pillow, black and white": _pillow("1"),
    "Pillow, for printers": _pillow("CMYK"),
    "Pillow, with a title": _pillow("RGB", title="Receipt", producer="A bank"),
    "pypdf": _pypdf(lambda writer: None),
    "pypdf, three pages": _pypdf(lambda writer: [writer.add_blank_page(99, 99) for _ in range(2)]),
    "pypdf, with bookmarks": _pypdf(lambda writer: writer.add_outline_item(title="Receipt", page_number=0)),
    "pypdf, with facts": _pypdf(lambda writer: writer.add_metadata({"/Title": "See /JS (and so on)", "/Author": "B"})),
    "pypdf, opened at a page": _pypdf(
        lambda writer: writer.root_object.update({NameObject("/OpenAction"): _goto(writer)})
    ),
    "pypdf, packed": _pypdf(lambda writer: writer.pages[0].compress_content_streams()),
    "a scanner's": _scanned,
    "objects in streams": lambda: packed_pdf({4: b"<</Title(x)>>"}),
    "of 1993": lambda: pdf(head=b"%PDF-1.0\n"),
    "signed afterwards": lambda: updated(pdf(), 4, b"<</Type/Sig/Filter/Adobe.PPKLite/Contents<00>>>"),
    "with a link": lambda: pdf(page=_LINK % b"https://bank.example/receipt?id=1"),
    "with a mail address": lambda: pdf(page=_LINK % b"mailto:info@bank.example"),
    "with a link inside": lambda: pdf(page=b"/Annots[<</Subtype/Link/Rect[0 0 9 9]/A<</S/GoTo/D[3 0 R/Fit]>>>>]"),
    "with a note": lambda: pdf(page=b"/Annots[<</Subtype/Text/Rect[0 0 9 9]/Contents(paid)>>]"),
    "with a field filled in": lambda: pdf(b"<</FT/Tx/T(name)/V(Ada)>>", root=_FIELD),
    "with lines ended as in Windows": lambda: pdf().replace(b"%%EOF\n", b"%%EOF\r\n"),
    "with zeros behind it": lambda: pdf() + bytes(600),
    "with XMP": lambda: pdf(
        stream(b"/Type/Metadata/Subtype/XML", b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"/>'),
        root=b"/Metadata 4 0 R",
    ),
}  # fmt: skip
PICTURES: dict[str, Make] = {
    "JPEG": jpeg,
    "JPEG, grey": lambda: jpeg(mode="L"),
    "JPEG, for printers": lambda: jpeg(mode="CMYK"),
    "JPEG, piece by piece": lambda: jpeg(progressive=True),
    "JPEG, poor": lambda: jpeg(quality=1),
    "JPEG, fine": lambda: jpeg(quality=100, subsampling=0),
    "JPEG, turned by the phone": _turned,
    "JPEG, two in one": lambda: _frames("MPO"),
    "JPEG, one pixel": lambda: jpeg(size=(1, 1)),
    "JPEG, a phone's 12 megapixels": lambda: jpeg(size=(4000, 3000), mode="L", quality=20),
    "PNG": png,
    "PNG, black and white": lambda: painted("1", (9, 9), "PNG"),
    "PNG, grey": lambda: painted("L", (9, 9), "PNG"),
    "PNG, 16 bits grey": lambda: painted("I;16", (9, 9), "PNG"),
    "PNG, 16 bits coloured": lambda: png(4, 3, bits=16, rows=(b"\0" + b"\xff" * 24) * 3),
    "PNG, grey and clear": lambda: painted("LA", (9, 9), "PNG"),
    "PNG, of a few colours": lambda: painted("P", (9, 9), "PNG"),
    "PNG, of a few colours, one clear": lambda: painted("P", (9, 9), "PNG", transparency=0),
    "PNG, clear": lambda: painted("RGBA", (9, 9), "PNG"),
    "PNG, interlaced": lambda: png(1, 1, interlaced=1, rows=b"\0\xff\xff\xff"),
    "PNG, moving": lambda: _frames("PNG"),
    "PNG, with a date": lambda: png(4, 3, chunk(b"tIME", struct.pack(">HBBBBB", 2027, 1, 15, 12, 0, 0))),
    "PNG, a long screenshot": lambda: painted("L", (300, 9000), "PNG"),
    "WebP": lambda: painted("RGB", (9, 9), "WEBP"),
    "WebP, exact": lambda: painted("RGB", (9, 9), "WEBP", lossless=True),
    "WebP, clear": lambda: painted("RGBA", (9, 9), "WEBP"),
    "WebP, moving": lambda: _frames("WEBP"),
}


def _goto(writer: PdfWriter) -> DictionaryObject:
    kind = {NameObject("/S"): NameObject("/GoTo"), NameObject("/D"): TextStringObject("first")}
    return DictionaryObject(kind)


def accepted() -> dict[str, Make]:
    """Everything that must be taken, by name."""
    return {f"PDF {name}": make for name, make in PDFS.items()} | PICTURES
