"""The only code that speaks to the network: Stripe, mail."""
