"""Runs and log chunks in partitions by the month of the run's creation, the uids of all runs, and how long they stay.

What is there is carried over. The text of archived runs is found by trigrams: pg_trgm is a trusted extension, which the
owner of a database may add to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ACTIVE = "phase IN ('Pending', 'Starting', 'Running', 'Retrying')"
NEWEST = (sa.text("created DESC"), sa.text("uid DESC"))

MAKE_PARTITIONS = """
DO $$
DECLARE
  month timestamptz;
BEGIN
  FOR month IN
    SELECT date_trunc('month', {created}, 'UTC') FROM {table}_whole
    UNION SELECT date_trunc('month', now(), 'UTC') + make_interval(months => ahead) FROM generate_series(0, 3) AS ahead
  LOOP
    EXECUTE format(
      'CREATE TABLE {table}_%s PARTITION OF {table} FOR VALUES FROM (%L) TO (%L)',
      to_char(month AT TIME ZONE 'UTC', 'YYYY_MM'), month, month + interval '1 month'
    );
  END LOOP;
END
$$
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "project_settings",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_project_settings")),
    )
    op.execute("SET LOCAL timezone = 'UTC'")
    _runs()
    _log_chunks()


def _runs() -> None:
    op.execute("ALTER TABLE runs RENAME TO runs_whole")
    op.execute("CREATE TABLE runs (LIKE runs_whole INCLUDING DEFAULTS INCLUDING STORAGE) PARTITION BY RANGE (created)")
    op.execute(MAKE_PARTITIONS.format(table="runs", created="created"))
    op.execute("INSERT INTO runs SELECT * FROM runs_whole")
    op.create_table(
        "run_keys",
        sa.Column("uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_run_keys")),
    )
    op.execute("INSERT INTO run_keys (uid, project, name, created) SELECT uid, project, name, created FROM runs")
    op.create_index("ix_run_keys_project_name_created", "run_keys", ["project", "name", sa.text("created DESC")])


def _log_chunks() -> None:
    op.execute("ALTER TABLE log_chunks RENAME TO log_chunks_whole")
    op.execute("ALTER TABLE log_chunks_whole ADD COLUMN run_created timestamptz")
    # Of a run that isn't stored nobody will ask; such chunks go with the month they were written in.
    op.execute(
        "UPDATE log_chunks_whole SET run_created ="
        " coalesce((SELECT created FROM runs_whole WHERE uid = run_uid), log_chunks_whole.created)"
    )
    op.execute("ALTER TABLE log_chunks_whole ALTER COLUMN run_created SET NOT NULL")
    op.execute("CREATE TABLE log_chunks (LIKE log_chunks_whole INCLUDING STORAGE) PARTITION BY RANGE (run_created)")
    op.execute("ALTER TABLE log_chunks ALTER COLUMN created SET DEFAULT now()")
    op.execute("CREATE SEQUENCE log_chunk_ids")
    op.execute("ALTER TABLE log_chunks ALTER COLUMN id SET DEFAULT nextval('log_chunk_ids')")
    op.execute("SELECT setval('log_chunk_ids', (SELECT coalesce(max(id), 0) + 1 FROM log_chunks_whole), false)")
    # Each table has the months of the other.
    op.execute(MAKE_PARTITIONS.format(table="log_chunks", created="run_created"))
    op.execute(_MONTHS_OF_BOTH)
    op.execute("INSERT INTO log_chunks SELECT * FROM log_chunks_whole")
    op.execute("DROP TABLE log_chunks_whole")
    op.execute("DROP TABLE runs_whole")
    _indexes()


_MONTHS_OF_BOTH = """
DO $$
DECLARE
  made record;
BEGIN
  FOR made IN
    SELECT other.parent AS parent, right(c.relname, 7) AS month
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    JOIN (VALUES ('runs', 'log_chunks'), ('log_chunks', 'runs')) AS other (parent, from_parent)
      ON i.inhparent = to_regclass(other.from_parent)
    WHERE to_regclass(other.parent || '_' || right(c.relname, 7)) IS NULL
  LOOP
    EXECUTE format(
      'CREATE TABLE %s_%s PARTITION OF %s FOR VALUES FROM (%L) TO (%L)',
      made.parent, made.month, made.parent, to_date(made.month, 'YYYY_MM')::timestamptz,
      (to_date(made.month, 'YYYY_MM') + interval '1 month')::timestamptz
    );
  END LOOP;
END
$$
"""


def _indexes() -> None:
    op.create_primary_key("pk_runs", "runs", ["uid", "created"])
    op.create_primary_key("pk_log_chunks", "log_chunks", ["run_uid", "id", "run_created"])
    op.create_index(
        "uq_log_chunks_place",
        "log_chunks",
        ["run_uid", "attempt", "pod_uid", "position", "run_created"],
        unique=True,
    )
    op.create_index("ix_runs_project_created_uid", "runs", ["project", *NEWEST])
    for column in ("phase", "task", "queue"):
        op.create_index(f"ix_runs_project_{column}_created_uid", "runs", ["project", column, *NEWEST])
    op.create_index("ix_runs_project_task_phase_created_uid", "runs", ["project", "task", "phase", *NEWEST])
    for name, column in (("schedule", "schedule"), ("batch", "batch"), ("parent", "parent_run")):
        op.create_index(
            f"ix_runs_project_{name}_created_uid",
            "runs",
            ["project", column, *NEWEST],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.create_index("ix_runs_project_finished", "runs", ["project", sa.text("finished_at DESC"), "phase"])
    op.create_index("ix_runs_active", "runs", ["project", "phase"], postgresql_where=sa.text(ACTIVE))
    op.create_index(
        "ix_runs_in_cluster", "runs", ["project", "finished_at"], postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.create_index(
        "ix_runs_archived_text",
        "runs",
        ["name", "message", "tags"],
        postgresql_using="gin",
        postgresql_ops={"name": "gin_trgm_ops", "message": "gin_trgm_ops"},
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("CREATE TABLE runs_whole (LIKE runs INCLUDING DEFAULTS INCLUDING STORAGE)")
    op.execute("INSERT INTO runs_whole SELECT * FROM runs")
    op.execute("DROP TABLE runs")
    op.execute("ALTER TABLE runs_whole RENAME TO runs")
    op.create_primary_key("pk_runs", "runs", ["uid"])
    op.create_index("ix_runs_project_name_created", "runs", ["project", "name", sa.text("created DESC")])
    op.create_index("ix_runs_project_created_uid", "runs", ["project", *NEWEST])
    for column in ("phase", "task", "queue"):
        op.create_index(f"ix_runs_project_{column}_created_uid", "runs", ["project", column, *NEWEST])
    op.create_index(
        "ix_runs_project_parent_created_uid",
        "runs",
        ["project", "parent_run", *NEWEST],
        postgresql_where=sa.text("parent_run IS NOT NULL"),
    )
    op.create_index("ix_runs_project_finished", "runs", ["project", sa.text("finished_at DESC"), "phase"])
    op.create_index("ix_runs_active", "runs", ["project", "phase"], postgresql_where=sa.text(ACTIVE))
    op.create_index(
        "ix_runs_in_cluster", "runs", ["project", "finished_at"], postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.execute("CREATE TABLE log_chunks_whole (LIKE log_chunks INCLUDING STORAGE)")
    op.execute("INSERT INTO log_chunks_whole SELECT * FROM log_chunks")
    op.execute("DROP TABLE log_chunks")
    op.execute("DROP SEQUENCE log_chunk_ids")
    op.execute("ALTER TABLE log_chunks_whole RENAME TO log_chunks")
    op.execute("ALTER TABLE log_chunks DROP COLUMN run_created")
    op.execute("ALTER TABLE log_chunks ALTER COLUMN created SET DEFAULT now()")
    op.execute("ALTER TABLE log_chunks ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY")
    op.execute(
        "SELECT setval(pg_get_serial_sequence('log_chunks', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM log_chunks))"
    )
    op.create_primary_key("pk_log_chunks", "log_chunks", ["id"])
    op.create_index("ix_log_chunks_run_uid_id", "log_chunks", ["run_uid", "id"])
    op.create_index("uq_log_chunks_place", "log_chunks", ["run_uid", "attempt", "pod_uid", "position"], unique=True)
    op.drop_table("run_keys")
    op.drop_table("project_settings")
