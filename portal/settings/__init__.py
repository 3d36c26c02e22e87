"""What the operator may change at run time: name, looks, legal data, policies.

Owns the table settings.
"""
