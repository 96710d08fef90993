"""Counts of runs that have ended, for pages over a long time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Empty: the mirror counts what is there already.
    op.create_table(
        "run_rollups",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("took", postgresql.JSONB(), nullable=False),
        sa.Column("waited", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("project", "step", "at", "phase", name=op.f("pk_run_rollups")),
    )
    op.create_table(
        "failure_rollups",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_run", postgresql.UUID(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("project", "at", "digest", name=op.f("pk_failure_rollups")),
    )
    op.create_table(
        "rollup_marks",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("counted_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_rollup_marks")),
    )


def downgrade() -> None:
    for table in ("run_rollups", "failure_rollups", "rollup_marks"):
        op.drop_table(table)
