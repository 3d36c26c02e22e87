"""The only code that speaks to the network: Stripe, mail, private files, DNS, registrar, mailboxes."""

from config import Config
from portal.gateways import dns, mail, mailboxes, outgoing, registrar, storage, stripe


def configure(config: Config) -> None:
    """Make the gateways that the environment names; rooms ask for the current one when they need it."""
    stripe.configure(
        secret_key=config.stripe_secret_key.get_secret_value(),
        api_base=config.stripe_api_base,
        max_retries=config.stripe_max_retries,
    )
    mail.configure(config)
    storage.configure(config)
    dns.configure(config)
    registrar.configure(config)
    mailboxes.configure(config)
    outgoing.configure(config)
