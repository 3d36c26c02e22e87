"""The inbox of Stripe's events: verify, store once, dispatch, reconcile.

Owns webhook_events.
"""
