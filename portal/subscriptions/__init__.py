"""The life of a subscription: trial, paid periods, tier changes, failure; it alone sets a vendor's standing.

Owns vendor_subscriptions, scheduled_changes, tier_changes, subscription_events and trials.
"""
