"""How a process talks to Postgres: one pool, short statement timeouts, and one name for "Postgres is away"."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tidegate_web.settings import WebSettings

OPTIONS = " ".join(
    f"-c {option}"
    for option in (
        "statement_timeout=30000",
        "timezone=UTC",
        "idle_in_transaction_session_timeout=60000",
        # A list's best plan depends on what is asked for: a text that is rare, or a phase that most runs are in.
        "plan_cache_mode=force_custom_plan",
        # Compiling a plan over many months takes longer than any of ours.
        "jit=off",
    )
)
UNAVAILABLE = (OperationalError, PoolTimeoutError)
"""What is raised while Postgres can't be asked; anything else is a mistake of ours."""


def make_engine(settings: WebSettings, *, name: str) -> Engine:
    """A pool of connections that finds out by itself when Postgres was restarted."""
    return create_engine(
        settings.sqlalchemy_url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        pool_pre_ping=True,
        pool_timeout=5,
        pool_recycle=1800,
        connect_args={
            "application_name": f"tidegate-{name}",
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": OPTIONS,
        },
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether this is Postgres being away, starting or stopping, and not a mistake of ours."""
    return isinstance(error, UNAVAILABLE) or (isinstance(error, DBAPIError) and error.connection_invalidated)
