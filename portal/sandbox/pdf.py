"""A small, valid PDF of one page, written by hand: text lines in Helvetica."""

PAGE = (595, 842)  # A4 in points
TOP, LEFT, LEADING = 780, 60, 18


def page(lines: list[str]) -> bytes:
    """A PDF with these lines of text; what Helvetica's encoding lacks becomes a question mark."""
    drawn = [f"BT /F1 11 Tf {LEFT} {TOP} Td {LEADING} TL".encode()]
    for line in lines:
        drawn.append(b"(" + _escaped(line) + b") Tj T*")
    drawn.append(b"ET")
    return _assemble(b"\n".join(drawn))


def _escaped(text: str) -> bytes:
    raw = text.encode("cp1252", "replace")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _assemble(content: bytes) -> bytes:
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R " % PAGE
        + b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + head + table + tail
