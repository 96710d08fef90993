"""Runs are found by their concurrency key, by who asked for them, and by what they depend on."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

FOUND_BY = {
    "key": "(left(spec ->> 'concurrencyKey', 128))",
    "requester": "(left(COALESCE(submitted_by, requested_by), 512))",
}


def upgrade() -> None:
    # Each month has equal indexes by now (store/indexes_ahead.py), which are attached and not built again.
    newest = (sa.text("created DESC"), sa.text("uid DESC"))
    for name, expression in FOUND_BY.items():
        op.create_index(
            f"ix_runs_project_{name}_created_uid",
            "runs",
            ["project", sa.text(expression), *newest],
            postgresql_where=sa.text(f"{expression} IS NOT NULL"),
            unique=False,
        )
    op.create_index(
        "ix_runs_needed",
        "runs",
        [sa.text("(jsonb_path_query_array(spec, '$.dependsOn[*].name'))")],
        postgresql_using="gin",
        postgresql_where=sa.text("spec ? 'dependsOn'"),
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("ix_runs_needed", "runs")
    for name in FOUND_BY:
        op.drop_index(f"ix_runs_project_{name}_created_uid", "runs")
