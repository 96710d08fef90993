"""Runs and all that is kept of them.

``runs`` and ``log_chunks`` are partitioned by the month in which the run was created (``store.partitions``). A key that holds
throughout them must have that time in it; that no uid is there twice is seen to by ``run_keys``.
"""

from datetime import datetime
from typing import Final, Literal

from sqlalchemy import BigInteger, Double, Index, Integer, LargeBinary, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.store.models.base import Base, Timestamp, Uid

LogMark = Literal["complete", "truncated", "lost"]
"""How the log of a pod ended."""
_ACTIVE_SQL = text("phase IN ('Pending', 'Starting', 'Running', 'Retrying')")


KEY_SQL: Final = "(left(spec ->> 'concurrencyKey', 128))"
REQUESTER_SQL: Final = "(left(COALESCE(submitted_by, requested_by), 512))"
NEEDED_SQL: Final = "(jsonb_path_query_array(spec, '$.dependsOn[*].name'))"
"""What runs are found by and no column has. Queries must have the very same expression for its index to be used. It is cut, as an
index takes no long value: an annotation says who asked for a run, and may have 256 KiB."""


def _of_some(name: str, column: str) -> Index:
    """For lists of the runs that have something which most haven't."""
    return Index(
        f"ix_runs_project_{name}_created_uid",
        "project",
        text(column) if column.startswith("(") else column,
        text("created DESC"),
        text("uid DESC"),
        postgresql_where=text(f"{column} IS NOT NULL"),
    )


class Run(Base):
    """One TaskRun, in the cluster or gone from it. Columns that are searched are taken out of spec and status.

    Text is found by trigrams in runs that are gone from the cluster, which don't change any more: each is indexed once.
    """

    __tablename__ = "runs"
    uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    project: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Timestamp, primary_key=True)
    resource_version: Mapped[int] = mapped_column(BigInteger)
    phase: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str | None] = mapped_column(Text)
    task: Mapped[str | None] = mapped_column(Text)
    queue: Mapped[str | None] = mapped_column(Text)
    schedule: Mapped[str | None] = mapped_column(Text)
    batch: Mapped[str | None] = mapped_column(Text)
    parent_run: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    attempt: Mapped[int] = mapped_column(Integer)
    queued_at: Mapped[datetime | None] = mapped_column(Timestamp)
    started_at: Mapped[datetime | None] = mapped_column(Timestamp)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)
    deleted_at: Mapped[datetime | None] = mapped_column(Timestamp)
    pods_removed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    requested_by: Mapped[str | None] = mapped_column(Text)
    submitted_by: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column(JSONB)
    spec: Mapped[JsonObject] = mapped_column(JSONB)
    status: Mapped[JsonObject] = mapped_column(JSONB)

    __table_args__ = (
        Index("ix_runs_project_created_uid", "project", text("created DESC"), text("uid DESC")),
        Index("ix_runs_project_phase_created_uid", "project", "phase", text("created DESC"), text("uid DESC")),
        Index("ix_runs_project_task_created_uid", "project", "task", text("created DESC"), text("uid DESC")),
        Index(
            "ix_runs_project_task_phase_created_uid",
            "project",
            "task",
            "phase",
            text("created DESC"),
            text("uid DESC"),
        ),
        Index("ix_runs_project_queue_created_uid", "project", "queue", text("created DESC"), text("uid DESC")),
        _of_some("reason", "reason"),
        _of_some("schedule", "schedule"),
        _of_some("batch", "batch"),
        _of_some("parent", "parent_run"),
        _of_some("key", KEY_SQL),
        _of_some("requester", REQUESTER_SQL),
        Index(
            "ix_runs_needed",
            text(NEEDED_SQL),
            postgresql_using="gin",
            postgresql_where=text("spec ? 'dependsOn'"),
        ),
        Index("ix_runs_project_finished", "project", text("finished_at DESC"), "phase"),
        Index("ix_runs_active", "project", "phase", postgresql_where=_ACTIVE_SQL),
        Index("ix_runs_in_cluster", "project", "finished_at", postgresql_where=text("deleted_at IS NULL")),
        Index(
            "ix_runs_archived_text",
            "name",
            "message",
            "tags",
            postgresql_using="gin",
            postgresql_ops={"name": "gin_trgm_ops", "message": "gin_trgm_ops"},
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
        {"postgresql_partition_by": "RANGE (created)"},
    )


class RunKey(Base):
    """That there is a run of this uid, and which partition its row is in."""

    __tablename__ = "run_keys"
    uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    project: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Timestamp)

    __table_args__ = (Index("ix_run_keys_project_name_created", "project", "name", text("created DESC")),)


class ProjectSettings(Base):
    """What admins of a project have set for it."""

    __tablename__ = "project_settings"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    retention_days: Mapped[int | None] = mapped_column(Integer)
    """How long archived runs are kept; 0: for ever, without a number: as the installation's setting says."""


class ProjectBytes(Base):
    """Bytes that the archive keeps for a project: the sum of its rows. Each writer has a row of its own, as good as always, so
    that no one waits for another. See ``queries/project_bytes.py``."""

    __tablename__ = "project_bytes"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    counted: Mapped[datetime | None] = mapped_column(Timestamp)
    """When a recount was last added, in the row that has these alone."""


class AttemptProgress(Base):
    """The last progress that an attempt reported."""

    __tablename__ = "attempt_progress"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    progress: Mapped[float | None] = mapped_column(Double)
    message: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Timestamp)


class Result(Base):
    """What an attempt gave back, as its pod sent it: too large for a status. zlib-compressed in ``data``."""

    __tablename__ = "results"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    size: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(Text)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(Timestamp)


class Checkpoint(Base):
    """The last checkpoint of a run, for its next attempt. zlib-compressed in ``data``."""

    __tablename__ = "checkpoints"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    size: Mapped[int] = mapped_column(Integer)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(Timestamp)


class RunMetadata(Base):
    """The metadata that a run has set."""

    __tablename__ = "run_metadata"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    data: Mapped[JsonObject] = mapped_column(JSONB)
    at: Mapped[datetime] = mapped_column(Timestamp)


class LogChunk(Base):
    """A piece of what a pod wrote: ``size`` bytes from ``position`` on, zlib-compressed in ``data``."""

    __tablename__ = "log_chunks"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, server_default=text("nextval('log_chunk_ids')")
    )
    run_created: Mapped[datetime] = mapped_column(Timestamp, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    pod_uid: Mapped[str] = mapped_column(Text)
    pod_name: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(Integer)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    file_at: Mapped[int | None] = mapped_column(BigInteger)
    """With ``file_base`` and ``line_at``: see ``queries/logs.py``, ``Place``."""
    file_base: Mapped[int | None] = mapped_column(BigInteger)
    line_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("uq_log_chunks_place", "run_uid", "attempt", "pod_uid", "position", "run_created", unique=True),
        {"postgresql_partition_by": "RANGE (run_created)"},
    )


class LogEnd(Base):
    """How the log of a pod ended. Without it the run isn't deleted."""

    __tablename__ = "log_ends"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    pod_uid: Mapped[str] = mapped_column(Text, primary_key=True)
    pod_name: Mapped[str] = mapped_column(Text)
    mark: Mapped[LogMark] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class TaskSpecText(Base):
    """The spec of a Task that runs of a project were started with, by its hash (``status.attempts[].specHash``)."""

    __tablename__ = "task_specs"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    hash: Mapped[str] = mapped_column(Text, primary_key=True)
    spec: Mapped[str] = mapped_column(Text)
    """JSON. As text: jsonb would be read whole only to be shown."""
    seen: Mapped[datetime] = mapped_column(Timestamp)
    """When a Job was last seen with it."""


class ErasedRun(Base):
    """A run that was deleted for good, noted so that nothing that is still under way brings it back."""

    __tablename__ = "erased_runs"
    uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    at: Mapped[datetime] = mapped_column(Timestamp)
