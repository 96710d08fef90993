"""Views of the list of runs that are saved under a name: a user's own, and the project's."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tidegate_web.store.models.base import Base, Timestamp


class RunView(Base):
    """Filters of the list of runs, and columns if it has some of its own."""

    __tablename__ = "run_views"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text)
    owner_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    """The user whose view it is; None for one of the project."""
    name: Mapped[str] = mapped_column(Text)
    filters: Mapped[dict[str, str]] = mapped_column(JSONB)
    """As they are in the address of the list."""
    columns: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """None where each user sees their own."""
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    created_by: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        Index(
            "uq_run_views_project_owner_id_name",
            "project",
            "owner_id",
            "name",
            unique=True,
            postgresql_where=text("owner_id IS NOT NULL"),
        ),
        Index("uq_run_views_project_name", "project", "name", unique=True, postgresql_where=text("owner_id IS NULL")),
    )
