"""Journeys in Chromium on the real processes that ``make run`` starts."""
