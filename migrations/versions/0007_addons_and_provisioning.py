"""Add-ons of vendors, how they are set up, and what comes of them.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT = sa.DateTime(timezone=True)
JSONB = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

#: What refers to another comes before it.
NEW_LAST_FIRST = (
    "provisioning_log",
    "provisioning_steps",
    "mailboxes",
    "provisioning_runs",
    "domains",
    "certificates",
    "vendor_addons",
)


def upgrade() -> None:
    _addons()
    _provisioning()
    _outcomes()
    _grown_tables()


def _addons() -> None:
    op.create_table(
        "vendor_addons",
        sa.Column("id", BIG, nullable=False),
        sa.Column("addon_id", BIG, nullable=False),
        sa.Column("variant", sa.String(length=20), nullable=False),
        sa.Column("price_id", BIG, nullable=True),
        sa.Column("origin", sa.String(length=10), nullable=False),
        sa.Column("provider", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=14), nullable=False),
        sa.Column("quantity", BIG, nullable=False),
        sa.Column("config", JSONB, nullable=False),
        sa.Column("next_price_id", BIG, nullable=True),
        sa.Column("next_quantity", BIG, nullable=True),
        sa.Column("order_item_id", BIG, nullable=True),
        sa.Column("stripe_subscription_id", sa.String(length=255), nullable=True),
        sa.Column("stripe_item_id", sa.String(length=255), nullable=True),
        sa.Column("period_start", AT, nullable=True),
        sa.Column("period_end", AT, nullable=True),
        sa.Column("anchor_at", AT, nullable=True),
        sa.Column("past_due_since", AT, nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("ends_at", AT, nullable=True),
        sa.Column("promised_at", AT, nullable=True),
        sa.Column("provisioned_at", AT, nullable=True),
        sa.Column("cancelled_at", AT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("version", BIG, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint(
            "(status = 'cancelled') = (cancelled_at IS NOT NULL)", name=op.f("ck_vendor_addons_cancelled")
        ),
        sa.CheckConstraint("origin IN ('bought', 'included', 'given')", name=op.f("ck_vendor_addons_origin")),
        sa.CheckConstraint("provider IN ('none', 'stripe', 'transfer')", name=op.f("ck_vendor_addons_provider")),
        sa.CheckConstraint(
            "status IN ('pending_setup', 'active', 'failed', 'cancelled')", name=op.f("ck_vendor_addons_status")
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_vendor_addons_quantity")),
        sa.ForeignKeyConstraint(
            ["addon_id"], ["addon_products.id"], name=op.f("fk_vendor_addons_addon_id_addon_products")
        ),
        sa.ForeignKeyConstraint(
            ["next_price_id"], ["addon_prices.id"], name=op.f("fk_vendor_addons_next_price_id_addon_prices")
        ),
        sa.ForeignKeyConstraint(
            ["order_item_id"], ["order_items.id"], name=op.f("fk_vendor_addons_order_item_id_order_items")
        ),
        sa.ForeignKeyConstraint(["price_id"], ["addon_prices.id"], name=op.f("fk_vendor_addons_price_id_addon_prices")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_vendor_addons_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vendor_addons")),
        sa.UniqueConstraint("order_item_id", name=op.f("uq_vendor_addons_order_item_id")),
        sa.UniqueConstraint("stripe_item_id", name=op.f("uq_vendor_addons_stripe_item_id")),
        sa.UniqueConstraint("stripe_subscription_id", name=op.f("uq_vendor_addons_stripe_subscription_id")),
    )
    op.create_index("ix_vendor_addons_addon_id", "vendor_addons", ["addon_id"])
    op.create_index(
        "ix_vendor_addons_provider_status_period_end", "vendor_addons", ["provider", "status", "period_end"]
    )
    op.create_index("ix_vendor_addons_vendor_id", "vendor_addons", ["vendor_id"])
    op.create_index(
        "uq_vendor_addons_one_included",
        "vendor_addons",
        ["vendor_id", "addon_id"],
        unique=True,
        sqlite_where=sa.text("origin = 'included' AND status <> 'cancelled'"),
        postgresql_where=sa.text("origin = 'included' AND status <> 'cancelled'"),
    )


def _provisioning() -> None:
    op.create_table(
        "provisioning_runs",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_addon_id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("recipe", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("input", JSONB, nullable=False),
        sa.Column("promised_at", AT, nullable=True),
        sa.Column("late_told_at", AT, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("finished_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("kind IN ('setup', 'change', 'teardown')", name=op.f("ck_provisioning_runs_kind")),
        sa.CheckConstraint(
            "state IN ('running', 'waiting', 'done', 'failed', 'cancelled')", name=op.f("ck_provisioning_runs_state")
        ),
        sa.ForeignKeyConstraint(
            ["vendor_addon_id"], ["vendor_addons.id"], name=op.f("fk_provisioning_runs_vendor_addon_id_vendor_addons")
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_provisioning_runs_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioning_runs")),
    )
    op.create_index("ix_provisioning_runs_state_created_at_id", "provisioning_runs", ["state", "created_at", "id"])
    op.create_index("ix_provisioning_runs_vendor_addon_id", "provisioning_runs", ["vendor_addon_id"])
    op.create_index("ix_provisioning_runs_vendor_id", "provisioning_runs", ["vendor_id"])
    op.create_index(
        "uq_provisioning_runs_one_open",
        "provisioning_runs",
        ["vendor_addon_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('running', 'waiting', 'failed')"),
        postgresql_where=sa.text("state IN ('running', 'waiting', 'failed')"),
    )
    op.create_table(
        "provisioning_steps",
        sa.Column("id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("next_try_at", AT, nullable=True),
        sa.Column("due_at", AT, nullable=True),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("result", JSONB, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", AT, nullable=True),
        sa.Column("finished_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint(
            "state IN ('todo', 'running', 'retrying', 'waiting_vendor', 'waiting_staff', 'done', 'failed', 'skipped', "
            "'undone')",
            name=op.f("ck_provisioning_steps_state"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["provisioning_runs.id"], name=op.f("fk_provisioning_steps_run_id_provisioning_runs")
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_provisioning_steps_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioning_steps")),
        sa.UniqueConstraint("run_id", "position", name=op.f("uq_provisioning_steps_run_id_position")),
    )
    op.create_index("ix_provisioning_steps_state_next_try_at", "provisioning_steps", ["state", "next_try_at"])
    op.create_index("ix_provisioning_steps_vendor_id", "provisioning_steps", ["vendor_id"])
    op.create_table(
        "provisioning_log",
        sa.Column("id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("step_id", BIG, nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("is_error", sa.Boolean(), nullable=False),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("actor_label", sa.String(length=120), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["provisioning_runs.id"], name=op.f("fk_provisioning_log_run_id_provisioning_runs")
        ),
        sa.ForeignKeyConstraint(
            ["step_id"], ["provisioning_steps.id"], name=op.f("fk_provisioning_log_step_id_provisioning_steps")
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_provisioning_log_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioning_log")),
    )
    op.create_index("ix_provisioning_log_run_id_at_id", "provisioning_log", ["run_id", "at", "id"])
    op.create_index("ix_provisioning_log_vendor_id", "provisioning_log", ["vendor_id"])


def _outcomes() -> None:
    op.create_table(
        "domains",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("shown", sa.String(length=253), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("vendor_addon_id", BIG, nullable=True),
        sa.Column("checks", JSONB, nullable=True),
        sa.Column("checked_at", AT, nullable=True),
        sa.Column("next_check_at", AT, nullable=True),
        sa.Column("failing_since", AT, nullable=True),
        sa.Column("verified_at", AT, nullable=True),
        sa.Column("registered_until", AT, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("removed_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("(state = 'removed') = (removed_at IS NOT NULL)", name=op.f("ck_domains_removed")),
        sa.CheckConstraint("kind IN ('registered', 'own')", name=op.f("ck_domains_kind")),
        sa.CheckConstraint(
            "state IN ('pending', 'registering', 'active', 'failing', 'failed', 'removed')",
            name=op.f("ck_domains_state"),
        ),
        sa.ForeignKeyConstraint(
            ["vendor_addon_id"], ["vendor_addons.id"], name=op.f("fk_domains_vendor_addon_id_vendor_addons")
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_domains_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domains")),
    )
    op.create_index("ix_domains_state_next_check_at", "domains", ["state", "next_check_at"])
    op.create_index("ix_domains_vendor_addon_id", "domains", ["vendor_addon_id"])
    op.create_index("ix_domains_vendor_id", "domains", ["vendor_id"])
    op.create_index(
        "uq_domains_once_per_vendor",
        "domains",
        ["vendor_id", "name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_index(
        "uq_domains_one_holder",
        "domains",
        ["name"],
        unique=True,
        sqlite_where=sa.text("state IN ('registering', 'active', 'failing')"),
        postgresql_where=sa.text("state IN ('registering', 'active', 'failing')"),
    )
    op.create_index(
        "uq_domains_one_primary",
        "domains",
        ["vendor_id"],
        unique=True,
        sqlite_where=sa.text("is_primary AND removed_at IS NULL"),
        postgresql_where=sa.text("is_primary AND removed_at IS NULL"),
    )
    op.create_table(
        "mailboxes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_addon_id", BIG, nullable=False),
        sa.Column("domain_id", BIG, nullable=False),
        sa.Column("address", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("removed_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.CheckConstraint("(state = 'removed') = (removed_at IS NOT NULL)", name=op.f("ck_mailboxes_removed")),
        sa.CheckConstraint("state IN ('pending', 'active', 'failed', 'removed')", name=op.f("ck_mailboxes_state")),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_mailboxes_domain_id_domains")),
        sa.ForeignKeyConstraint(
            ["vendor_addon_id"], ["vendor_addons.id"], name=op.f("fk_mailboxes_vendor_addon_id_vendor_addons")
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_mailboxes_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailboxes")),
    )
    op.create_index("ix_mailboxes_vendor_addon_id", "mailboxes", ["vendor_addon_id"])
    op.create_index("ix_mailboxes_vendor_id", "mailboxes", ["vendor_id"])
    op.create_index(
        "uq_mailboxes_one_address",
        "mailboxes",
        ["address"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "certificates",
        sa.Column("id", BIG, nullable=False),
        sa.Column("vendor_addon_id", BIG, nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("request_pem", sa.Text(), nullable=False),
        sa.Column("private_key", sa.Text(), nullable=True),
        sa.Column("chain_pem", sa.Text(), nullable=True),
        sa.Column("serial", sa.String(length=64), nullable=True),
        sa.Column("valid_from", AT, nullable=True),
        sa.Column("valid_until", AT, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("replaced_at", AT, nullable=True),
        sa.Column("vendor_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["vendor_addon_id"], ["vendor_addons.id"], name=op.f("fk_certificates_vendor_addon_id_vendor_addons")
        ),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.id"], name=op.f("fk_certificates_vendor_id_vendors")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificates")),
    )
    op.create_index("ix_certificates_vendor_addon_id", "certificates", ["vendor_addon_id"])
    op.create_index("ix_certificates_vendor_id", "certificates", ["vendor_id"])


def _grown_tables() -> None:
    with op.batch_alter_table("addon_products") as batch:
        batch.add_column(sa.Column("max_quantity", BIG, server_default="1", nullable=False))
        batch.add_column(sa.Column("promised_hours", BIG, server_default="48", nullable=False))
        batch.create_check_constraint(op.f("ck_addon_products_max_quantity"), "max_quantity >= 1")
        batch.create_check_constraint(op.f("ck_addon_products_promised_hours"), "promised_hours >= 0")
    with op.batch_alter_table("invoice_lines") as batch:
        batch.add_column(sa.Column("addon_price_id", BIG, nullable=True))
        batch.add_column(sa.Column("vendor_addon_id", BIG, nullable=True))
        batch.create_foreign_key(
            "fk_invoice_lines_vendor_addon_id_vendor_addons", "vendor_addons", ["vendor_addon_id"], ["id"]
        )
        batch.create_foreign_key(
            "fk_invoice_lines_addon_price_id_addon_prices", "addon_prices", ["addon_price_id"], ["id"]
        )
    with op.batch_alter_table("order_items") as batch:
        batch.add_column(sa.Column("addon_price_id", BIG, nullable=True))
        batch.add_column(sa.Column("config", JSONB, nullable=True))
        batch.create_foreign_key(
            "fk_order_items_addon_price_id_addon_prices", "addon_prices", ["addon_price_id"], ["id"]
        )
    with op.batch_alter_table("orders") as batch:
        batch.alter_column("price_id", existing_type=BIG, nullable=True)
        batch.drop_constraint(op.f("ck_orders_kind"), type_="check")
        batch.create_check_constraint(op.f("ck_orders_kind"), "kind IN ('subscription', 'addon')")
        batch.create_check_constraint(op.f("ck_orders_price"), "(kind = 'subscription') = (price_id IS NOT NULL)")
    with op.batch_alter_table("purchases") as batch:
        batch.add_column(sa.Column("addon_id", BIG, nullable=True))
        batch.create_foreign_key("fk_purchases_addon_id_addon_products", "addon_products", ["addon_id"], ["id"])
    with op.batch_alter_table("vendor_subscriptions") as batch:
        batch.add_column(sa.Column("cancel_at", AT, nullable=True))


def downgrade() -> None:
    """Orders of add-ons are taken away with the add-ons: the schema before has no place for them."""
    with op.batch_alter_table("vendor_subscriptions") as batch:
        batch.drop_column("cancel_at")
    with op.batch_alter_table("purchases") as batch:
        batch.drop_constraint("fk_purchases_addon_id_addon_products", type_="foreignkey")
        batch.drop_column("addon_id")
    with op.batch_alter_table("invoice_lines") as batch:
        batch.drop_constraint("fk_invoice_lines_vendor_addon_id_vendor_addons", type_="foreignkey")
        batch.drop_constraint("fk_invoice_lines_addon_price_id_addon_prices", type_="foreignkey")
        batch.drop_column("vendor_addon_id")
        batch.drop_column("addon_price_id")
    for table in NEW_LAST_FIRST:
        op.drop_table(table)
    _forget_addon_orders()
    with op.batch_alter_table("order_items") as batch:
        batch.drop_constraint("fk_order_items_addon_price_id_addon_prices", type_="foreignkey")
        batch.drop_column("config")
        batch.drop_column("addon_price_id")
    with op.batch_alter_table("orders") as batch:
        batch.drop_constraint(op.f("ck_orders_price"), type_="check")
        batch.drop_constraint(op.f("ck_orders_kind"), type_="check")
        batch.create_check_constraint(op.f("ck_orders_kind"), "kind IN ('subscription')")
        batch.alter_column("price_id", existing_type=BIG, nullable=False)
    with op.batch_alter_table("addon_products") as batch:
        batch.drop_constraint(op.f("ck_addon_products_promised_hours"), type_="check")
        batch.drop_constraint(op.f("ck_addon_products_max_quantity"), type_="check")
        batch.drop_column("promised_hours")
        batch.drop_column("max_quantity")


def _forget_addon_orders() -> None:
    """Purchases stay, as money papers do; they only lose the order that they came from."""
    orders = sa.table("orders", sa.column("id"), sa.column("kind"))
    theirs = sa.select(orders.c.id).where(orders.c.kind == "addon")
    purchases = sa.table("purchases", sa.column("order_id"))
    items = sa.table("order_items", sa.column("order_id"))
    op.execute(purchases.update().where(purchases.c.order_id.in_(theirs)).values(order_id=None))
    op.execute(items.delete().where(items.c.order_id.in_(theirs)))
    op.execute(orders.delete().where(orders.c.kind == "addon"))
