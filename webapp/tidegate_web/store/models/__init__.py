"""The tables. Everything here is written by the mirror and the web processes alone; migrations/ makes it in Postgres."""

from tidegate_web.store.models.base import ACTIVE_PHASES, TERMINAL_PHASES, AnyRow, Base, Timestamp, Uid
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
from tidegate_web.store.models.runs import (
    AttemptProgress,
    Checkpoint,
    ErasedRun,
    LogChunk,
    LogEnd,
    ProjectSettings,
    Result,
    Run,
    RunKey,
    RunMetadata,
)
from tidegate_web.store.models.work import BulkItem, BulkOperation, IdempotencyKey, Outbox, Webhook, WebhookDelivery

__all__ = [
    "ACTIVE_PHASES",
    "TERMINAL_PHASES",
    "AnyRow",
    "ApiKey",
    "AttemptProgress",
    "Audit",
    "Base",
    "BulkItem",
    "BulkOperation",
    "Checkpoint",
    "ErasedRun",
    "ExternalIdentity",
    "IdempotencyKey",
    "Invitation",
    "LogChunk",
    "LogEnd",
    "Member",
    "Outbox",
    "PasswordLink",
    "ProjectSettings",
    "Result",
    "Run",
    "RunKey",
    "RunMetadata",
    "Session",
    "Timestamp",
    "Uid",
    "User",
    "Webhook",
    "WebhookDelivery",
]
