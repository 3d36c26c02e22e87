"""The offline Stripe, tried through the real SDK over real HTTP."""
