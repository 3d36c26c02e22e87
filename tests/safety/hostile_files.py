"""What is handed in as a document and is none: each case with its name, and the name that it comes under."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial

from tests.safety import hostile_pdfs
from tests.safety.files import chunk, jpeg, painted, pdf, png, segment, sized, zeros

Make = Callable[[], bytes]
SCRIPT = b"<script>alert(document.domain)</script>"


def _zip(*names: str, content: bytes = b"x") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return out.getvalue()


def _zip_bomb() -> bytes:
    return _zip("a.xml", content=bytes(2**20))


def _zip_behind(document: bytes) -> bytes:
    """A document and an archive in one: the archive's comment ends as the PDF does."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("evil.html", SCRIPT)
        archive.comment = _end(document)
    return document + out.getvalue()


def _end(document: bytes) -> bytes:
    """Where its table is, once more."""
    return b"\nstartxref" + document.rpartition(b"startxref")[2]


#: Files of other kinds, by the name that they come under: extensions and content types say nothing here.
OTHERS: dict[str, bytes] = {
    "empty.pdf": b"",
    "space.pdf": b" \n" * 400,
    "page.pdf": b"<!doctype html><html><body onload=alert(1)>",
    "page.html.png": b"<html>" + SCRIPT + b"</html>",
    "page.xhtml": b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">' + SCRIPT + b"</html>",
    "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "picture.svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "picture.svgz": zlib.compress(b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', 9),
    "foreign.svg": b"<svg><foreignObject><iframe src=javascript:alert(1)></iframe></foreignObject></svg>",
    "entities.svg": b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
    "mail.eml": b"From: a@b.example\nContent-Type: text/html\n\n" + SCRIPT,
    "archive.mht": b"MIME-Version: 1.0\nContent-Type: multipart/related\n\n" + SCRIPT,
    "app.hta": b"<hta:application/>" + SCRIPT,
    "code.js": b"alert(1)",
    "code.php.jpg": b"<?php system($_GET['c']); ?>",
    "run.sh": b"#!/bin/sh\nrm -rf /\n",
    "run.bat": b"@echo off\r\ncalc\r\n",
    "run.ps1": b"Start-Process calc",
    "run.vbs": b'CreateObject("WScript.Shell").Run "calc"',
    "invoice.pdf.exe": b"MZ\x90\x00\x03" + bytes(200),
    "program.pdf": b"\x7fELF\x02\x01\x01" + bytes(200),
    "program.png": b"\xcf\xfa\xed\xfe" + bytes(200),
    "Klass.class": b"\xca\xfe\xba\xbe\x00\x00\x004" + bytes(100),
    "code.wasm": b"\x00asm\x01\x00\x00\x00",
    "link.lnk": b"L\x00\x00\x00\x01\x14\x02\x00" + bytes(80),
    "link.url": b"[InternetShortcut]\r\nURL=file://evil.example/x\r\n",
    "archive.zip": _zip("../../etc/cron.d/x"),
    "archive.jar": _zip("META-INF/MANIFEST.MF", "Evil.class"),
    "macros.docm": _zip("[Content_Types].xml", "word/vbaProject.bin"),
    "macros.xlsm": _zip("[Content_Types].xml", "xl/vbaProject.bin"),
    "letter.docx": _zip("[Content_Types].xml", "word/document.xml"),
    "letter.odt": _zip("mimetype", "content.xml", "Basic/Standard/Module1.xml"),
    "bomb.xlsx": _zip_bomb(),
    "macros.doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + b"VBA",
    "letter.rtf": rb"{\rtf1{\object\objocx{\*\objdata 0105000002}}}",
    "archive.7z": b"7z\xbc\xaf'\x1c" + bytes(40),
    "archive.rar": b"Rar!\x1a\x07\x01\x00" + bytes(40),
    "archive.gz": b"\x1f\x8b\x08\x00" + bytes(40),
    "archive.tar": b"../../x".ljust(257, b"\0") + b"ustar\x0000" + bytes(248),
    "image.iso": bytes(600) + b"CD001",
    "film.swf": b"CWS\x0b" + bytes(60),
    "picture.gif": b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
    "script.gif.png": b"GIF89a/*\x00" + b"*/=1;alert(1)",
    "picture.bmp": b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + bytes(44),
    "picture.tif": b"II*\x00\x08\x00\x00\x00\x00\x00",
    "picture.ico": b"\x00\x00\x01\x00\x01\x00" + bytes(30),
    "picture.psd": b"8BPS\x00\x01" + bytes(30),
    "picture.jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    "picture.heic": b"\x00\x00\x00\x18ftypheic" + bytes(30),
    "picture.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n",
    "picture.emf": b"\x01\x00\x00\x00l\x00\x00\x00" + bytes(60) + b" EMF",
    "data.sqlite": b"SQLite format 3\x00" + bytes(80),
    "table.csv": b'=cmd|"/c calc"!A1;1\n',
    "statement.xml": b'<!DOCTYPE d [<!ENTITY a "b">]><Document>&a;</Document>',
}
#: A document and something else in one file.
POLYGLOTS: dict[str, Make] = {
    "a page before a PDF": lambda: b"<html>" + SCRIPT + b"</html>\n" + pdf(),
    "a page in a PDF's second line": lambda: pdf(head=b"%PDF-1.7\n%<html>" + SCRIPT + b"\n"),
    "a drawing in a PDF's second line": lambda: pdf(head=b"%PDF-1.7\n%<SVG onload=alert(1)>\n"),
    "PHP in a PDF's second line": lambda: pdf(head=b"%PDF-1.7\n%<?php system($_GET['c']); ?>\n"),
    "a PDF and an archive": lambda: _zip_behind(pdf()),
    "an archive before a PDF": lambda: _zip("x.txt") + pdf(),
    "a PDF and a page behind it": lambda: pdf() + SCRIPT * 3 + _end(pdf()),
    "a PDF and a program behind it": lambda: pdf() + b"MZ\x90\x00" + bytes(1200) + _end(pdf()),
    "a PDF and a picture behind it": lambda: pdf() + png() + _end(pdf()),
    "a GIF before a PDF": lambda: b"GIF89a" + pdf(),
    "a line before a PDF": lambda: b"\n" + pdf(),
    "two PDFs, the second with a program": lambda: pdf() + pdf(root=b"/OpenAction" + hostile_pdfs.JS),
}


def _flooded(width: int, height: int) -> Make:
    return lambda: png(width, height, rows=b"\0")


#: Pictures that are cut, lie about themselves, or unpack to more than anybody would look at.
PICTURES: dict[str, Make] = {
    "a PNG's first bytes": lambda: png()[:8],
    "a PNG cut in its picture": lambda: painted("L", (400, 400), "PNG")[:-30],
    "a PNG without a picture": lambda: png()[:33] + chunk(b"IEND", b""),
    "a PNG with a wrong checksum": lambda: png().replace(b"IHDR\x00\x00\x00\x04", b"IHDR\x00\x00\x00\x05"),
    "a PNG of no width": _flooded(0, 5),
    "a PNG of 2,500 megapixels": _flooded(50_000, 50_000),
    "a PNG of 61 megapixels": _flooded(61_000, 1000),
    "a PNG of a line a thousand million long": _flooded(10**9, 1),
    "a PNG of more than can be": _flooded(2**31 - 1, 2**31 - 1),
    "a PNG with a negative size": lambda: png().replace(b"IHDR\x00", b"IHDR\xff"),
    "a PNG of an unknown kind": lambda: _patched(png(), 25, 9),
    "a PNG whose text unpacks to 70 MB": lambda: png(4, 3, chunk(b"zTXt", b"x\0\0" + zeros(70))),
    "a PNG whose texts unpack to 90 MB": lambda: png(4, 3, *[chunk(b"zTXt", b"x\0\0" + zeros(1))] * 90),
    "a PNG whose colours unpack to 90 MB": lambda: png(4, 3, chunk(b"iCCP", b"x\0\0" + zeros(90))),
    "a JPEG's first bytes": lambda: b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "a JPEG cut in its picture": lambda: painted("RGB", (400, 400), "JPEG", quality=95)[:-700],
    "a JPEG without a picture": lambda: jpeg()[: jpeg().index(b"\xff\xda")] + b"\xff\xd9",
    "a JPEG of 4,294 megapixels": lambda: sized(jpeg(), 65_535, 65_535),
    "a JPEG of 61 megapixels": lambda: sized(jpeg(), 61_000, 1000),
    "a JPEG of no height": lambda: sized(jpeg(), 24, 0),
    "a JPEG with a part longer than itself": lambda: jpeg(b"\xff\xe1\xff\xff"),
    "a JPEG with a script for its picture": lambda: b"\xff\xd8\xff\xe0" + SCRIPT * 20,
    "a PNG with a script for its picture": lambda: b"\x89PNG\r\n\x1a\n" + SCRIPT * 20,
    "a WebP's first bytes": lambda: painted("RGB", (9, 9), "WEBP")[:16],
    "a WebP cut in its picture": lambda: painted("RGB", (200, 200), "WEBP", lossless=True)[:-8],
    "a WebP of 268 megapixels": lambda: _webp_sized(16_383, 16_383),
    "a WebP of which nothing is one": lambda: b"RIFF\x20\x00\x00\x00WEBPVP8 " + SCRIPT,
    "a sound in a WebP's wrapping": lambda: b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28),
}


def _patched(data: bytes, place: int, value: int) -> bytes:
    """A PNG with another byte in its header, the checksum right."""
    header = bytearray(data[16:29])
    header[place - 16] = value
    return data[:8] + chunk(b"IHDR", bytes(header)) + data[33:]


def _webp_sized(width: int, height: int) -> bytes:
    """A lossless WebP that claims another size, 14 bits for each side."""
    data = bytearray(painted("RGB", (9, 9), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[at : at + 4], "little") & ~(2**28 - 1)
    data[at : at + 4] = (bits | (width - 1) | ((height - 1) << 14)).to_bytes(4, "little")
    return bytes(data)


def refused() -> dict[str, Make]:
    """Everything that must be refused, by name."""
    found: dict[str, Make] = {f"another file: {name}": partial(bytes, data) for name, data in OTHERS.items()}
    found |= {f"two in one: {name}": make for name, make in POLYGLOTS.items()}
    found |= {f"picture: {name}": make for name, make in PICTURES.items()}
    return found | hostile_pdfs.table()


_EXIF = b"Exif\0\0MM\0*\0\0\0\x08"
#: Pictures that are sound, and carry what nobody asked for: painted anew, nothing of it is kept.
STOWAWAYS: dict[str, Make] = {
    "PNG with a script behind it": lambda: png() + SCRIPT,
    "PNG with an archive behind it": lambda: png() + _zip("evil.html", content=SCRIPT),
    "PNG with a script as text": lambda: png(4, 3, chunk(b"tEXt", b"Comment\0" + SCRIPT)),
    "PNG with a script as packed text": lambda: png(4, 3, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(SCRIPT))),
    "PNG with a script as international text": lambda: png(
        4, 3, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + SCRIPT)
    ),
    "PNG with a script as colour profile": lambda: png(4, 3, chunk(b"iCCP", b"icc\0\0" + zlib.compress(SCRIPT * 9))),
    "PNG with a script as EXIF": lambda: png(4, 3, chunk(b"eXIf", b"MM\0*\0\0\0\x08" + SCRIPT)),
    "PNG with a part of its own": lambda: png(4, 3, chunk(b"evIl", SCRIPT)),
    "JPEG with a script behind it": lambda: jpeg() + SCRIPT,
    "JPEG with an archive behind it": lambda: jpeg() + _zip("evil.html", content=SCRIPT),
    "JPEG with a script as comment": lambda: jpeg(segment(0xFE, SCRIPT)),
    "JPEG with PHP as comment": lambda: jpeg(segment(0xFE, b"<?php echo '" + SCRIPT + b"'; ?>")),
    "JPEG with a script as XMP": lambda: jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SCRIPT)),
    "JPEG with a script as EXIF": lambda: jpeg(
        segment(0xE1, _EXIF + b"\0\x01\x01\x0e\0\x02\0\0\0'\0\0\0\x1a" + SCRIPT)
    ),
    "JPEG with broken EXIF": lambda: jpeg(segment(0xE1, _EXIF + b"\xff\xff" + SCRIPT)),
    "JPEG with EXIF that points outside": lambda: jpeg(segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xf0" + SCRIPT)),
    "JPEG with an orientation that is none": lambda: jpeg(
        segment(0xE1, _EXIF + b"\0\x01\x01\x12\0\x05\0\0\0\x01\xff\xff\xff\xff\0\0\0\0" + SCRIPT)
    ),
    "JPEG with a script as colour profile": lambda: jpeg(segment(0xE2, b"ICC_PROFILE\0\x01\x01" + SCRIPT * 9)),
    "JPEG with a script as thumbnail": lambda: jpeg(segment(0xE0, b"JFXX\0\x10" + SCRIPT)),
    "WebP with a script as EXIF": lambda: painted("RGB", (9, 9), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08" + SCRIPT),
    "WebP with a script as XMP": lambda: painted("RGB", (9, 9), "WEBP", xmp=SCRIPT),
    "WebP with a script as colour profile": lambda: painted("RGB", (9, 9), "WEBP", icc_profile=SCRIPT * 9),
}

#: Names under which a sound file comes, and what is shown of each.
NAMES: dict[str, str] = {
    "receipt.pdf": "receipt.png",
    "../../etc/passwd": "passwd.png",
    "..\\..\\windows\\system32\\x.dll": "x.png",
    "/etc/shadow": "shadow.png",
    "C:\\temp\\receipt.png": "receipt.png",
    "receipt.png\0.html": "receipt.png.png",
    "\0\0\0": "proof.png",
    "": "proof.png",
    ".": "proof.png",
    "..": "proof.png",
    "...": "proof.png",
    ".htaccess": "htaccess.png",
    "invoice.pdf.exe": "invoice.pdf.png",
    "page.html": "page.png",
    "photo\u202egnp.exe": "photognp.png",
    "zero\u200bwidth.png": "zerowidth.png",
    "a\r\nSet-Cookie: x=1.png": "aSet-Cookie: x=1.png",
    "a\"; filename=\"evil.exe": "a\"; filename=\"evil.png",
    "<img src=x onerror=alert(1)>.png": "<img src=x onerror=alert(1)>.png",
    "x" * 300 + ".png": "x" * 100 + ".png",
    "Überweisung März.png": "Überweisung März.png",
    "領収書.png": "領収書.png",
}  # fmt: skip
