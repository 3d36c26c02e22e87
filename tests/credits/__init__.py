"""Tests of the credits room."""
