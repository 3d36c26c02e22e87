"""Tests of bad days: killed processes, lost queues."""
