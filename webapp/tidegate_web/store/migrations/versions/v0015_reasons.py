"""Runs are found by their reason."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NAME = "ix_runs_project_reason_created_uid"


def upgrade() -> None:
    # Each month has an equal index by now (store/indexes_ahead.py), which is attached and not built again.
    newest = (sa.text("created DESC"), sa.text("uid DESC"))
    op.create_index(
        NAME, "runs", ["project", "reason", *newest], postgresql_where=sa.text("reason IS NOT NULL"), unique=False
    )


def downgrade() -> None:
    op.drop_index(NAME, "runs")
