"""Prepaid units: an append-only ledger over lots that expire; grants happen exactly once.

Owns the credit tables.
"""
