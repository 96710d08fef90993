"""The audit log, read."""

from tidegate_web.services import Services
from tidegate_web.shared.paging import cut
from tidegate_web.store.queries import audit
from tidegate_web.store.queries.audit import AuditRow


def page(
    made: Services, *, project: str | None, before: int, limit: int, actor: str | None = None, action: str | None = None
) -> tuple[list[AuditRow], int | None]:
    """A piece of the log, newest first, and where the next begins; of one project, or of all and of the installation itself."""
    with made.engine.connect() as connection:
        rows = audit.page(connection, project=project, before=before, limit=limit + 1, actor=actor, action=action)
    piece, last = cut(rows, limit)
    return piece, None if last is None else last.id
