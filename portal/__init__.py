"""The vendor portal: sign-up, tiers, payment, usage and the back office that runs them."""
