"""Whoever keeps an answer hears of changes: of keys, vendors, subscriptions and rights, when they are committed.

PostgreSQL alone; SQLite tells nobody anything. Usage counters tell nothing: they move with every event.

Revision: 0009, after 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: Table, the column with the vendor's id, and which changes tell. A new key or vendor was asked about by nobody.
TELLING = (
    ("api_keys", "vendor_id", "UPDATE OR DELETE"),
    ("vendors", "id", "UPDATE OR DELETE"),
    ("vendor_subscriptions", "vendor_id", "INSERT OR UPDATE OR DELETE"),
    ("entitlement_versions", "vendor_id", "INSERT OR UPDATE OR DELETE"),
)
#: The use of a key is noted once a minute and changes nothing. A key of the platform's belongs to all: no id.
TELL = """
CREATE FUNCTION tell_of_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was jsonb := to_jsonb(OLD) - 'last_used_at';
    becomes jsonb := to_jsonb(NEW) - 'last_used_at';
BEGIN
    IF was IS DISTINCT FROM becomes THEN
        PERFORM pg_notify('portal_changes', coalesce(coalesce(becomes, was) ->> TG_ARGV[0], ''));
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(TELL)
    for table, column, acts in TELLING:
        op.execute(
            f"CREATE TRIGGER {table}_tells AFTER {acts} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION tell_of_change('{column}')"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, _, _ in TELLING:
        op.execute(f"DROP TRIGGER {table}_tells ON {table}")
    op.execute("DROP FUNCTION tell_of_change()")
