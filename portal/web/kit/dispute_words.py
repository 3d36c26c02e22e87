"""Why a cardholder's bank asks for a payment back, in plain words."""

from flask_babel import gettext as _


def reason(code: str) -> str:
    """Stripe's word for it, with spaces or underscores; one that nobody knows as it is."""
    return {
        "bank cannot process": _("The bank cannot process the payment"),
        "check returned": _("The check was returned"),
        "credit not processed": _("The customer says that promised money did not come back"),
        "customer initiated": _("The customer asked the bank for it"),
        "debit not authorized": _("The customer says that the debit was not allowed"),
        "duplicate": _("The customer says that it was charged twice"),
        "fraudulent": _("The cardholder says that the payment was not theirs"),
        "general": _("No particular reason"),
        "incorrect account details": _("The account's details are wrong"),
        "insufficient funds": _("There is not enough money on the account"),
        "noncompliant": _("The card scheme's rules were not kept"),
        "product not received": _("The customer says that nothing was delivered"),
        "product unacceptable": _("The customer says that it is not what was described"),
        "subscription canceled": _("The customer says that the subscription was cancelled"),
        "unrecognized": _("The cardholder does not recognise the payment"),
    }.get(code.replace("_", " "), code.replace("_", " ") or _("No reason was given"))
