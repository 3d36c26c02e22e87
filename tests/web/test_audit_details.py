"""What the audit log wrote down, as people read it."""

import pytest
from flask import Flask

from portal.web.admin.audit_details import shown


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            {"transfer": "RF18 0000", "amount_minor": 4839, "currency": "EUR", "open": 0},
            {"Reference": "RF18 0000", "Amount": "€48.39", "Still open": "€0.00"},
        ),
        ({"amount": 250, "reason": "now"}, {"Amount": "250", "Reason": "now"}),  # credits; what a person typed
        (
            {"at_once": False, "ends": "2027-03-16T00:00:00+00:00", "feedback": "unused"},
            {"At once": "no", "Ends on": "16 March 2027", "Why": "Not used enough"},
        ),
        ({"before": "trial_ended", "after": "active"}, {"Before": "Trial ended", "After": "Active"}),
        ({"rate_bp": 1900, "valid_until": None}, {"Rate": "19 %", "Valid until": "–"}),
        ({"vat_id": ["", "DE136695976"]}, {"VAT number": "–, DE136695976"}),
        ({"fields": ["legal_name", "city"]}, {"Fields": "Legal name, City"}),
        ({"legal": {"country": "DE"}}, {"Legal": "Country: DE"}),
    ],
)
def test_each_thing_has_a_label_and_a_value(app: Flask, data: dict[str, object], said: dict[str, str]) -> None:
    with app.test_request_context():
        assert dict(shown(data)) == said
