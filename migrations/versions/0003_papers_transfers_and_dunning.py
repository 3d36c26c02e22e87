"""What a whole life of a subscription needs: papers with taxes and corrections, bank transfer, dunning, cancelling.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT = sa.DateTime(timezone=True)
#: What refers to another comes before it.
NEW_LAST_FIRST = (
    "bank_statement_lines",
    "bank_statements",
    "bank_transfers",
    "balance_entries",
    "refunds",
    "disputes",
    "payment_methods",
    "credit_notes",
    "invoice_taxes",
    "number_series",
    "tax_rates",
)
JSONB = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    _papers()
    _bank()
    _grown_tables()
    _append_only("balance_entries")


def _papers() -> None:
    op.create_table(
        "tax_rates",
        sa.Column("id", BIG, nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("label", sa.String(length=80), nullable=False),
        sa.Column("rate_bp", BIG, nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.CheckConstraint("rate_bp BETWEEN 0 AND 10000", name=op.f("ck_tax_rates_rate_bp")),
        sa.PrimaryKeyConstraint("id", name="pk_tax_rates"),
        sa.UniqueConstraint("country", "valid_from", name="uq_tax_rates_country_valid_from"),
    )
    op.create_table(
        "number_series",
        sa.Column("series", sa.String(length=16), nullable=False),
        sa.Column("year", BIG, autoincrement=False, nullable=False),
        sa.Column("last", BIG, nullable=False),
        sa.CheckConstraint("last >= 0", name=op.f("ck_number_series_last")),
        sa.PrimaryKeyConstraint("series", "year", name="pk_number_series"),
    )
    op.create_table(
        "invoice_taxes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("invoice_id", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("label", sa.String(length=80), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("category", sa.String(length=2), nullable=False),
        sa.Column("rate_bp", BIG, nullable=False),
        sa.Column("base_minor", BIG, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("rate_bp BETWEEN 0 AND 10000", name=op.f("ck_invoice_taxes_rate_bp")),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name="fk_invoice_taxes_invoice_id_invoices", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_invoice_taxes_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_invoice_taxes"),
    )
    op.create_index("ix_invoice_taxes_invoice_id", "invoice_taxes", ["invoice_id"])
    op.create_index("ix_invoice_taxes_vendor_id", "invoice_taxes", ["vendor_id"])
    op.create_table(
        "credit_notes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("invoice_id", BIG, nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("cause", sa.String(length=120), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("subtotal_minor", BIG, nullable=False),
        sa.Column("tax_minor", BIG, nullable=False),
        sa.Column("total_minor", BIG, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("taxes", JSONB, nullable=False),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("issued_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint(
            "total_minor = subtotal_minor + tax_minor AND total_minor > 0", name=op.f("ck_credit_notes_total")
        ),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_credit_notes_invoice_id_invoices"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_credit_notes_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_credit_notes"),
        sa.UniqueConstraint("provider", "number", name="uq_credit_notes_provider_number"),
        sa.UniqueConstraint("vendor_id", "cause", name="uq_credit_notes_vendor_id_cause"),
    )
    op.create_index("ix_credit_notes_invoice_id", "credit_notes", ["invoice_id"])
    op.create_index("ix_credit_notes_vendor_id", "credit_notes", ["vendor_id"])
    op.create_table(
        "payment_methods",
        sa.Column("id", BIG, nullable=False),
        sa.Column("stripe_payment_method_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("shown", JSONB, nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("removed_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_payment_methods_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_payment_methods"),
        sa.UniqueConstraint("stripe_payment_method_id", name="uq_payment_methods_stripe_payment_method_id"),
    )
    op.create_index("ix_payment_methods_vendor_id", "payment_methods", ["vendor_id"])
    op.create_table(
        "refunds",
        sa.Column("id", BIG, nullable=False),
        sa.Column("invoice_id", BIG, nullable=True),
        sa.Column("payment_id", BIG, nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("finished_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("state IN ('requested', 'pending', 'succeeded', 'failed')", name=op.f("ck_refunds_state")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refunds_amount")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_refunds_invoice_id_invoices"),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name="fk_refunds_payment_id_payments"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_refunds_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_refunds"),
        sa.UniqueConstraint("provider", "reference", name="uq_refunds_provider_reference"),
    )
    op.create_index("ix_refunds_invoice_id", "refunds", ["invoice_id"])
    op.create_index("ix_refunds_payment_id", "refunds", ["payment_id"])
    op.create_index("ix_refunds_vendor_id", "refunds", ["vendor_id"])
    op.create_table(
        "disputes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("payment_id", BIG, nullable=True),
        sa.Column("stripe_dispute_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=80), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("opened_at", AT, nullable=False),
        sa.Column("answer_by", AT, nullable=True),
        sa.Column("closed_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name="fk_disputes_payment_id_payments"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_disputes_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_disputes"),
        sa.UniqueConstraint("stripe_dispute_id", name="uq_disputes_stripe_dispute_id"),
    )
    op.create_index("ix_disputes_payment_id", "disputes", ["payment_id"])
    op.create_index("ix_disputes_vendor_id", "disputes", ["vendor_id"])
    op.create_table(
        "balance_entries",
        sa.Column("id", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("balance_after_minor", BIG, nullable=False),
        sa.Column("cause", sa.String(length=120), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("invoice_id", BIG, nullable=True),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_balance_entries_amount")),
        sa.CheckConstraint("balance_after_minor >= 0", name=op.f("ck_balance_entries_balance_after")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_balance_entries_invoice_id_invoices"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_balance_entries_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_balance_entries"),
        sa.UniqueConstraint("vendor_id", "cause", name="uq_balance_entries_vendor_id_cause"),
    )
    op.create_index("ix_balance_entries_invoice_id", "balance_entries", ["invoice_id"])
    op.create_index("ix_balance_entries_vendor_id", "balance_entries", ["vendor_id"])
    op.create_index("ix_balance_entries_vendor_id_currency_id", "balance_entries", ["vendor_id", "currency", "id"])


def _bank() -> None:
    op.create_table(
        "bank_transfers",
        sa.Column("id", BIG, nullable=False),
        sa.Column("invoice_id", BIG, nullable=False),
        sa.Column("reference", sa.String(length=25), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("asked_minor", BIG, nullable=False),
        sa.Column("received_minor", BIG, nullable=False),
        sa.Column("payer_name", sa.String(length=140), nullable=True),
        sa.Column("proof", JSONB, nullable=True),
        sa.Column("proof_at", AT, nullable=True),
        sa.Column("due_at", AT, nullable=False),
        sa.Column("reminded", BIG, nullable=False),
        sa.Column("first_approval", JSONB, nullable=True),
        sa.Column("decided_by", sa.String(length=120), nullable=True),
        sa.Column("decided_at", AT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("version", BIG, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint(
            "state IN ('awaiting', 'proof_sent', 'part_paid', 'approved', 'rejected', 'cancelled')",
            name=op.f("ck_bank_transfers_state"),
        ),
        sa.CheckConstraint("asked_minor > 0", name=op.f("ck_bank_transfers_asked")),
        sa.CheckConstraint("received_minor >= 0", name=op.f("ck_bank_transfers_received")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_bank_transfers_invoice_id_invoices"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_bank_transfers_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_bank_transfers"),
        sa.UniqueConstraint("invoice_id", name="uq_bank_transfers_invoice_id"),
        sa.UniqueConstraint("reference", name="uq_bank_transfers_reference"),
    )
    op.create_index("ix_bank_transfers_state_due_at", "bank_transfers", ["state", "due_at"])
    op.create_index("ix_bank_transfers_vendor_id", "bank_transfers", ["vendor_id"])
    op.create_table(
        "bank_statements",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("imported_at", AT, nullable=False),
        sa.CheckConstraint("kind IN ('csv', 'camt053')", name=op.f("ck_bank_statements_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_bank_statements"),
        sa.UniqueConstraint("sha256", name="uq_bank_statements_sha256"),
    )
    op.create_table(
        "bank_statement_lines",
        sa.Column("id", BIG, nullable=False),
        sa.Column("statement_id", BIG, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("payer", sa.String(length=140), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("transfer_id", BIG, nullable=True),
        sa.Column("decided_by", sa.String(length=120), nullable=True),
        sa.CheckConstraint("state IN ('new', 'matched', 'ignored')", name=op.f("ck_bank_statement_lines_state")),
        sa.ForeignKeyConstraint(
            ["statement_id"], ["bank_statements.id"], name="fk_bank_statement_lines_statement_id_bank_statements"
        ),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["bank_transfers.id"], name="fk_bank_statement_lines_transfer_id_bank_transfers"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_bank_statement_lines"),
        sa.UniqueConstraint("fingerprint", name="uq_bank_statement_lines_fingerprint"),
    )
    op.create_index("ix_bank_statement_lines_state_booked_on", "bank_statement_lines", ["state", "booked_on"])
    op.create_index("ix_bank_statement_lines_statement_id", "bank_statement_lines", ["statement_id"])
    op.create_index("ix_bank_statement_lines_transfer_id", "bank_statement_lines", ["transfer_id"])


def _grown_tables() -> None:
    with op.batch_alter_table("invoice_lines") as batch:
        batch.add_column(sa.Column("price_id", BIG, nullable=True))
        batch.add_column(sa.Column("tax_position", BIG, nullable=True))
        batch.create_foreign_key("fk_invoice_lines_price_id_tier_prices", "tier_prices", ["price_id"], ["id"])

    with op.batch_alter_table("invoices") as batch:
        batch.add_column(sa.Column("proforma_number", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("due_at", AT, nullable=True))
        batch.add_column(sa.Column("voided_at", AT, nullable=True))
        batch.add_column(sa.Column("seller", JSONB, nullable=True))
        batch.add_column(sa.Column("buyer", JSONB, nullable=True))
        batch.add_column(sa.Column("credited_minor", BIG, nullable=False, server_default="0"))
        batch.add_column(sa.Column("refunded_minor", BIG, nullable=False, server_default="0"))
        batch.create_unique_constraint("uq_invoices_proforma_number", ["proforma_number"])
        batch.create_check_constraint(op.f("ck_invoices_given_back"), "credited_minor >= 0 AND refunded_minor >= 0")

    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("invoice_id", BIG, nullable=True))
        batch.create_unique_constraint("uq_orders_invoice_id", ["invoice_id"])
        batch.create_foreign_key("fk_orders_invoice_id_invoices", "invoices", ["invoice_id"], ["id"])

    with op.batch_alter_table("tier_changes") as batch:
        batch.add_column(sa.Column("invoice_id", BIG, nullable=True))
        batch.add_column(sa.Column("choices", JSONB, nullable=True))
        batch.add_column(sa.Column("expires_at", AT, nullable=True))
        batch.create_index("ix_tier_changes_invoice_id", ["invoice_id"])
        batch.create_foreign_key("fk_tier_changes_invoice_id_invoices", "invoices", ["invoice_id"], ["id"])

    with op.batch_alter_table("vendor_subscriptions") as batch:
        batch.add_column(sa.Column("past_due_since", AT, nullable=True))
        batch.add_column(sa.Column("cancel_feedback", sa.String(length=20), nullable=True))
        batch.add_column(sa.Column("cancel_comment", sa.Text(), nullable=True))
        batch.add_column(sa.Column("cancelled_at", AT, nullable=True))
        batch.add_column(sa.Column("anchor_at", AT, nullable=True))
        batch.create_index("ix_vendor_subscriptions_provider_status_period_end", ["provider", "status", "period_end"])
        batch.create_index("ix_vendor_subscriptions_status_past_due_since", ["status", "past_due_since"])


def _append_only(table: str) -> None:
    """As the first revision does it for its ledgers."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        return
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def downgrade() -> None:
    with op.batch_alter_table("vendor_subscriptions") as batch:
        batch.drop_index("ix_vendor_subscriptions_status_past_due_since")
        batch.drop_index("ix_vendor_subscriptions_provider_status_period_end")
        batch.drop_column("anchor_at")
        batch.drop_column("cancelled_at")
        batch.drop_column("cancel_comment")
        batch.drop_column("cancel_feedback")
        batch.drop_column("past_due_since")

    with op.batch_alter_table("tier_changes") as batch:
        batch.drop_constraint("fk_tier_changes_invoice_id_invoices", type_="foreignkey")
        batch.drop_index("ix_tier_changes_invoice_id")
        batch.drop_column("expires_at")
        batch.drop_column("choices")
        batch.drop_column("invoice_id")

    with op.batch_alter_table("orders") as batch:
        batch.drop_constraint("fk_orders_invoice_id_invoices", type_="foreignkey")
        batch.drop_constraint("uq_orders_invoice_id", type_="unique")
        batch.drop_column("invoice_id")

    with op.batch_alter_table("invoices") as batch:
        batch.drop_constraint("uq_invoices_proforma_number", type_="unique")
        batch.drop_constraint(op.f("ck_invoices_given_back"), type_="check")
        batch.drop_column("refunded_minor")
        batch.drop_column("credited_minor")
        batch.drop_column("buyer")
        batch.drop_column("seller")
        batch.drop_column("voided_at")
        batch.drop_column("due_at")
        batch.drop_column("proforma_number")

    with op.batch_alter_table("invoice_lines") as batch:
        batch.drop_constraint("fk_invoice_lines_price_id_tier_prices", type_="foreignkey")
        batch.drop_column("tax_position")
        batch.drop_column("price_id")
    for table in NEW_LAST_FIRST:
        op.drop_table(table)
