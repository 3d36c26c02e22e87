"""The first schema: every table of the portal; subscriptions know their tier by code alone.

Revision: 0001, after .
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
AT = sa.DateTime(timezone=True)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


#: Ledgers and histories: written once, never changed.
APPEND_ONLY = ("credit_transactions", "credit_transaction_lots", "subscription_events", "audit_log")

TABLES_LAST_FIRST = (
    "tier_changes",
    "subscription_events",
    "purchases",
    "order_items",
    "vendor_subscriptions",
    "payments",
    "orders",
    "invoice_lines",
    "credit_transaction_lots",
    "usage_events",
    "usage_daily",
    "usage_counters",
    "trials",
    "tier_prices",
    "tier_limits",
    "tier_features",
    "tier_addons",
    "staff_roles",
    "sign_ins",
    "sessions",
    "refresh_tokens",
    "memberships",
    "invoices",
    "entitlement_versions",
    "entitlement_grants",
    "credit_transactions",
    "credit_lots",
    "credit_accounts",
    "addon_prices",
    "webhook_events",
    "vendors",
    "users",
    "subscription_tiers",
    "settings",
    "sent_mails",
    "periodic_runs",
    "outbox_jobs",
    "idempotency_keys",
    "heartbeats",
    "audit_log",
    "addon_products",
)


def _forbid_changes() -> None:
    """Triggers refuse UPDATE and DELETE, whoever asks."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        for table in APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
    else:
        for table in APPEND_ONLY:
            for act in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )


def upgrade() -> None:
    op.create_table(
        "addon_products",
        sa.Column("id", BIG, nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("pitch", sa.Text(), nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("provisioning", sa.String(length=20), nullable=False),
        sa.Column("grants", JSON, nullable=False),
        sa.Column("retired_at", AT, nullable=True),
        sa.Column("stripe_product_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.CheckConstraint(
            "provisioning IN ('domain', 'mailboxes', 'certificate', 'storage', 'manual')",
            name=op.f("ck_addon_products_provisioning"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_addon_products"),
        sa.UniqueConstraint("code", name="uq_addon_products_code"),
        sa.UniqueConstraint("stripe_product_id", name="uq_addon_products_stripe_product_id"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_vendor_id_at_id", "audit_log", ["vendor_id", "at", "id"], unique=False)

    op.create_table(
        "heartbeats",
        sa.Column("process", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("seen_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("process", name="pk_heartbeats"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("id", BIG, nullable=False),
        sa.Column("scope", sa.String(length=120), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", BIG, nullable=True),
        sa.Column("answer", JSON, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_keys"),
        sa.UniqueConstraint("scope", "key", name="uq_idempotency_keys_scope_key"),
    )
    op.create_table(
        "outbox_jobs",
        sa.Column("id", BIG, nullable=False),
        sa.Column("task", sa.String(length=80), nullable=False),
        sa.Column("args", JSON, nullable=False),
        sa.Column("dedupe_key", sa.String(length=200), nullable=True),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("run_at", AT, nullable=False),
        sa.Column("lease_until", AT, nullable=True),
        sa.Column("lease_token", BIG, nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("done_at", AT, nullable=True),
        sa.CheckConstraint("state IN ('pending', 'done', 'dead')", name=op.f("ck_outbox_jobs_state")),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_jobs"),
        sa.UniqueConstraint("dedupe_key", name="uq_outbox_jobs_dedupe_key"),
    )
    op.create_index("ix_outbox_jobs_state_run_at", "outbox_jobs", ["state", "run_at"], unique=False)
    op.create_index("ix_outbox_jobs_vendor_id", "outbox_jobs", ["vendor_id"], unique=False)

    op.create_table(
        "periodic_runs",
        sa.Column("task", sa.String(length=80), nullable=False),
        sa.Column("period_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("task", name="pk_periodic_runs"),
    )
    op.create_table(
        "sent_mails",
        sa.Column("id", BIG, nullable=False),
        sa.Column("dedupe_key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("recipient", sa.String(length=254), nullable=False),
        sa.Column("recipient_name", sa.String(length=120), nullable=False),
        sa.Column("locale", sa.String(length=10), nullable=False),
        sa.Column("params", JSON, nullable=False),
        sa.Column("message_id", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("body_text", sa.Text(), nullable=True),
        sa.Column("body_html", sa.Text(), nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("sent_at", AT, nullable=True),
        sa.CheckConstraint("state IN ('queued', 'sent', 'kept')", name=op.f("ck_sent_mails_state")),
        sa.PrimaryKeyConstraint("id", name="pk_sent_mails"),
        sa.UniqueConstraint("dedupe_key", name="uq_sent_mails_dedupe_key"),
    )
    op.create_index("ix_sent_mails_created_at_id", "sent_mails", ["created_at", "id"], unique=False)
    op.create_index("ix_sent_mails_vendor_id", "sent_mails", ["vendor_id"], unique=False)

    op.create_table(
        "settings",
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("value", JSON, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.Column("updated_by", sa.String(length=120), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_settings"),
    )
    op.create_table(
        "subscription_tiers",
        sa.Column("id", BIG, nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("pitch", sa.Text(), nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("trial_days", BIG, nullable=False),
        sa.Column("included_credits", BIG, nullable=False),
        sa.Column("credit_policy", sa.String(length=10), nullable=False),
        sa.Column("rollover_cap", BIG, nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("self_service", sa.Boolean(), nullable=False),
        sa.Column("highlighted", sa.Boolean(), nullable=False),
        sa.Column("retired_at", AT, nullable=True),
        sa.Column("stripe_product_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.CheckConstraint("credit_policy IN ('reset', 'rollover')", name=op.f("ck_subscription_tiers_credit_policy")),
        sa.CheckConstraint("included_credits >= 0", name=op.f("ck_subscription_tiers_included_credits")),
        sa.CheckConstraint(
            "rollover_cap IS NULL OR rollover_cap >= 0", name=op.f("ck_subscription_tiers_rollover_cap")
        ),
        sa.CheckConstraint("trial_days >= 0", name=op.f("ck_subscription_tiers_trial_days")),
        sa.PrimaryKeyConstraint("id", name="pk_subscription_tiers"),
        sa.UniqueConstraint("code", name="uq_subscription_tiers_code"),
        sa.UniqueConstraint("stripe_product_id", name="uq_subscription_tiers_stripe_product_id"),
    )
    op.create_table(
        "users",
        sa.Column("id", BIG, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_key", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("locale", sa.String(length=10), nullable=False),
        sa.Column("theme", sa.String(length=5), nullable=False),
        sa.Column("email_verified_at", AT, nullable=True),
        sa.Column("blocked_at", AT, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email_key", name="uq_users_email_key"),
    )
    op.create_table(
        "vendors",
        sa.Column("id", BIG, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("stage", sa.String(length=12), nullable=False),
        sa.Column("stripe_customer_id", sa.String(length=255), nullable=True),
        sa.Column("legal_name", sa.String(length=255), nullable=True),
        sa.Column("vat_id", sa.String(length=32), nullable=True),
        sa.Column("address", JSON, nullable=True),
        sa.Column("locale", sa.String(length=10), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("blocked_at", AT, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.CheckConstraint(
            "stage IN ('onboarding', 'building', 'deployed', 'active', 'supporting')", name=op.f("ck_vendors_stage")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_vendors"),
        sa.UniqueConstraint("code", name="uq_vendors_code"),
        sa.UniqueConstraint("stripe_customer_id", name="uq_vendors_stripe_customer_id"),
    )
    op.create_index("ix_vendors_created_at_id", "vendors", ["created_at", "id"], unique=False)
    op.create_index("ix_vendors_name_id", "vendors", ["name", "id"], unique=False)

    op.create_table(
        "webhook_events",
        sa.Column("id", BIG, nullable=False),
        sa.Column("stripe_event_id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=True),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("received_at", AT, nullable=False),
        sa.Column("handled_at", AT, nullable=True),
        sa.CheckConstraint(
            "state IN ('received', 'handled', 'ignored', 'failed')", name=op.f("ck_webhook_events_state")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_events"),
        sa.UniqueConstraint("stripe_event_id", name="uq_webhook_events_stripe_event_id"),
    )
    op.create_index("ix_webhook_events_object_id", "webhook_events", ["object_id"], unique=False)
    op.create_index("ix_webhook_events_received_at_id", "webhook_events", ["received_at", "id"], unique=False)
    op.create_index("ix_webhook_events_vendor_id", "webhook_events", ["vendor_id"], unique=False)

    op.create_table(
        "addon_prices",
        sa.Column("id", BIG, nullable=False),
        sa.Column("addon_id", BIG, nullable=False),
        sa.Column("variant", sa.String(length=20), nullable=False),
        sa.Column("cycle", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("stripe_price_id", sa.String(length=255), nullable=True),
        sa.Column("valid_from", AT, nullable=False),
        sa.Column("valid_until", AT, nullable=True),
        sa.CheckConstraint("cycle IN ('monthly', 'yearly')", name=op.f("ck_addon_prices_cycle")),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_addon_prices_amount")),
        sa.ForeignKeyConstraint(["addon_id"], ["addon_products.id"], name="fk_addon_prices_addon_id_addon_products"),
        sa.PrimaryKeyConstraint("id", name="pk_addon_prices"),
        sa.UniqueConstraint("stripe_price_id", name="uq_addon_prices_stripe_price_id"),
    )
    op.create_index("ix_addon_prices_addon_id", "addon_prices", ["addon_id"], unique=False)
    op.create_index(
        "uq_addon_prices_one_live",
        "addon_prices",
        ["addon_id", "variant", "cycle", "currency"],
        unique=True,
        sqlite_where=sa.text("valid_until IS NULL"),
        postgresql_where=sa.text("valid_until IS NULL"),
    )

    op.create_table(
        "credit_accounts",
        sa.Column("vendor_id", BIG, nullable=False),
        sa.Column("balance", BIG, nullable=False),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_credit_accounts_balance")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_credit_accounts_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("vendor_id", name="pk_credit_accounts"),
    )
    op.create_table(
        "credit_lots",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("granted", BIG, nullable=False),
        sa.Column("remaining", BIG, nullable=False),
        sa.Column("source", sa.String(length=120), nullable=False),
        sa.Column("expires_at", AT, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("kind IN ('grant', 'purchase', 'goodwill')", name=op.f("ck_credit_lots_kind")),
        sa.CheckConstraint("granted > 0", name=op.f("ck_credit_lots_granted")),
        sa.CheckConstraint("remaining >= 0 AND remaining <= granted", name=op.f("ck_credit_lots_remaining")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_credit_lots_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_credit_lots"),
        sa.UniqueConstraint("vendor_id", "source", name="uq_credit_lots_vendor_id_source"),
    )
    op.create_index("ix_credit_lots_vendor_id", "credit_lots", ["vendor_id"], unique=False)
    op.create_index(
        "ix_credit_lots_vendor_id_expires_at_id", "credit_lots", ["vendor_id", "expires_at", "id"], unique=False
    )

    op.create_table(
        "credit_transactions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("balance_after", BIG, nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("reference", sa.String(length=120), nullable=True),
        sa.Column("idempotency_key", sa.String(length=160), nullable=False),
        sa.Column("actor", sa.String(length=140), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint(
            "kind IN ('grant', 'purchase', 'usage', 'refund', 'expiry', 'adjustment')",
            name=op.f("ck_credit_transactions_kind"),
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_credit_transactions_amount")),
        sa.CheckConstraint("balance_after >= 0", name=op.f("ck_credit_transactions_balance_after")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_credit_transactions_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_credit_transactions"),
        sa.UniqueConstraint("vendor_id", "idempotency_key", name="uq_credit_transactions_vendor_id_idempotency_key"),
    )
    op.create_index("ix_credit_transactions_vendor_id", "credit_transactions", ["vendor_id"], unique=False)

    op.create_table(
        "entitlement_grants",
        sa.Column("id", BIG, nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("source_ref", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("amount", BIG, nullable=True),
        sa.Column("level", sa.String(length=40), nullable=True),
        sa.Column("valid_from", AT, nullable=False),
        sa.Column("valid_until", AT, nullable=True),
        sa.Column("version", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("kind IN ('limit', 'feature')", name=op.f("ck_entitlement_grants_kind")),
        sa.CheckConstraint("source IN ('tier', 'addon', 'override')", name=op.f("ck_entitlement_grants_source")),
        sa.CheckConstraint("valid_until IS NULL OR valid_from <= valid_until", name=op.f("ck_entitlement_grants_span")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_entitlement_grants_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_entitlement_grants"),
    )
    op.create_index("ix_entitlement_grants_vendor_id", "entitlement_grants", ["vendor_id"], unique=False)
    op.create_index(
        "ix_entitlement_grants_vendor_id_valid_until_valid_from",
        "entitlement_grants",
        ["vendor_id", "valid_until", "valid_from"],
        unique=False,
    )

    op.create_table(
        "entitlement_versions",
        sa.Column("vendor_id", BIG, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_entitlement_versions_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("vendor_id", name="pk_entitlement_versions"),
    )
    op.create_table(
        "invoices",
        sa.Column("id", BIG, nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("stripe_invoice_id", sa.String(length=255), nullable=True),
        sa.Column("stripe_subscription_id", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=14), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("subtotal_minor", BIG, nullable=False),
        sa.Column("tax_minor", BIG, nullable=False),
        sa.Column("total_minor", BIG, nullable=False),
        sa.Column("due_minor", BIG, nullable=False),
        sa.Column("paid_minor", BIG, nullable=False),
        sa.Column("balance_applied_minor", BIG, nullable=False),
        sa.Column("period_start", AT, nullable=True),
        sa.Column("period_end", AT, nullable=True),
        sa.Column("issued_at", AT, nullable=False),
        sa.Column("paid_at", AT, nullable=True),
        sa.Column("next_attempt_at", AT, nullable=True),
        sa.Column("hosted_url", sa.Text(), nullable=True),
        sa.Column("pdf_url", sa.Text(), nullable=True),
        sa.Column("applied_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("provider IN ('stripe', 'transfer')", name=op.f("ck_invoices_provider")),
        sa.CheckConstraint(
            "status IN ('draft', 'open', 'paid', 'void', 'uncollectible')", name=op.f("ck_invoices_status")
        ),
        sa.CheckConstraint("paid_minor >= 0", name=op.f("ck_invoices_paid")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_invoices_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_invoices"),
        sa.UniqueConstraint("provider", "number", name="uq_invoices_provider_number"),
        sa.UniqueConstraint("stripe_invoice_id", name="uq_invoices_stripe_invoice_id"),
    )
    op.create_index("ix_invoices_stripe_subscription_id", "invoices", ["stripe_subscription_id"], unique=False)
    op.create_index("ix_invoices_vendor_id", "invoices", ["vendor_id"], unique=False)
    op.create_index("ix_invoices_vendor_id_issued_at_id", "invoices", ["vendor_id", "issued_at", "id"], unique=False)

    op.create_table(
        "memberships",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("role IN ('owner', 'manager', 'member')", name=op.f("ck_memberships_role")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_memberships_user_id_users"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_memberships_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_memberships"),
        sa.UniqueConstraint("vendor_id", "user_id", name="uq_memberships_vendor_id_user_id"),
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"], unique=False)
    op.create_index("ix_memberships_vendor_id", "memberships", ["vendor_id"], unique=False)
    op.create_index(
        "uq_memberships_one_owner",
        "memberships",
        ["vendor_id"],
        unique=True,
        sqlite_where=sa.text("role = 'owner'"),
        postgresql_where=sa.text("role = 'owner'"),
    )

    op.create_table(
        "refresh_tokens",
        sa.Column("id", BIG, nullable=False),
        sa.Column("family", sa.String(length=32), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("scope", sa.String(length=40), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("used_at", AT, nullable=True),
        sa.Column("revoked_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_refresh_tokens_user_id_users"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_refresh_tokens_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_refresh_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_refresh_tokens_token_hash"),
    )
    op.create_index("ix_refresh_tokens_family", "refresh_tokens", ["family"], unique=False)
    op.create_index("ix_refresh_tokens_user_id", "refresh_tokens", ["user_id"], unique=False)
    op.create_index("ix_refresh_tokens_vendor_id", "refresh_tokens", ["vendor_id"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("revoked_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False)

    op.create_table(
        "sign_ins",
        sa.Column("id", BIG, nullable=False),
        sa.Column("email_key", sa.String(length=254), nullable=False),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sign_ins_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_sign_ins"),
    )
    op.create_index("ix_sign_ins_email_key_at", "sign_ins", ["email_key", "at"], unique=False)

    op.create_table(
        "staff_roles",
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.CheckConstraint("role IN ('admin', 'support', 'finance')", name=op.f("ck_staff_roles_role")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_staff_roles_user_id_users"),
        sa.PrimaryKeyConstraint("user_id", name="pk_staff_roles"),
    )
    op.create_table(
        "tier_addons",
        sa.Column("id", BIG, nullable=False),
        sa.Column("tier_id", BIG, nullable=False),
        sa.Column("addon_id", BIG, nullable=False),
        sa.Column("variant", sa.String(length=20), nullable=False),
        sa.Column("included", BIG, nullable=False),
        sa.CheckConstraint("included >= 0", name=op.f("ck_tier_addons_included")),
        sa.ForeignKeyConstraint(["addon_id"], ["addon_products.id"], name="fk_tier_addons_addon_id_addon_products"),
        sa.ForeignKeyConstraint(
            ["tier_id"], ["subscription_tiers.id"], name="fk_tier_addons_tier_id_subscription_tiers"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tier_addons"),
        sa.UniqueConstraint("tier_id", "addon_id", "variant", name="uq_tier_addons_tier_id_addon_id_variant"),
    )
    op.create_table(
        "tier_features",
        sa.Column("id", BIG, nullable=False),
        sa.Column("tier_id", BIG, nullable=False),
        sa.Column("feature", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["tier_id"], ["subscription_tiers.id"], name="fk_tier_features_tier_id_subscription_tiers"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tier_features"),
        sa.UniqueConstraint("tier_id", "feature", name="uq_tier_features_tier_id_feature"),
    )
    op.create_table(
        "tier_limits",
        sa.Column("id", BIG, nullable=False),
        sa.Column("tier_id", BIG, nullable=False),
        sa.Column("metric", sa.String(length=40), nullable=False),
        sa.Column("value", BIG, nullable=True),
        sa.CheckConstraint("value IS NULL OR value >= 0", name=op.f("ck_tier_limits_value")),
        sa.ForeignKeyConstraint(
            ["tier_id"], ["subscription_tiers.id"], name="fk_tier_limits_tier_id_subscription_tiers"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tier_limits"),
        sa.UniqueConstraint("tier_id", "metric", name="uq_tier_limits_tier_id_metric"),
    )
    op.create_table(
        "tier_prices",
        sa.Column("id", BIG, nullable=False),
        sa.Column("tier_id", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("cycle", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("stripe_price_id", sa.String(length=255), nullable=True),
        sa.Column("valid_from", AT, nullable=False),
        sa.Column("valid_until", AT, nullable=True),
        sa.CheckConstraint("cycle IN ('monthly', 'yearly')", name=op.f("ck_tier_prices_cycle")),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_tier_prices_amount")),
        sa.ForeignKeyConstraint(
            ["tier_id"], ["subscription_tiers.id"], name="fk_tier_prices_tier_id_subscription_tiers"
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_tier_prices_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_tier_prices"),
        sa.UniqueConstraint("stripe_price_id", name="uq_tier_prices_stripe_price_id"),
    )
    op.create_index("ix_tier_prices_tier_id", "tier_prices", ["tier_id"], unique=False)
    op.create_index("ix_tier_prices_vendor_id", "tier_prices", ["vendor_id"], unique=False)
    op.create_index(
        "uq_tier_prices_one_agreed",
        "tier_prices",
        ["vendor_id"],
        unique=True,
        sqlite_where=sa.text("valid_until IS NULL AND vendor_id IS NOT NULL"),
        postgresql_where=sa.text("valid_until IS NULL AND vendor_id IS NOT NULL"),
    )
    op.create_index(
        "uq_tier_prices_one_public",
        "tier_prices",
        ["tier_id", "cycle", "currency"],
        unique=True,
        sqlite_where=sa.text("valid_until IS NULL AND vendor_id IS NULL"),
        postgresql_where=sa.text("valid_until IS NULL AND vendor_id IS NULL"),
    )

    op.create_table(
        "trials",
        sa.Column("id", BIG, nullable=False),
        sa.Column("email_hash", sa.String(length=64), nullable=False),
        sa.Column("card_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("started_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_trials_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
        sa.UniqueConstraint("email_hash", name="uq_trials_email_hash"),
    )
    op.create_index("ix_trials_card_fingerprint", "trials", ["card_fingerprint"], unique=False)
    op.create_index("ix_trials_vendor_id", "trials", ["vendor_id"], unique=False)
    op.create_index("uq_trials_vendor", "trials", ["vendor_id"], unique=True)

    op.create_table(
        "usage_counters",
        sa.Column("id", BIG, nullable=False),
        sa.Column("metric", sa.String(length=40), nullable=False),
        sa.Column("period_start", AT, nullable=False),
        sa.Column("used", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_usage_counters_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_usage_counters"),
        sa.UniqueConstraint(
            "vendor_id", "metric", "period_start", name="uq_usage_counters_vendor_id_metric_period_start"
        ),
    )
    op.create_index("ix_usage_counters_vendor_id", "usage_counters", ["vendor_id"], unique=False)

    op.create_table(
        "usage_daily",
        sa.Column("id", BIG, nullable=False),
        sa.Column("metric", sa.String(length=40), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("quantity", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_usage_daily_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_usage_daily"),
        sa.UniqueConstraint("vendor_id", "metric", "day", name="uq_usage_daily_vendor_id_metric_day"),
    )
    op.create_index("ix_usage_daily_vendor_id", "usage_daily", ["vendor_id"], unique=False)

    op.create_table(
        "usage_events",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("metric", sa.String(length=40), nullable=False),
        sa.Column("quantity", BIG, nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=True),
        sa.Column("at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_usage_events_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_usage_events"),
        sa.UniqueConstraint("vendor_id", "key", name="uq_usage_events_vendor_id_key"),
    )
    op.create_index("ix_usage_events_vendor_id", "usage_events", ["vendor_id"], unique=False)

    op.create_table(
        "credit_transaction_lots",
        sa.Column("id", BIG, nullable=False),
        sa.Column("transaction_id", BIG, nullable=False),
        sa.Column("lot_id", BIG, nullable=False),
        sa.Column("amount", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_credit_transaction_lots_amount")),
        sa.ForeignKeyConstraint(["lot_id"], ["credit_lots.id"], name="fk_credit_transaction_lots_lot_id_credit_lots"),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["credit_transactions.id"],
            name="fk_credit_transaction_lots_transaction_id_credit_transactions",
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_credit_transaction_lots_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_credit_transaction_lots"),
    )
    op.create_index("ix_credit_transaction_lots_lot_id", "credit_transaction_lots", ["lot_id"], unique=False)
    op.create_index(
        "ix_credit_transaction_lots_transaction_id", "credit_transaction_lots", ["transaction_id"], unique=False
    )
    op.create_index("ix_credit_transaction_lots_vendor_id", "credit_transaction_lots", ["vendor_id"], unique=False)

    op.create_table(
        "invoice_lines",
        sa.Column("id", BIG, nullable=False),
        sa.Column("invoice_id", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("quantity", BIG, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("proration", sa.Boolean(), nullable=False),
        sa.Column("stripe_price_id", sa.String(length=255), nullable=True),
        sa.Column("period_start", AT, nullable=True),
        sa.Column("period_end", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name="fk_invoice_lines_invoice_id_invoices", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_invoice_lines_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_invoice_lines"),
    )
    op.create_index("ix_invoice_lines_invoice_id", "invoice_lines", ["invoice_id"], unique=False)
    op.create_index("ix_invoice_lines_vendor_id", "invoice_lines", ["vendor_id"], unique=False)

    op.create_table(
        "orders",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("price_id", BIG, nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("asked_minor", BIG, nullable=False),
        sa.Column("free_until", AT, nullable=True),
        sa.Column("attempt", BIG, nullable=False),
        sa.Column("stripe_session_id", sa.String(length=255), nullable=True),
        sa.Column("checkout_url", sa.Text(), nullable=True),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("fulfilled_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("(state = 'fulfilled') = (fulfilled_at IS NOT NULL)", name=op.f("ck_orders_fulfilled")),
        sa.CheckConstraint("kind IN ('subscription')", name=op.f("ck_orders_kind")),
        sa.CheckConstraint("provider IN ('stripe', 'transfer')", name=op.f("ck_orders_provider")),
        sa.CheckConstraint(
            "state IN ('open', 'fulfilled', 'expired', 'cancelled', 'refused')", name=op.f("ck_orders_state")
        ),
        sa.ForeignKeyConstraint(["price_id"], ["tier_prices.id"], name="fk_orders_price_id_tier_prices"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_orders_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("stripe_session_id", name="uq_orders_stripe_session_id"),
    )
    op.create_index("ix_orders_vendor_id", "orders", ["vendor_id"], unique=False)

    op.create_table(
        "payments",
        sa.Column("id", BIG, nullable=False),
        sa.Column("invoice_id", BIG, nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("reference", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("status IN ('succeeded', 'failed', 'refunded')", name=op.f("ck_payments_status")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_payments_invoice_id_invoices"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_payments_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("provider", "reference", name="uq_payments_provider_reference"),
    )
    op.create_index("ix_payments_invoice_id", "payments", ["invoice_id"], unique=False)
    op.create_index("ix_payments_vendor_id", "payments", ["vendor_id"], unique=False)

    op.create_table(
        "vendor_subscriptions",
        sa.Column("id", BIG, nullable=False),
        sa.Column("tier_code", sa.String(length=20), nullable=False),
        sa.Column("price_id", BIG, nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("trial_ends_at", AT, nullable=True),
        sa.Column("period_start", AT, nullable=False),
        sa.Column("period_end", AT, nullable=False),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("payment_method", JSON, nullable=True),
        sa.Column("stripe_subscription_id", sa.String(length=255), nullable=True),
        sa.Column("stripe_item_id", sa.String(length=255), nullable=True),
        sa.Column("stripe_schedule_id", sa.String(length=255), nullable=True),
        sa.Column("version", BIG, nullable=False),
        sa.Column("started_at", AT, nullable=False),
        sa.Column("ended_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("provider IN ('none', 'stripe', 'transfer')", name=op.f("ck_vendor_subscriptions_provider")),
        sa.CheckConstraint(
            "status IN ('trial', 'trial_ended', 'active', 'pending_payment', 'past_due', 'suspended', 'cancelled')",
            name=op.f("ck_vendor_subscriptions_status"),
        ),
        sa.CheckConstraint("period_start < period_end", name=op.f("ck_vendor_subscriptions_period")),
        sa.ForeignKeyConstraint(["price_id"], ["tier_prices.id"], name="fk_vendor_subscriptions_price_id_tier_prices"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_vendor_subscriptions_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_vendor_subscriptions"),
        sa.UniqueConstraint("stripe_subscription_id", name="uq_vendor_subscriptions_stripe_subscription_id"),
    )
    op.create_index("ix_vendor_subscriptions_price_id", "vendor_subscriptions", ["price_id"], unique=False)
    op.create_index(
        "ix_vendor_subscriptions_status_trial_ends_at",
        "vendor_subscriptions",
        ["status", "trial_ends_at"],
        unique=False,
    )
    op.create_index("ix_vendor_subscriptions_vendor_id", "vendor_subscriptions", ["vendor_id"], unique=False)
    op.create_index(
        "uq_vendor_subscriptions_one_live",
        "vendor_subscriptions",
        ["vendor_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )

    op.create_table(
        "order_items",
        sa.Column("id", BIG, nullable=False),
        sa.Column("order_id", BIG, nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("quantity", BIG, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("stripe_price_id", sa.String(length=255), nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_items_quantity")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_items_order_id_orders"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_order_items_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_order_items"),
    )
    op.create_index("ix_order_items_order_id", "order_items", ["order_id"], unique=False)
    op.create_index("ix_order_items_vendor_id", "order_items", ["vendor_id"], unique=False)

    op.create_table(
        "purchases",
        sa.Column("id", BIG, nullable=False),
        sa.Column("order_id", BIG, nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("tier_id", BIG, nullable=True),
        sa.Column("stripe_price_id", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("details", JSON, nullable=True),
        sa.Column("paid_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_purchases_order_id_orders"),
        sa.ForeignKeyConstraint(["tier_id"], ["subscription_tiers.id"], name="fk_purchases_tier_id_subscription_tiers"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_purchases_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_purchases"),
        sa.UniqueConstraint("order_id", name="uq_purchases_order_id"),
    )
    op.create_index("ix_purchases_vendor_id", "purchases", ["vendor_id"], unique=False)

    op.create_table(
        "subscription_events",
        sa.Column("id", BIG, nullable=False),
        sa.Column("subscription_id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["vendor_subscriptions.id"],
            name="fk_subscription_events_subscription_id_vendor_subscriptions",
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_subscription_events_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_subscription_events"),
    )
    op.create_index("ix_subscription_events_subscription_id", "subscription_events", ["subscription_id"], unique=False)
    op.create_index("ix_subscription_events_vendor_id", "subscription_events", ["vendor_id"], unique=False)
    op.create_index(
        "ix_subscription_events_vendor_id_at_id", "subscription_events", ["vendor_id", "at", "id"], unique=False
    )

    op.create_table(
        "tier_changes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("subscription_id", BIG, nullable=False),
        sa.Column("from_price_id", BIG, nullable=True),
        sa.Column("to_price_id", BIG, nullable=False),
        sa.Column("when_to_apply", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("base_version", BIG, nullable=False),
        sa.Column("proration_at", AT, nullable=True),
        sa.Column("effective_at", AT, nullable=False),
        sa.Column("due_minor", BIG, nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("notify", sa.Boolean(), nullable=False),
        sa.Column("stripe_schedule_id", sa.String(length=255), nullable=True),
        sa.Column("stripe_invoice_id", sa.String(length=255), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("finished_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint(
            "state IN ('requested', 'scheduled', 'awaiting_payment', 'applied', 'undone', 'refused')",
            name=op.f("ck_tier_changes_state"),
        ),
        sa.CheckConstraint("when_to_apply IN ('now', 'next')", name=op.f("ck_tier_changes_when_to_apply")),
        sa.ForeignKeyConstraint(
            ["from_price_id"], ["tier_prices.id"], name="fk_tier_changes_from_price_id_tier_prices"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["vendor_subscriptions.id"],
            name="fk_tier_changes_subscription_id_vendor_subscriptions",
        ),
        sa.ForeignKeyConstraint(["to_price_id"], ["tier_prices.id"], name="fk_tier_changes_to_price_id_tier_prices"),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name="fk_tier_changes_vendor_id_vendors"),
        sa.PrimaryKeyConstraint("id", name="pk_tier_changes"),
    )
    op.create_index("ix_tier_changes_subscription_id", "tier_changes", ["subscription_id"], unique=False)
    op.create_index("ix_tier_changes_vendor_id", "tier_changes", ["vendor_id"], unique=False)
    op.create_index(
        "uq_tier_changes_one_under_way",
        "tier_changes",
        ["subscription_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('requested', 'scheduled', 'awaiting_payment')"),
        postgresql_where=sa.text("state IN ('requested', 'scheduled', 'awaiting_payment')"),
    )
    _forbid_changes()


def downgrade() -> None:
    for name in TABLES_LAST_FIRST:
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")
