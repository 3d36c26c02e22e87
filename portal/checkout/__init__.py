"""Orders, and where paid money becomes rights: fulfil can be called by anyone, any number of times.

Owns orders, order_items and purchases.
"""
