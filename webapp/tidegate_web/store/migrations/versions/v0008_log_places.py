"""The times of log lines, by which a log is followed further although its node has begun another file."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = ("file_at", "file_base", "line_at")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("log_chunks", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("log_chunks", name)
