"""The namespace uid that the data of a project belongs to, and the moves of what belonged to an earlier one."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "project_namespaces",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("namespace_uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("namespace_created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bound", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_project_namespaces")),
    )
    op.create_table(
        "project_moves",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("runs_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("begun", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("completed", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_project_moves")),
    )


def downgrade() -> None:
    op.drop_table("project_moves")
    op.drop_table("project_namespaces")
