"""When an address was proved, which links were mailed, whose an API key is, when groups are asked for again, and failures of which
many are one audit row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("email_proved", sa.DateTime(timezone=True), nullable=True))
    # A provider has vouched for these; for the admin of the installation, whoever installed it.
    op.execute(
        "UPDATE users SET email_proved = now() WHERE EXISTS (SELECT 1 FROM identities WHERE user_id = users.id) OR EXISTS "
        "(SELECT 1 FROM audit WHERE actor = 'install' AND action = 'user.create' AND target = users.email)"
    )
    for table in ("invitations", "password_links"):
        op.add_column(table, sa.Column("mailed", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("api_keys", sa.Column("owner_id", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_api_keys_owner_id"), "api_keys", ["owner_id"])
    op.create_foreign_key(op.f("fk_api_keys_owner_id"), "api_keys", "users", ["owner_id"], ["id"], ondelete="CASCADE")
    op.execute("UPDATE api_keys SET owner_id = users.id FROM users WHERE users.email = api_keys.created_by")
    # A key that a key made is its maker's owner's; prefixes are told apart by the project, and by age where two are alike.
    op.execute(
        """
        WITH RECURSIVE owned AS (
            SELECT id, project, prefix, owner_id FROM api_keys WHERE owner_id IS NOT NULL
            UNION
            SELECT made.id, made.project, made.prefix, owned.owner_id FROM api_keys made
            JOIN owned ON made.created_by = 'api-key:' || owned.prefix AND made.project = owned.project
        )
        UPDATE api_keys SET owner_id = owned.owner_id FROM owned
        WHERE api_keys.id = owned.id AND api_keys.owner_id IS NULL
        """
    )
    op.add_column("sessions", sa.Column("provider", sa.Text(), nullable=True))
    op.add_column("sessions", sa.Column("refresh_token", sa.LargeBinary(), nullable=True))
    for column in ("groups_due", "groups_tried"):
        op.add_column("sessions", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.add_column("audit", sa.Column("counted_since", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_audit_counted",
        "audit",
        ["action", "outcome", "actor", "address", "counted_since"],
        unique=True,
        postgresql_where=sa.text("counted_since IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_column("audit", "counted_since")
    for column in ("groups_tried", "groups_due", "refresh_token", "provider"):
        op.drop_column("sessions", column)
    op.drop_column("api_keys", "owner_id")
    for table in ("invitations", "password_links"):
        op.drop_column(table, "mailed")
    op.drop_column("users", "email_proved")
