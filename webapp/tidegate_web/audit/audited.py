"""Every write leaves an audit row with its outcome."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

import structlog

from tidegate_web.audit.recording import DONE, AuditAction, Entry
from tidegate_web.auth.actor import Actor
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import at_once, with_fallback
from tidegate_web.store.queries import audit

log = structlog.stdlib.get_logger(__name__)


@contextmanager
def audited(
    made: Services,
    actor: Actor,
    action: str,
    *,
    project: str | None = None,
    target: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> Iterator[AuditAction]:
    """Write down a write and its outcome, whatever becomes of it."""
    record = AuditAction(
        clock=made.clock,
        actor=actor.name,
        address=actor.address,
        action=action,
        project=project,
        target=target,
        detail={} if detail is None else detail,
    )
    outcome = "failed"
    try:
        yield record
        outcome = DONE
    except Problem as problem:
        outcome = f"refused {problem.status}"
        raise
    finally:
        if not record.written:
            entry = record.entry(outcome)
            with_fallback(lambda: _write(made, entry), lambda: _write_later(made, entry))


def _write(made: Services, entry: Entry) -> None:
    with at_once(made.engine) as connection:
        audit.write(connection, **asdict(entry))


def _write_later(made: Services, entry: Entry) -> None:
    kept = made.audit.keep(entry)
    log.warning("audit", kept=kept, **asdict(entry) | {"at": entry.at.isoformat()})
