"""Usage by source is found by its month, a replaced webhook secret fits for a day, what staff wrote stays.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
JSONB = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BY_MONTH = "ix_usage_events_vendor_id_metric_at"


def upgrade() -> None:
    op.add_column("webhook_endpoints", sa.Column("previous_secret", sa.Text(), nullable=True))
    op.add_column("webhook_endpoints", sa.Column("previous_until", AT, nullable=True))
    op.add_column("addon_products", sa.Column("edited", JSONB, server_default="[]", nullable=False))
    columns = ["vendor_id", "metric", "at"]
    if op.get_bind().dialect.name == "sqlite":
        op.create_index(BY_MONTH, "usage_events", columns)
        return
    # Events are written all the time: nobody waits for the index. One that broke off midway is made anew.
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {BY_MONTH}")
        op.create_index(BY_MONTH, "usage_events", columns, postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index(BY_MONTH, table_name="usage_events")
    with op.batch_alter_table("addon_products") as batch:
        batch.drop_column("edited")
    with op.batch_alter_table("webhook_endpoints") as batch:
        batch.drop_column("previous_until")
        batch.drop_column("previous_secret")
