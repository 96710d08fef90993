"""What may be sent about people, keys and projects: pydantic models, from which the API's own description is made too."""

import re
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from tidegate_api.names import DNS_LABEL

from tidegate_web.auth.passwords import LEAST_SIGNS
from tidegate_web.shared.permissions import Role, is_dns_label
from tidegate_web.shared.phases import TERMINAL_PHASES

_EMAIL = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")


def _email(value: str) -> str:
    value = value.strip().lower()
    if not _EMAIL.fullmatch(value):
        raise ValueError("must be an email address")
    return value


def _plain(value: str) -> str:
    if any(ord(sign) < 32 for sign in value):
        raise ValueError("must have no control characters")
    return value.strip()


def _role(value: str) -> str:
    if Role.named(value) is None:
        raise ValueError(f"must be one of {', '.join(role.label for role in Role)}")
    return value


def _label(value: str) -> str:
    if not is_dns_label(value):
        raise ValueError("must be a DNS label: at most 63 of a-z, 0-9 and -, beginning and ending with a-z or 0-9")
    return value


def _no_number(value: object) -> object:
    if isinstance(value, int | float):  # pydantic would take it for seconds since 1970
        raise ValueError("must be an RFC 3339 time")
    return value


# Patterns are for the description: the validators say it in words.
Email = Annotated[
    str,
    Field(max_length=320, json_schema_extra={"pattern": r"^\s*[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\s*$"}),
    AfterValidator(_email),
]
PlainName = Annotated[
    str, Field(max_length=200, json_schema_extra={"pattern": r"^[^\x00-\x1f]*$"}), AfterValidator(_plain)
]
RoleName = Annotated[str, Field(json_schema_extra={"enum": [role.label for role in Role]}), AfterValidator(_role)]
DnsLabel = Annotated[str, Field(max_length=63, json_schema_extra={"pattern": DNS_LABEL}), AfterValidator(_label)]
Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_no_number)]


class Body(BaseModel):
    """Nothing is converted, and nothing that isn't named is taken. Names are camelCase outside, as in Kubernetes."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, use_attribute_docstrings=True
    )


class NewUser(Body):
    """A user who may sign in. They choose their password by a link, or come through a sign-in provider."""

    email: Email
    name: PlainName = ""
    instance_admin: bool = False


class UserChange(Body):
    """What changes; what isn't named stays."""

    email: Email | None = None
    """Another address, which no other user has. A user who comes through a sign-in provider is still known there."""
    name: PlainName | None = None
    instance_admin: bool | None = None
    disabled: bool | None = None
    keys_to: int | None = Field(default=None, ge=1)
    """With ``disabled``: the user who takes over the API keys; they must have the keys' roles in their projects. Without it the
    keys end."""

    @model_validator(mode="after")
    def _with_disabled(self) -> Self:
        if self.keys_to is not None and self.disabled is not True:
            raise ValueError("keysTo goes with disabled: true")
        return self


class PasswordChange(Body):
    """A new password, and the one that it replaces."""

    current: str = Field(max_length=1024)
    new: str = Field(min_length=LEAST_SIGNS, max_length=1024)


class MemberChange(Body):
    """The role of a member."""

    role: RoleName


class NewInvitation(Body):
    """An invitation to join a project."""

    email: Email
    role: RoleName


class NewApiKey(Body):
    """A key for a pipeline."""

    name: PlainName = Field(min_length=1)
    role: RoleName
    tasks: list[DnsLabel] | None = Field(default=None, min_length=1, max_length=100)
    """The only Tasks that it may start, cancel and replay; null: all."""
    expires_at: Time | None = None
    """When it ends; null: never, or with the key that makes it."""

    @field_validator("tasks")
    @classmethod
    def _once(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else sorted(set(value))


def _terminal(value: str) -> str:
    if value not in TERMINAL_PHASES:
        raise ValueError(f"must be one of {', '.join(TERMINAL_PHASES)}")
    return value


TerminalPhase = Annotated[str, Field(json_schema_extra={"enum": list(TERMINAL_PHASES)}), AfterValidator(_terminal)]
Phases = Annotated[list[TerminalPhase], Field(min_length=1, max_length=len(TERMINAL_PHASES))]
Tasks = Annotated[list[DnsLabel], Field(min_length=1, max_length=100)]


class NewProject(Body):
    """A namespace that is to be a project."""

    name: DnsLabel


class ProjectSettings(Body):
    """How a project is kept."""

    retention_days: int | None = Field(default=None, ge=0, le=36_500)
    """Archived runs are forgotten so many days after their end; 0: never; null: as the installation's `TIDEGATE_RETENTION_DAYS` says."""


Url = Annotated[str, Field(json_schema_extra={"pattern": r"^https?://[^/\s\x00-\x1f]+"})]


class NewWebhook(Body):
    """Where to report runs that have ended, and which."""

    url: Url
    phases: Phases | None = None
    tasks: Tasks | None = None


class WebhookChange(Body):
    """What changes; what isn't named stays."""

    url: Url | None = None
    phases: Phases | None = None
    tasks: Tasks | None = None
    disabled: bool | None = None
