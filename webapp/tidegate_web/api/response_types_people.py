"""What goes out about people, keys, webhooks and the audit log."""

from typing import Literal

from typing_extensions import TypedDict

from tidegate_web.api.models import Phases, RoleName
from tidegate_web.auth.links import SentLink
from tidegate_web.shared.documented import documented
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.times import Time


@documented
class Me(TypedDict):
    """The caller."""

    name: str
    """Whom the audit log names."""
    kind: Literal["user", "api-key"]
    email: str | None
    displayName: str | None
    instanceAdmin: bool
    roles: dict[str, RoleName]
    """By project."""
    tasks: list[str] | None
    """The only Tasks that a key may act on; null: all."""


class Session(TypedDict):
    """Somewhere that one is signed in."""

    id: int
    current: bool
    address: str
    userAgent: str
    createdAt: Time
    lastSeenAt: Time
    expiresAt: Time


class User(TypedDict):
    """A user who may sign in."""

    id: int
    email: str
    name: str
    instanceAdmin: bool
    disabled: bool
    hasPassword: bool
    createdAt: Time


class NewUserAnswer(User, SentLink):
    """A user that was made."""


@documented
class Member(TypedDict):
    """A user in a project."""

    id: int
    email: str
    name: str
    role: RoleName
    byGroup: bool
    """Given by a group of a sign-in provider."""
    disabled: bool
    createdAt: Time


class Invitation(TypedDict):
    """An invitation to join."""

    id: int
    email: str
    role: RoleName
    invitedBy: str
    createdAt: Time
    expiresAt: Time


class NewInvitationAnswer(Invitation, SentLink):
    """An invitation that was made."""


@documented
class ApiKey(TypedDict):
    """A key, without its secret."""

    id: int
    name: str
    prefix: str
    """How it begins."""
    role: RoleName
    tasks: list[str] | None
    createdAt: Time
    createdBy: str
    expiresAt: Time | None
    lastUsedAt: Time | None


class ProjectApiKey(ApiKey):
    """A key of a project, as its admins see it."""

    active: bool
    """Whether it may be used: it hasn't expired, and its owner has its role in the project."""


class OwnedApiKey(ApiKey):
    """A key that a user answers for."""

    project: str


@documented
class NewApiKeyAnswer(ApiKey):
    """A key that was made."""

    key: str
    """The key itself, which can't be shown again."""


class AuditEntry(TypedDict):
    """Who wrote what, from where, and the outcome."""

    id: int
    at: Time
    actor: str
    address: str
    action: str
    project: str | None
    target: str | None
    outcome: str
    detail: JsonObject


class Webhook(TypedDict):
    """Where runs that have ended are reported."""

    id: int
    url: str
    phases: Phases | None
    tasks: list[str] | None
    createdAt: Time
    createdBy: str
    disabled: bool
    disabledReason: str | None


class Secret(TypedDict):
    """With which deliveries are signed; shown once."""

    secret: str


class NewWebhookAnswer(Webhook, Secret):
    """A webhook that was made."""


@documented
class Delivery(TypedDict):
    """One telling of one run."""

    id: int
    run: str | None
    """Uid of the run; null for a test."""
    payload: JsonObject
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    nextAttemptAt: Time | None
    lastAttemptAt: Time | None
    lastStatus: int | None
    lastError: str | None
    createdAt: Time


class ArchiveUse(TypedDict):
    """What the archive keeps for a project."""

    usedBytes: int
    """Logs, results, checkpoints, metadata, and runs that are gone from the cluster, as they are stored."""
    maxBytes: int | None
    """Beyond it logs are cut and results refused; null: no bound."""


@documented
class Settings(TypedDict):
    """How a project is kept."""

    retentionDays: int | None
    """What the project has set; 0: archived runs are kept for ever; null: what the installation says counts."""
    effectiveRetentionDays: int
    """What counts; 0: for ever."""
    archive: ArchiveUse
