"""Doors for everybody: pricing, sign-up, sign-in."""
