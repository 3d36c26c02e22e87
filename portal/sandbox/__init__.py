"""An offline Stripe for demonstrations and tests: Stripe's v1 API, its hosted pages and its webhooks.

It runs as its own process and is reached over HTTP only; nothing of the portal is imported here, and
the portal never imports it. It moves no real money.
"""
