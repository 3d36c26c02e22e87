"""Doors for the operator's staff."""
