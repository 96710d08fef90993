"""What pods send beside progress: results, checkpoints, metadata; and whose child a run is."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "results",
        sa.Column("run_uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_uid", "attempt", name=op.f("pk_results")),
    )
    op.create_table(
        "checkpoints",
        sa.Column("run_uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_uid", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "run_metadata",
        sa.Column("run_uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_uid", name=op.f("pk_run_metadata")),
    )
    op.add_column("runs", sa.Column("parent_run", sa.Text(), nullable=True))
    op.execute("UPDATE runs SET parent_run = spec ->> 'parentRun' WHERE spec ? 'parentRun'")
    # They are compressed already.
    op.execute("ALTER TABLE results ALTER COLUMN data SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE checkpoints ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_index(
        "ix_runs_project_parent_created_uid",
        "runs",
        ["project", "parent_run", sa.text("created DESC"), sa.text("uid DESC")],
        unique=False,
        postgresql_where=sa.text("parent_run IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_runs_project_parent_created_uid", table_name="runs")
    op.drop_column("runs", "parent_run")
    op.drop_table("run_metadata")
    op.drop_table("checkpoints")
    op.drop_table("results")
