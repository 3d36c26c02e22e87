"""Tests of the entitlements room."""
