"""The tables. Everything here is written by the mirror and the web processes alone; migrations/ makes it in Postgres.

Runs and log chunks are partitioned by the month in which the run was created (``store.partitions``). A key that holds
throughout them must have that time in it; that no uid is there twice is seen to by ``run_keys``.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

TERMINAL_PHASES = ("Succeeded", "Failed", "Cancelled", "Expired", "Skipped")
ACTIVE_PHASES = ("Pending", "Starting", "Running", "Retrying")
_ACTIVE_SQL = text("phase IN ('Pending', 'Starting', 'Running', 'Retrying')")

AnyRow = Row[*tuple[Any, ...]]
"""A row of whatever columns were asked for."""

Timestamp = DateTime(timezone=True)
Uid = Uuid(as_uuid=False)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can say which one they mean."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _of_some(name: str, column: str) -> Index:
    """For lists of the runs that have something which most haven't."""
    return Index(
        f"ix_runs_project_{name}_created_uid",
        "project",
        column,
        text("created DESC"),
        text("uid DESC"),
        postgresql_where=text(f"{column} IS NOT NULL"),
    )


class User(Base):
    """Somebody who can sign in."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text, server_default="")
    password_hash: Mapped[str | None] = mapped_column(Text)
    instance_admin: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    disabled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Session(Base):
    """One signed-in browser. Only the hash of its token is kept; ``id`` is what people call it by."""

    __tablename__ = "sessions"
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    last_seen: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    expires: Mapped[datetime] = mapped_column(Timestamp, index=True)
    address: Mapped[str] = mapped_column(Text, server_default="")
    user_agent: Mapped[str] = mapped_column(Text, server_default="")


class ExternalIdentity(Base):
    """Somebody as a sign-in provider knows them: its issuer's or preset's name, and the subject there."""

    __tablename__ = "identities"
    provider: Mapped[str] = mapped_column(Text, primary_key=True)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Member(Base):
    """What somebody is in a project. ``by_group``: given by a group of the sign-in provider, and taken with it."""

    __tablename__ = "members"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[int] = mapped_column(SmallInteger)
    by_group: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    created_by: Mapped[str] = mapped_column(Text)


class Invitation(Base):
    """A link that makes whoever holds it a member. Only the hash of its token is kept."""

    __tablename__ = "invitations"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text, index=True)
    email: Mapped[str] = mapped_column(Text)
    role: Mapped[int] = mapped_column(SmallInteger)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    created_by: Mapped[str] = mapped_column(Text)
    expires: Mapped[datetime] = mapped_column(Timestamp)
    accepted: Mapped[datetime | None] = mapped_column(Timestamp)


class PasswordLink(Base):
    """A link that lets whoever holds it set a user's password, once. Only the hash of its token is kept."""

    __tablename__ = "password_links"
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    expires: Mapped[datetime] = mapped_column(Timestamp)


class ApiKey(Base):
    """A pipeline's way into one project. Only the hash of the key is kept, and its beginning to know it by."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text, index=True)
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text, index=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    role: Mapped[int] = mapped_column(SmallInteger)
    tasks: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    created_by: Mapped[str] = mapped_column(Text)
    expires: Mapped[datetime | None] = mapped_column(Timestamp)
    last_used: Mapped[datetime | None] = mapped_column(Timestamp)
    revoked: Mapped[datetime | None] = mapped_column(Timestamp)


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
    spec: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[dict[str, Any]] = mapped_column(JSONB)

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
        _of_some("schedule", "schedule"),
        _of_some("batch", "batch"),
        _of_some("parent", "parent_run"),
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
    """How long archived runs are kept; without a number for ever."""


class AttemptProgress(Base):
    """The last progress that an attempt told."""

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
    """What a run told of itself."""

    __tablename__ = "run_metadata"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
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

    __table_args__ = (
        Index("uq_log_chunks_place", "run_uid", "attempt", "pod_uid", "position", "run_created", unique=True),
        {"postgresql_partition_by": "RANGE (run_created)"},
    )


class LogEnd(Base):
    """How the log of a pod ended for us: ``complete``, ``truncated`` or ``lost``. Without it the run isn't deleted."""

    __tablename__ = "log_ends"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    pod_uid: Mapped[str] = mapped_column(Text, primary_key=True)
    pod_name: Mapped[str] = mapped_column(Text)
    mark: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class IdempotencyKey(Base):
    """What a key was used for: reserved before its run is created, ``run_uid`` once it is. ``task`` is empty for an
    inline one."""

    __tablename__ = "idempotency_keys"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    task: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    run_uid: Mapped[str | None] = mapped_column(Uid)
    created: Mapped[datetime] = mapped_column(Timestamp, index=True)


class ErasedRun(Base):
    """A run that was deleted for good, noted so that nothing that is still under way brings it back."""

    __tablename__ = "erased_runs"
    uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    at: Mapped[datetime] = mapped_column(Timestamp)


class BulkOperation(Base):
    """One act over many runs, worked at by ``worker`` who was ``heard`` of last; ``tasks`` are those of a limited key."""

    __tablename__ = "bulk_operations"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    requested_by: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    tasks: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    total: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    done: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failed: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    finished: Mapped[datetime | None] = mapped_column(Timestamp)
    aborted: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    worker: Mapped[str | None] = mapped_column(Text)
    heard: Mapped[datetime | None] = mapped_column(Timestamp)

    __table_args__ = (Index("ix_bulk_operations_open", "id", postgresql_where=text("finished IS NULL")),)


class BulkItem(Base):
    """One run of a bulk operation; ``problem`` says why it failed."""

    __tablename__ = "bulk_items"
    operation_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("bulk_operations.id", ondelete="CASCADE"), primary_key=True
    )
    uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    done: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    problem: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ix_bulk_items_left", "operation_id", "uid", postgresql_where=text("NOT done")),
        Index("ix_bulk_items_failed", "operation_id", "uid", postgresql_where=text("problem IS NOT NULL")),
    )


class Outbox(Base):
    """Events written with the change that they tell of, until they are published."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text)
    event: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Webhook(Base):
    """Who wants to hear of runs that have ended. The secret is encrypted; ``phases`` and ``tasks`` None: all."""

    __tablename__ = "webhooks"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text, index=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    phases: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    tasks: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    created_by: Mapped[str] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    disabled_reason: Mapped[str | None] = mapped_column(Text)


class WebhookDelivery(Base):
    """One thing to tell a webhook: ``pending`` until it is ``delivered`` or ``failed``."""

    __tablename__ = "webhook_deliveries"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    webhook_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("webhooks.id", ondelete="CASCADE"))
    run_uid: Mapped[str | None] = mapped_column(Uid)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    last_at: Mapped[datetime | None] = mapped_column(Timestamp)
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now(), index=True)

    __table_args__ = (
        UniqueConstraint("webhook_id", "run_uid"),
        Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
        Index("ix_webhook_deliveries_pending", "next_at", postgresql_where=text("state = 'pending'")),
    )


class Audit(Base):
    """Who wrote what, from where, and how it went."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now(), index=True)
    actor: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    project: Mapped[str | None] = mapped_column(Text)
    target: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)

    __table_args__ = (Index("ix_audit_project_id", "project", "id"),)
