"""Doors for a vendor's people."""
