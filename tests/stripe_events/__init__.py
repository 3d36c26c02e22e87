"""Tests of the inbox of Stripe's events."""
