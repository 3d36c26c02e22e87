"""Where somebody who is signed in begins."""

from flask import url_for

from portal.accounts.queries import Visitor


def page_for(who: Visitor) -> str:
    """The dashboard of their vendor; for the operator's people the list of vendors."""
    if who.vendor:
        return url_for("vendor_dashboard.index")
    return url_for("admin_vendors.index") if who.staff else url_for("profile.index")
