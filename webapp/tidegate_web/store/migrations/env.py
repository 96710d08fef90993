"""What Alembic runs: the migrations, in one transaction, on the connection that ``store.schema`` hands over."""

from alembic import context
from sqlalchemy import Connection

from tidegate_web.store.models import Base


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
