"""What stands to a vendor's credit at Stripe is shown here, too.

Revision: 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE, COLUMN = "vendor_subscriptions", "stripe_credit_minor"


def upgrade() -> None:
    op.add_column(
        TABLE,
        sa.Column(
            COLUMN, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default=sa.text("0"), nullable=False
        ),
    )


def downgrade() -> None:
    with op.batch_alter_table(TABLE) as batch:
        batch.drop_column(COLUMN)
