"""Subscriptions know their tier: tier_id beside the kept tier_code, filled from it (SUB-13).

A code that no tier has would leave a subscription without limits, so it stops the migration and names the rows:
correct them (or add the tier), then run it again.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNKNOWN = """
    SELECT s.id, s.vendor_id, s.tier_code FROM vendor_subscriptions s
    LEFT JOIN subscription_tiers t ON t.code = s.tier_code WHERE t.id IS NULL ORDER BY s.id LIMIT 20
"""
BACKFILL = """
    UPDATE vendor_subscriptions
    SET tier_id = (SELECT t.id FROM subscription_tiers t WHERE t.code = vendor_subscriptions.tier_code)
"""


def upgrade() -> None:
    _refuse_unknown_codes()
    with op.batch_alter_table("vendor_subscriptions") as batch:
        batch.add_column(sa.Column("tier_id", BIG, nullable=True))
        batch.create_foreign_key(
            "fk_vendor_subscriptions_tier_id_subscription_tiers", "subscription_tiers", ["tier_id"], ["id"]
        )
    op.create_index("ix_vendor_subscriptions_tier_id", "vendor_subscriptions", ["tier_id"])
    op.execute(BACKFILL)


def _refuse_unknown_codes() -> None:
    rows = op.get_bind().execute(sa.text(UNKNOWN)).all()
    if rows:
        named = "; ".join(f"subscription {r.id} of vendor {r.vendor_id}: {r.tier_code!r}" for r in rows)
        raise RuntimeError(f"these subscriptions name a tier that does not exist: {named}")


def downgrade() -> None:
    op.drop_index("ix_vendor_subscriptions_tier_id", "vendor_subscriptions")
    with op.batch_alter_table("vendor_subscriptions") as batch:
        batch.drop_constraint("fk_vendor_subscriptions_tier_id_subscription_tiers", type_="foreignkey")
        batch.drop_column("tier_id")
