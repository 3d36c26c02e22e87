"""Questions of vendors and visitors as tickets, with what was said.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "support_tickets",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("scope", sa.String(10), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("subject", sa.String(150), nullable=False),
        sa.Column("tier_code", sa.String(20), nullable=True),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("locale", sa.String(10), nullable=False),
        sa.Column("opened_at", AT, nullable=False),
        sa.Column("changed_at", AT, nullable=False),
        sa.Column("closed_at", AT, nullable=True),
        sa.CheckConstraint("scope IN ('vendor', 'public')", name=op.f("ck_support_tickets_scope")),
        sa.CheckConstraint("kind IN ('question', 'sales')", name=op.f("ck_support_tickets_kind")),
        sa.CheckConstraint("state IN ('open', 'answered', 'closed')", name=op.f("ck_support_tickets_state")),
        sa.CheckConstraint(
            "(scope = 'vendor' AND vendor_id IS NOT NULL) OR (scope = 'public' AND vendor_id IS NULL)",
            name=op.f("ck_support_tickets_owner"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_support_tickets_user_id_users")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_support_tickets_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_tickets")),
    )
    for columns in (["vendor_id"], ["user_id"], ["vendor_id", "changed_at", "id"], ["state", "changed_at", "id"],
                    ["email", "opened_at"]):  # fmt: skip
        op.create_index(f"ix_support_tickets_{'_'.join(columns)}", "support_tickets", columns)
    op.create_table(
        "ticket_messages",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_id", BIG, nullable=True),
        sa.Column("ticket_id", BIG, nullable=False),
        sa.Column("author", sa.String(10), nullable=False),
        sa.Column("author_id", BIG, nullable=True),
        sa.Column("author_name", sa.String(120), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.CheckConstraint("author IN ('vendor', 'visitor', 'staff')", name=op.f("ck_ticket_messages_author")),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["support_tickets.id"], name=op.f("fk_ticket_messages_ticket_id_support_tickets")
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_ticket_messages_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_messages")),
    )
    op.create_index("ix_ticket_messages_vendor_id", "ticket_messages", ["vendor_id"])
    op.create_index("ix_ticket_messages_ticket_id_at_id", "ticket_messages", ["ticket_id", "at", "id"])


def downgrade() -> None:
    op.drop_table("ticket_messages")
    op.drop_table("support_tickets")
