"""The audit log: everything staff and vendors change, append-only.

Owns the table audit_log.
"""
