"""What is sold: tiers with limits, features and included credits; prices, versioned; add-on products.

Owns their tables and the presets; pushes them to Stripe.
"""
