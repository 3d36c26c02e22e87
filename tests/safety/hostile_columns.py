"""Which columns hold words that somebody else has written, and hostile words in every one of them.

Every text column stands here or among the closed ones: a new one that stands in neither fails the test.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, String, Text, text
from sqlalchemy.types import JSON

from portal.kit.db import Base

#: Words of vendors, staff, visitors, banks, Stripe, mail hosts and registrars, by table.
WORDS: dict[str, str] = {
    "users": "name",
    "vendors": "name legal_name vat_id",
    "subscription_tiers": "name pitch",
    "addon_products": "name pitch",
    "audit_log": "actor_label",
    "bank_statements": "name actor_label",
    "tax_rates": "label",
    "settings": "updated_by",
    "outbox_jobs": "last_error",
    "sent_mails": "recipient_name subject body_text",
    "webhook_events": "error object_id",
    "api_keys": "name created_by",
    "credit_transactions": "description reference actor",
    "invitations": "invited_by",
    "invoices": "number reason",
    "limit_overrides": "reason actor_label",
    "support_tickets": "subject name",
    "ticket_messages": "author_name body",
    "usage_events": "subject",
    "webhook_endpoints": "url created_by",
    "webhook_deliveries": "last_error",
    "bank_transfers": "reference payer_name decided_by reason",
    "credit_notes": "number reason actor_label",
    "invoice_taxes": "label",
    "invoice_lines": "description",
    "orders": "note actor_label",
    "order_items": "description",
    "payments": "reference",
    "purchases": "description",
    "vendor_subscriptions": "cancel_comment",
    "bank_statement_lines": "payer purpose decided_by",
    "disputes": "status reason",
    "refunds": "reference reason error actor_label",
    "balance_entries": "description actor_label",
    "subscription_events": "reason actor_label",
    "tier_changes": "error actor_label",
    "vendor_addons": "reason",
    "domains": "shown",
    "mailboxes": "address name error",
    "certificates": "name serial",
    "provisioning_steps": "error reference",
    "provisioning_log": "message actor_label",
}
#: Columns that nobody outside can fill with words: kinds and states of ours, keys, hashes, sealed secrets, addresses
#: and codes that have a form of their own.
_CLOSED = """
    hosted_url pdf_url
    action actor_kind author body_html cancel_feedback card_fingerprint category cause chain_pem checkout_url
    code code_hash country credit_policy currency cycle dedupe_key email email_hash email_key event_id family
    feature fingerprint idempotency_key key key_hash kind level locale message_id metric origin password
    password_hash prefix previous_secret private_key process proforma_number provider provisioning recipe
    recipient request_hash request_id request_pem role scope secret secret_last4 series sha256 source source_ref
    stage standing state status stripe_customer_id stripe_dispute_id stripe_event_id stripe_invoice_id
    stripe_item_id stripe_payment_method_id stripe_price_id stripe_product_id stripe_schedule_id
    stripe_session_id stripe_subscription_id task theme tier_code time_zone token token_hash type value variant
    vat_id what when_to_apply
"""
CLOSED = frozenset(_CLOSED.split())
#: Likewise, where others of that name are open.
CLOSED_PLACES = frozenset(("domains.name",))
#: Columns of JSON whose words are ours alone.
CLOSED_JSON = frozenset(("addon_products.grants", "addon_products.edited", "api_keys.scopes", "outbox_jobs.args",
                         "webhook_endpoints.kinds", "idempotency_keys.answer", "tier_changes.choices"))  # fmt: skip
#: What a word in JSON looks like that a program reads: names of ours, moments, countries, numbers.
_PROGRAMS = re.compile(r"[a-z0-9_.:+/-]*|[A-Z]{1,4}|\d{4}-\d\d-\d\d.*|#[0-9a-f]{6}")

Words = Callable[[str], str]


def unplaced() -> set[str]:
    """Columns of text of which nobody has said what they hold, and places that are no longer there."""
    texts = {f"{t.name}.{c.name}" for t in Base.metadata.sorted_tables for c in t.columns if _is_text(c)}
    free = {f"{table}.{name}" for table, names in WORDS.items() for name in names.split()}
    unknown = {each for each in texts - free - CLOSED_PLACES if each.partition(".")[2] not in CLOSED}
    return unknown | (free - texts)


def _is_text(column: Any) -> bool:
    kind = getattr(column.type, "impl", column.type)
    return isinstance(kind, String | Text) and not isinstance(kind, JSON)


def _is_json(column: Any) -> bool:
    return isinstance(getattr(column.type, "impl", column.type), JSON)


def fill(connection: Connection, words: Words) -> set[str]:
    """Put ``words(place)`` into every row of every place; gives the places of which there are rows.

    Past the portal, as if a check were missing somewhere; ledgers that refuse to be changed are opened for it.
    """
    for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).fetchall():
        connection.execute(text(f"DROP TRIGGER {name}"))
    connection.execute(text("PRAGMA ignore_check_constraints = ON"))
    filled = set()
    for table, names in WORDS.items():
        for name in names.split():
            place = f"{table}.{name}"
            done = connection.execute(text(f"UPDATE {table} SET {name} = :words || rowid"), {"words": words(place)})
            filled |= {place} if done.rowcount else set()
    for table, name in _jsons():
        filled |= _fill_json(connection, table, name, words)
    return filled


def _jsons() -> Iterator[tuple[str, str]]:
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if _is_json(column) and f"{table.name}.{column.name}" not in CLOSED_JSON:
                yield table.name, column.name


def _fill_json(connection: Connection, table: str, name: str, words: Words) -> set[str]:
    place, filled = f"{table}.{name}", set()
    rows = connection.execute(text(f"SELECT rowid, {name} FROM {table} WHERE {name} IS NOT NULL")).fetchall()
    for row, value in rows:
        before = json.loads(value)
        after = _replaced(before, words(place))
        if after != before:
            filled.add(place)
            told = {"value": json.dumps(after), "row": row}
            connection.execute(text(f"UPDATE {table} SET {name} = :value WHERE rowid = :row"), told)
    return filled


def _replaced(value: Any, words: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(each, words) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, words) for each in value]
    return words if isinstance(value, str) and not _PROGRAMS.fullmatch(value) else value
