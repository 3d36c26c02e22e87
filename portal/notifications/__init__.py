"""Mails (each once, by a job, with a stable Message-ID); later the portal's own notices and preferences.

Owns the table sent_mails. Recipients arrive as values: this room knows no users.
"""
