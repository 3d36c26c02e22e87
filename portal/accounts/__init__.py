"""Opening and entering an account: register (user, vendor, subscription, credits at once) and the sign-in gate.

Owns no table of its own.
"""
