"""Tests of reads across rooms."""
