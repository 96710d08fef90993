"""What a run stores beside its status: its result where that is large, its checkpoint, its metadata. 413 where its project has no
room for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tidegate_web.auth.run_identity import RunIdentity
from tidegate_web.runs import metadata_change
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject, as_object, whole_number
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.store.queries import metadata, results
from tidegate_web.store.queries.project_bytes import ProjectFullError
from tidegate_web.store.queries.results import Reference
from tidegate_web.store.records import clean
from tidegate_web.store.run_rows import RunRow


def save_result(made: Services, run: RunIdentity, data: bytes) -> Reference:
    """Keep the result of the attempt that asks; what its status says of it."""
    with _within_bound("result", made, run), made.engine.begin() as connection:
        return results.save(
            connection,
            project=run.project,
            run_uid=run.run_uid,
            attempt=run.attempt,
            data=data,
            at=made.clock.now(),
            bound=made.settings.archive_bound,
        )


def find_stored_result(made: Services, row: RunRow) -> bytes | None:
    """The result of a run that was too large for its status, None without one."""
    referred = as_object(row.status.get("resultRef"))
    if not referred:
        return None
    reference = Reference(bytes=whole_number(referred.get("bytes")) or 0, sha256=str(referred.get("sha256") or ""))
    with made.engine.connect() as connection:
        return results.find(connection, run_uid=row.uid, reference=reference)


def stored_result(made: Services, row: RunRow) -> bytes:
    """The same; 404 without one."""
    if not as_object(row.status.get("resultRef")):
        raise Problem(404, "The run has no result.")
    stored = find_stored_result(made, row)
    if stored is None:
        raise Problem(404, "The store doesn't hold the result that the run's status refers to.")
    return stored


def save_checkpoint(made: Services, run: RunIdentity, data: bytes) -> None:
    """Keep the last checkpoint of a run; 409 when a later attempt has written one."""
    with _within_bound("checkpoint", made, run), made.engine.begin() as connection:
        kept = results.save_checkpoint(
            connection,
            project=run.project,
            run_uid=run.run_uid,
            attempt=run.attempt,
            data=data,
            at=made.clock.now(),
            bound=made.settings.archive_bound,
        )
    if not kept:
        raise Problem(409, "A later attempt of the run has written a checkpoint.")


def checkpoint(made: Services, run: RunIdentity) -> bytes:
    """The last checkpoint of a run."""
    with made.engine.connect() as connection:
        data = results.checkpoint(connection, run_uid=run.run_uid)
    if data is None:
        raise Problem(404, "The run has no checkpoint.")
    return data


def change_metadata(made: Services, run: RunIdentity, body: JsonObject) -> JsonObject:
    """Apply all of a request, or nothing; what the metadata is then."""
    try:
        change = metadata_change.parse(clean(body))
        with _within_bound("metadata", made, run), made.engine.begin() as connection:
            after = metadata.change(
                connection,
                project=run.project,
                run_uid=run.run_uid,
                at=made.clock.now(),
                bound=made.settings.archive_bound,
                apply=lambda before: metadata_change.applied(before, change),
            )
            metadata.report(
                connection,
                project=run.project,
                run_uid=run.run_uid,
                run_name=run.run_name,
                attempt=run.attempt,
                changed=change.keys,
            )
    except metadata_change.MetadataError as error:
        raise invalid(error.where, str(error)) from error
    return after


@contextmanager
def _within_bound(what: str, made: Services, run: RunIdentity) -> Iterator[None]:
    """413 where the project has used what the archive keeps for it."""
    try:
        yield
    except ProjectFullError as error:
        bound = made.settings.archive_bound
        raise Problem(413, bound.refusal(what, project=run.project, used=error.used)) from error
