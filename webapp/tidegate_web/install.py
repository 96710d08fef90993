"""Brings a database up to date: the schema, the months that come next, and the first admin, in one transaction.

``migrate`` does it at each installation and upgrade. The mirror does it when it finds the schema missing or behind, as after a
restart of a Postgres without a volume (docs/decisions/2026-11-27-who-makes-the-schema.md). Both hold the advisory lock of the schema.
"""

import structlog
from sqlalchemy import Connection, Engine

from tidegate_web.auth.admin import create_admin
from tidegate_web.settings import WebSettings
from tidegate_web.shared.clock import SystemClock
from tidegate_web.store import partitions, schema

log = structlog.stdlib.get_logger(__name__)


def bring_up_to_date(engine: Engine, settings: WebSettings) -> tuple[str | None, str]:
    """The version before and after."""

    def also(connection: Connection) -> None:
        partitions.ensure_ahead(connection, now=SystemClock().now())
        if settings.admin_email and settings.admin_password:
            make_admin(connection, settings)

    return schema.upgrade(engine, also=also)


def make_admin(connection: Connection, settings: WebSettings) -> None:
    """The admin that the settings name, unless there is one."""
    log.info("admin", email=settings.admin_email, made=create_admin(connection, settings))
