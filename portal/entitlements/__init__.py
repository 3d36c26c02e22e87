"""What a vendor may do now: versioned grants, written by the rooms above, read by pages and the gate.

Owns entitlement_grants and entitlement_versions.
"""
