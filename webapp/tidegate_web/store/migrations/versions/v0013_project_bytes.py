"""The bytes that are kept for each project, and a retention by default."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The mirror counts what is there already: that may take longer than an upgrade should.
    op.create_table(
        "project_bytes",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("counted", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("project", "shard", name=op.f("pk_project_bytes")),
    )
    # Their admins have chosen to keep runs for ever; without a choice the installation's setting counts from now on.
    op.execute("UPDATE project_settings SET retention_days = 0 WHERE retention_days IS NULL")


def downgrade() -> None:
    op.execute("UPDATE project_settings SET retention_days = NULL WHERE retention_days = 0")
    op.drop_table("project_bytes")
