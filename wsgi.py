"""The WSGI entry: ``granian --interface wsgi wsgi:app``, ``flask --app wsgi …``."""

import gc
import os
from pathlib import Path

gc.disable()  # what a start makes is there to stay: looking for garbage in it took a tenth of the start

from portal.app import create_app  # noqa: E402

if os.environ.get("FLASK_RUN_FROM_CLI"):  # a command: typed beside `make run`, it is told the same
    from portal.cli import beside

    beside.adopt(os.environ, Path(__file__).resolve().parent)

app = create_app()
gc.freeze()  # and nobody need look through it again
gc.enable()
