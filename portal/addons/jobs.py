"""What runs in the background for add-ons."""

from portal.addons import models  # noqa: F401 - the tables exist wherever the app does
