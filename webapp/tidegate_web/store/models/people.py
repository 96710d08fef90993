"""People, pipelines, and what they have done."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, ForeignKey, Identity, Index, LargeBinary, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.store.models.base import Base, Timestamp


class User(Base):
    """A user who can sign in."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text, server_default="")
    password_hash: Mapped[str | None] = mapped_column(Text)
    instance_admin: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    disabled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    email_proved: Mapped[datetime | None] = mapped_column(Timestamp)
    """When a mailed link or a provider first showed that the address is theirs; see auth/first_proof.py."""
    run_columns: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """The columns that they have chosen for the list of runs; None for those that it has without a choice."""
    time_zone: Mapped[str | None] = mapped_column(Text)
    """The zone of the times that they see; None for their browser's."""


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
    provider: Mapped[str | None] = mapped_column(Text)
    """The sign-in provider whose groups give roles, where these can be asked for again; see auth/group_check.py."""
    refresh_token: Mapped[bytes | None] = mapped_column(LargeBinary)
    """With which they are, sealed."""
    groups_due: Mapped[datetime | None] = mapped_column(Timestamp)
    """After this the session is no good until the groups were asked for again."""
    groups_tried: Mapped[datetime | None] = mapped_column(Timestamp)


class ExternalIdentity(Base):
    """A user as a sign-in provider knows them: its issuer's or preset's name, and the subject there."""

    __tablename__ = "identities"
    provider: Mapped[str] = mapped_column(Text, primary_key=True)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Member(Base):
    """The role of a user in a project. ``by_group``: given by a group of the sign-in provider, and taken with it."""

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
    """A link that makes its holder a member. Only the hash of its token is kept."""

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
    mailed: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """Its link goes out by mail alone, so that its user reads that mailbox."""


class PasswordLink(Base):
    """A link that lets its holder set a user's password, once. Only the hash of its token is kept."""

    __tablename__ = "password_links"
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    expires: Mapped[datetime] = mapped_column(Timestamp)
    mailed: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """As that of an invitation."""


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
    owner_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    """The user who answers for it: who made it, or the owner of the key that made it, unless it was handed over."""


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
    detail: Mapped[JsonObject] = mapped_column(JSONB)
    counted_since: Mapped[datetime | None] = mapped_column(Timestamp)
    """Of an entry that stands for several alike: the beginning of the window in which they are counted."""

    __table_args__ = (
        Index("ix_audit_project_id", "project", "id"),
        Index(
            "ix_audit_counted",
            "action",
            "outcome",
            "actor",
            "address",
            "counted_since",
            unique=True,
            postgresql_where=text("counted_since IS NOT NULL"),
        ),
    )
