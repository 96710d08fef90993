"""The tables. Everything here is written by the mirror and the web processes alone; migrations/ makes it in Postgres."""

from tidegate_web.store.models.base import Base, Timestamp, Uid
from tidegate_web.store.models.people import (
    ApiKey,
    Audit,
    ExternalIdentity,
    Invitation,
    Member,
    PasswordLink,
    Session,
    User,
)
from tidegate_web.store.models.projects import ProjectMove, ProjectNamespace
from tidegate_web.store.models.rollups import FailureRollup, RollupMark, RunRollup
from tidegate_web.store.models.run_views import RunView
from tidegate_web.store.models.runs import (
    AttemptProgress,
    Checkpoint,
    ErasedRun,
    LogChunk,
    LogEnd,
    ProjectBytes,
    ProjectSettings,
    Result,
    Run,
    RunKey,
    RunMetadata,
    TaskSpecText,
)
from tidegate_web.store.models.work import (
    BulkItem,
    BulkOperation,
    IdempotencyKey,
    MetRun,
    Outbox,
    Webhook,
    WebhookDelivery,
)

__all__ = [
    "ApiKey",
    "AttemptProgress",
    "Audit",
    "Base",
    "BulkItem",
    "BulkOperation",
    "Checkpoint",
    "ErasedRun",
    "ExternalIdentity",
    "FailureRollup",
    "IdempotencyKey",
    "Invitation",
    "LogChunk",
    "LogEnd",
    "Member",
    "MetRun",
    "Outbox",
    "PasswordLink",
    "ProjectBytes",
    "ProjectMove",
    "ProjectNamespace",
    "ProjectSettings",
    "Result",
    "RollupMark",
    "Run",
    "RunKey",
    "RunMetadata",
    "RunRollup",
    "RunView",
    "Session",
    "TaskSpecText",
    "Timestamp",
    "Uid",
    "User",
    "Webhook",
    "WebhookDelivery",
]
