"""What all tables have in common: how constraints are named, and types."""

from sqlalchemy import DateTime, MetaData, Uuid
from sqlalchemy.orm import DeclarativeBase

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
