"""What a vendor may do and has done, its people and its keys.

Revision: 0006, after 0005.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT = sa.DateTime(timezone=True)
JSONB = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

#: What refers to another comes before it.
NEW_LAST_FIRST = (
    "webhook_deliveries",
    "webhook_endpoints",
    "dismissals",
    "notifications",
    "usage_alert_mutes",
    "usage_alerts",
    "limit_overrides",
    "invitations",
    "api_keys",
)
#: Standings in which the product is open, and the day of a debt from which nothing is created.
OPEN, NARROWS_AFTER = ("trial", "active", "past_due"), timedelta(days=3)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def upgrade() -> None:
    _people()
    _rights_and_usage()
    _told()
    with op.batch_alter_table("entitlement_versions") as batch:
        batch.add_column(sa.Column("standing", sa.String(length=16), nullable=True))
        batch.add_column(sa.Column("period_start", AT, nullable=True))
        batch.add_column(sa.Column("period_end", AT, nullable=True))
        batch.add_column(sa.Column("create_until", AT, nullable=True))
        batch.add_column(sa.Column("open_until", AT, nullable=True))
    with op.batch_alter_table("usage_counters") as batch:
        batch.add_column(sa.Column("as_of", AT, nullable=True))
    _frames()
    _seats()


def _people() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("scope", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("prefix", sa.String(length=24), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("created_by_id", BIG, nullable=True),
        sa.Column("created_by", sa.String(length=120), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=True),
        sa.Column("last_used_at", AT, nullable=True),
        sa.Column("revoked_at", AT, nullable=True),
        sa.CheckConstraint(
            "(scope = 'vendor' AND vendor_id IS NOT NULL) OR (scope = 'platform' AND vendor_id IS NULL)",
            name=op.f("ck_api_keys_owner"),
        ),
        sa.CheckConstraint("scope IN ('vendor', 'platform')", name=op.f("ck_api_keys_scope")),
        sa.ForeignKeyConstraint(["created_by_id"], ["users.id"], name=op.f("fk_api_keys_created_by_id_users")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_api_keys_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_index("ix_api_keys_vendor_id", "api_keys", ["vendor_id"])
    op.create_table(
        "invitations",
        sa.Column("id", BIG, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_key", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("locale", sa.String(length=10), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("invited_by_id", BIG, nullable=True),
        sa.Column("invited_by", sa.String(length=120), nullable=False),
        sa.Column("sent_count", BIG, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("accepted_at", AT, nullable=True),
        sa.Column("accepted_by_id", BIG, nullable=True),
        sa.Column("ended_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("role IN ('manager', 'member')", name=op.f("ck_invitations_role")),
        sa.CheckConstraint("accepted_at IS NULL OR ended_at IS NOT NULL", name=op.f("ck_invitations_accepted")),
        sa.ForeignKeyConstraint(["accepted_by_id"], ["users.id"], name=op.f("fk_invitations_accepted_by_id_users")),
        sa.ForeignKeyConstraint(["invited_by_id"], ["users.id"], name=op.f("fk_invitations_invited_by_id_users")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_invitations_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitations_token_hash")),
    )
    op.create_index("ix_invitations_ended_at_expires_at", "invitations", ["ended_at", "expires_at"])
    op.create_index("ix_invitations_vendor_id", "invitations", ["vendor_id"])
    op.create_index(
        "uq_invitations_one_open",
        "invitations",
        ["vendor_id", "email_key"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _rights_and_usage() -> None:
    op.create_table(
        "limit_overrides",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("amount", BIG, nullable=True),
        sa.Column("level", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("valid_from", AT, nullable=False),
        sa.Column("valid_until", AT, nullable=True),
        sa.Column("ended_at", AT, nullable=True),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("kind IN ('limit', 'feature')", name=op.f("ck_limit_overrides_kind")),
        sa.CheckConstraint("amount IS NULL OR amount >= 0", name=op.f("ck_limit_overrides_amount")),
        sa.CheckConstraint("valid_until IS NULL OR valid_from < valid_until", name=op.f("ck_limit_overrides_span")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_limit_overrides_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limit_overrides")),
    )
    op.create_index("ix_limit_overrides_ended_at_valid_until", "limit_overrides", ["ended_at", "valid_until"])
    op.create_index("ix_limit_overrides_vendor_id", "limit_overrides", ["vendor_id"])
    op.create_index(
        "uq_limit_overrides_one_live",
        "limit_overrides",
        ["vendor_id", "kind", "key"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "usage_alerts",
        sa.Column("id", BIG, nullable=False),
        sa.Column("metric", sa.String(length=40), nullable=False),
        sa.Column("threshold", BIG, nullable=False),
        sa.Column("period_start", AT, nullable=False),
        sa.Column("used", BIG, nullable=False),
        sa.Column("limit_value", BIG, nullable=False),
        sa.Column("raised_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_usage_alerts_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_alerts")),
        sa.UniqueConstraint(
            "vendor_id",
            "metric",
            "threshold",
            "period_start",
            name=op.f("uq_usage_alerts_vendor_id_metric_threshold_period_start"),
        ),
    )
    op.create_index("ix_usage_alerts_vendor_id", "usage_alerts", ["vendor_id"])
    op.create_table(
        "usage_alert_mutes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("metric", sa.String(length=40), nullable=False),
        sa.Column("threshold", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_usage_alert_mutes_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_alert_mutes")),
        sa.UniqueConstraint(
            "vendor_id", "metric", "threshold", name=op.f("uq_usage_alert_mutes_vendor_id_metric_threshold")
        ),
    )
    op.create_index("ix_usage_alert_mutes_vendor_id", "usage_alert_mutes", ["vendor_id"])


def _told() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", BIG, nullable=False),
        sa.Column("dedupe_key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("params", JSONB, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("read_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_notifications_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("vendor_id", "dedupe_key", name=op.f("uq_notifications_vendor_id_dedupe_key")),
    )
    op.create_index("ix_notifications_vendor_id", "notifications", ["vendor_id"])
    op.create_index("ix_notifications_vendor_id_created_at_id", "notifications", ["vendor_id", "created_at", "id"])
    op.create_table(
        "dismissals",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("what", sa.String(length=120), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_dismissals_user_id_users")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_dismissals_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dismissals")),
        sa.UniqueConstraint("vendor_id", "user_id", "what", name=op.f("uq_dismissals_vendor_id_user_id_what")),
    )
    op.create_index("ix_dismissals_vendor_id", "dismissals", ["vendor_id"])
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("scope", sa.String(length=10), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("secret_last4", sa.String(length=4), nullable=False),
        sa.Column("kinds", JSONB, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("failing_since", AT, nullable=True),
        sa.Column("created_by", sa.String(length=120), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("removed_at", AT, nullable=True),
        sa.CheckConstraint(
            "(scope = 'vendor' AND vendor_id IS NOT NULL) OR (scope = 'platform' AND vendor_id IS NULL)",
            name=op.f("ck_webhook_endpoints_owner"),
        ),
        sa.CheckConstraint("scope IN ('vendor', 'platform')", name=op.f("ck_webhook_endpoints_scope")),
        sa.CheckConstraint("state IN ('active', 'paused', 'failing')", name=op.f("ck_webhook_endpoints_state")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_webhook_endpoints_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_index("ix_webhook_endpoints_vendor_id", "webhook_endpoints", ["vendor_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("endpoint_id", BIG, nullable=False),
        sa.Column("event_id", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("next_try_at", AT, nullable=True),
        sa.Column("last_status", BIG, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("delivered_at", AT, nullable=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoints.id"], name=op.f("fk_webhook_deliveries_endpoint_id_webhook_endpoints")
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_webhook_deliveries_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("endpoint_id", "event_id", name=op.f("uq_webhook_deliveries_endpoint_id_event_id")),
    )
    op.create_index(
        "ix_webhook_deliveries_endpoint_id_created_at_id", "webhook_deliveries", ["endpoint_id", "created_at", "id"]
    )
    op.create_index("ix_webhook_deliveries_vendor_id", "webhook_deliveries", ["vendor_id"])


def _frames() -> None:
    """The gate reads the standing and the period beside the version: take them over from the live subscriptions."""
    bind = op.get_bind()
    subscriptions = sa.table(
        "vendor_subscriptions", sa.column("vendor_id"), sa.column("status"), sa.column("period_start", AT),
        sa.column("period_end", AT), sa.column("past_due_since", AT), sa.column("ended_at", AT),
    )  # fmt: skip
    versions = sa.table(
        "entitlement_versions", sa.column("vendor_id"), sa.column("version"), sa.column("standing"),
        sa.column("period_start", AT), sa.column("period_end", AT), sa.column("create_until", AT),
        sa.column("open_until", AT),
    )  # fmt: skip
    known = set(bind.scalars(sa.select(versions.c.vendor_id)))
    for row in bind.execute(sa.select(subscriptions).where(subscriptions.c.ended_at.is_(None))).all():
        if row.vendor_id not in known:
            bind.execute(versions.insert().values(vendor_id=row.vendor_id, version=0))
        bind.execute(versions.update().where(versions.c.vendor_id == row.vendor_id).values(_frame(row)))


def _frame(row: Any) -> dict[str, Any]:
    behind = row.past_due_since if row.status == "past_due" else None
    return {
        "standing": row.status,
        "period_start": row.period_start,
        "period_end": row.period_end,
        "create_until": behind + NARROWS_AFTER if behind else None,
        "open_until": None if row.status in OPEN else datetime.now(UTC),
    }


def _seats() -> None:
    """Seats count from now on: who is in a team already takes one, as one event of its vendor."""
    bind = op.get_bind()
    now = datetime.now(UTC)
    members = sa.table("memberships", sa.column("vendor_id"))
    counters = sa.table(
        "usage_counters", sa.column("vendor_id"), sa.column("metric"), sa.column("period_start", AT), sa.column("used")
    )
    counted = set(bind.scalars(sa.select(counters.c.vendor_id).where(counters.c.metric == "team_members")))
    events = sa.table("usage_events", *(sa.column(c) for c in ("vendor_id", "key", "metric", "quantity")),
                      sa.column("at", AT))  # fmt: skip
    days = sa.table("usage_daily", *(sa.column(c) for c in ("vendor_id", "metric", "quantity")),
                    sa.column("day", sa.Date()))  # fmt: skip
    team = sa.select(members.c.vendor_id, sa.func.count().label("people")).group_by(members.c.vendor_id)
    for row in bind.execute(team).all():
        if row.vendor_id in counted:
            continue
        this = {"vendor_id": row.vendor_id, "metric": "team_members"}
        bind.execute(events.insert().values(**this, key="team:start", quantity=row.people, at=now))
        bind.execute(counters.insert().values(**this, period_start=EPOCH, used=row.people))
        bind.execute(days.insert().values(**this, day=now.date(), quantity=row.people))


def downgrade() -> None:
    with op.batch_alter_table("usage_counters") as batch:
        batch.drop_column("as_of")
    with op.batch_alter_table("entitlement_versions") as batch:
        for column in ("open_until", "create_until", "period_end", "period_start", "standing"):
            batch.drop_column(column)
    for table in NEW_LAST_FIRST:
        op.drop_table(table)
