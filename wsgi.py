"""The WSGI entry: ``granian --interface wsgi wsgi:app``, ``flask --app wsgi …``."""

import gc

gc.disable()  # what a start makes is there to stay: looking for garbage in it took a tenth of the start

from portal.app import create_app  # noqa: E402

app = create_app()
gc.freeze()  # and nobody need look through it again
gc.enable()
