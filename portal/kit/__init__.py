"""The kit: what every room stands on (database, unit of work, outbox, money, clocks, errors).

Owns the tables of the outbox, of periodic tasks and of idempotency keys; knows nothing of vendors' business.
"""
