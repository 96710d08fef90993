"""Counts of runs that have ended, kept so that pages over a long time needn't read the runs. The mirror makes them of ``runs``
(``mirror/rollup.py``); what is missing or wrong is made again."""

from datetime import datetime

from sqlalchemy import Integer, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tidegate_web.store.models.base import Base, Timestamp, Uid


class RunRollup(Base):
    """The runs of a project that ended in a phase, in a bucket of time."""

    __tablename__ = "run_rollups"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    step: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Seconds of the bucket."""
    at: Mapped[datetime] = mapped_column(Timestamp, primary_key=True)
    """Where the bucket begins."""
    phase: Mapped[str] = mapped_column(Text, primary_key=True)
    runs: Mapped[int] = mapped_column(Integer)
    took: Mapped[dict[str, int]] = mapped_column(JSONB)
    """How long they took, as a histogram (``shared/time_histogram.py``)."""
    waited: Mapped[dict[str, int]] = mapped_column(JSONB)
    """How long they had waited before."""


class FailureRollup(Base):
    """Failures of an hour that are alike: the same task, reason, and message without its numbers."""

    __tablename__ = "failure_rollups"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(Timestamp, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    task: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    runs: Mapped[int] = mapped_column(Integer)
    first_at: Mapped[datetime] = mapped_column(Timestamp)
    last_at: Mapped[datetime] = mapped_column(Timestamp)
    last_run: Mapped[str] = mapped_column(Uid)


class RollupMark(Base):
    """Until when a project's runs are counted."""

    __tablename__ = "rollup_marks"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    counted_until: Mapped[datetime] = mapped_column(Timestamp)
