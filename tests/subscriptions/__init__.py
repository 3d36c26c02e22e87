"""Tests of the life of a subscription."""
