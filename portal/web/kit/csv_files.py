"""A table as a CSV file that spreadsheets read right: UTF-8 with a mark, cells that cannot be taken for formulas."""

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from flask import Response

from portal.reporting.invoice_list import defused

#: Bytes that a file keeps in memory; what is longer goes to a temporary file until it is sent.
IN_MEMORY = 2**20


def download(name: str, head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> Response:
    """The rows as ``name``, written before the answer begins (so that a failure is an error, not half a file).

    Text cells are defused; ``name`` is the file's name and must be of our own making.
    """
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed where it is sent
    text = io.TextIOWrapper(file, "utf-8-sig", newline="", write_through=True)
    table = csv.writer(text)
    table.writerow(head)
    table.writerows([defused(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    text.flush()
    text.detach()
    file.seek(0)
    response = Response(_sent(file), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _sent(file: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces; gone when it is sent or nobody listens any more."""
    with file:
        while piece := file.read(2**16):
            yield piece
