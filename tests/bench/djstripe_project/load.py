"""Make the tables, register the endpoint, and fetch the named subscriptions with all that they point to."""

import os
import sys

import django  # type: ignore[import-not-found]


def main(subscriptions: list[str]) -> None:
    """Raises what dj-stripe raises when it cannot store what Stripe answers."""
    django.setup()
    from django.conf import settings  # type: ignore[import-not-found]
    from django.core.management import call_command  # type: ignore[import-not-found]
    from djstripe.models import Account, Customer, Subscription, WebhookEndpoint  # type: ignore[import-not-found]

    call_command("migrate", run_syncdb=True, verbosity=0)
    account = Account.get_or_retrieve_for_api_key(os.environ["BENCH_STRIPE_KEY"])
    WebhookEndpoint.objects.create(
        id="we_bench",
        livemode=False,
        djstripe_owner_account=account,
        djstripe_uuid=os.environ["BENCH_ENDPOINT"],
        url="http://127.0.0.1/stripe/webhook",
        secret=os.environ["BENCH_WEBHOOK_SECRET"],
        enabled_events=["*"],
        status="enabled",
    )
    import stripe

    key = os.environ["BENCH_STRIPE_KEY"]
    for subscription_id in subscriptions:
        found = Subscription(id=subscription_id).api_retrieve(api_key=key)
        # Asked for without the long gone fields that dj-stripe would have expanded, which the sandbox refuses.
        customer = stripe.Customer.retrieve(found.customer, api_key=key, stripe_version=settings.STRIPE_API_VERSION)
        Customer.sync_from_stripe_data(customer)
        Subscription.sync_from_stripe_data(found)
    missing = Customer.objects.count(), Subscription.objects.count()
    if missing != (len(subscriptions), len(subscriptions)):
        raise SystemExit(f"customers and subscriptions stored: {missing}, wanted {len(subscriptions)} of each")


if __name__ == "__main__":
    main(sys.argv[1:])
