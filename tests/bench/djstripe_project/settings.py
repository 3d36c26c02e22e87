"""A Django project that holds dj-stripe and nothing else: no middleware, kept connections, no debug."""

import os
from urllib.parse import urlsplit

_database = urlsplit(os.environ["BENCH_DATABASE"])

SECRET_KEY = "only-for-the-bench-0123456789-abcdefghij"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "urls"
MIDDLEWARE: list[str] = []
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "djstripe"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
#: Tables straight from the models: the same schema in a second instead of half a minute.
MIGRATION_MODULES = dict.fromkeys(("contenttypes", "auth", "djstripe"))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _database.hostname,
        "PORT": _database.port,
        "USER": _database.username,
        "PASSWORD": _database.password or "",
        "NAME": _database.path.lstrip("/"),
        "CONN_MAX_AGE": None,
    }
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

STRIPE_LIVE_MODE = False
STRIPE_TEST_SECRET_KEY = os.environ["BENCH_STRIPE_KEY"]
STRIPE_API_HOST = os.environ["BENCH_STRIPE_URL"]
STRIPE_API_VERSION = "2026-10-28.endive"
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
if os.environ["BENCH_MODE"] == "deferred":
    DJSTRIPE_WEBHOOK_EVENT_CALLBACK = "wsgi.take_over"
