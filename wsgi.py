"""The WSGI entry: ``granian --interface wsgi wsgi:app``, ``flask --app wsgi …``."""

from portal.app import create_app

app = create_app()
