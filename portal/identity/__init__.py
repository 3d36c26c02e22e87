"""Who is who: users, vendors, memberships, staff roles, sessions, tokens, sign-in guesses.

Owns their tables; a vendor's standing is not stored here but derived in the subscriptions room.
"""
