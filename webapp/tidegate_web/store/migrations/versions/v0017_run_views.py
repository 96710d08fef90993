"""Views of the list of runs that are saved under a name, the columns that a user has chosen for it, and their time zone."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The version before names the columns of users that it reads, and goes on beside this one.
    op.add_column("users", sa.Column("run_columns", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("users", sa.Column("time_zone", sa.Text(), nullable=True))
    op.create_table(
        "run_views",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("filters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("columns", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_views")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_run_views_owner_id"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_run_views_owner_id"), "run_views", ["owner_id"])
    op.create_index(
        "uq_run_views_project_owner_id_name",
        "run_views",
        ["project", "owner_id", "name"],
        unique=True,
        postgresql_where=sa.text("owner_id IS NOT NULL"),
    )
    op.create_index(
        "uq_run_views_project_name",
        "run_views",
        ["project", "name"],
        unique=True,
        postgresql_where=sa.text("owner_id IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("run_views")
    op.drop_column("users", "time_zone")
    op.drop_column("users", "run_columns")
