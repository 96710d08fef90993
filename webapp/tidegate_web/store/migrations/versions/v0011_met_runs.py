"""The runs that idempotency keys of other runs have met."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "met_runs",
        sa.Column("run_uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("met_uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_uid", "met_uid", name=op.f("pk_met_runs")),
    )
    op.create_index(op.f("ix_met_runs_created"), "met_runs", ["created"])


def downgrade() -> None:
    op.drop_table("met_runs")
