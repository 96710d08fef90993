"""Which namespace, by its uid, the data of a project belongs to. Names of namespaces are used again; uids are not."""

from datetime import datetime

from sqlalchemy import Text, func
from sqlalchemy.orm import Mapped, mapped_column

from tidegate_web.store.models.base import Base, Timestamp, Uid


class ProjectNamespace(Base):
    """The namespace of a project. A former project (``tidegate_api.projects.former_name``) has a row too."""

    __tablename__ = "project_namespaces"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    namespace_uid: Mapped[str] = mapped_column(Uid)
    namespace_created: Mapped[datetime] = mapped_column(Timestamp)
    bound: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class ProjectMove(Base):
    """A move of all rows of a project to another name. Both are closed until it is complete; it is kept for some minutes more,
    for runs that the mirror still had to write."""

    __tablename__ = "project_moves"
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    target: Mapped[str] = mapped_column(Text)
    runs_before: Mapped[datetime | None] = mapped_column(Timestamp)
    """Only runs that were created before this belong to the source; None for all."""
    begun: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    completed: Mapped[datetime | None] = mapped_column(Timestamp)
