"""Runs looked up: in the archive, else in the cluster, and what is known of one beside its row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.runs.why import LeaderError, Why
from tidegate_web.services import Services
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.problems import Problem, postgres_away
from tidegate_web.shared.task_spec import encoded
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import logs, metadata, runs, task_specs
from tidegate_web.store.queries.logs import LogEndRow
from tidegate_web.store.queries.runs import ProgressRow
from tidegate_web.store.records import run_record
from tidegate_web.store.run_rows import RunRow


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """What pods and the mirror have reported of a run."""

    progress: dict[int, ProgressRow] = field(default_factory=dict)
    ends: Sequence[LogEndRow] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


def remember(made: Services, resource: KubeObject) -> bool:
    """Write a TaskRun that the apiserver has just answered, so that it can be read at once; False without Postgres,
    where the mirror writes it later."""
    record = run_record(resource, default_ttl_seconds=made.settings.default_ttl_seconds)

    def write() -> bool:
        with made.engine.begin() as connection:
            runs.upsert(connection, [record])
        return True

    return with_fallback(write, lambda: False)


def written(made: Services, resource: KubeObject) -> RunRow:
    """Write a TaskRun that the apiserver has just answered to a change of it; the row that it has now."""
    remember(made, resource)
    metadata = resource["metadata"]
    made.runs.in_cluster.forget(metadata["namespace"])

    def stored() -> RunRow:
        with made.engine.connect() as connection:
            found = runs.find(connection, project=metadata["namespace"], reference=metadata["uid"])
        return found or made.runs.in_cluster.row(resource)

    return with_fallback(stored, lambda: made.runs.in_cluster.row(resource))


def details_of(made: Services, row: RunRow) -> RunDetails:
    """What isn't in the row; nothing while Postgres is away."""

    def ask() -> RunDetails:
        with made.engine.connect() as connection:
            return RunDetails(
                progress=runs.progress_of(connection, uid=row.uid),
                ends=logs.ends(connection, run_uid=row.uid),
                metadata=metadata.of_run(connection, run_uid=row.uid),
            )

    return RunDetails() if row.from_cluster else with_fallback(ask, RunDetails)


def find(made: Services, project: str, reference: str) -> RunRow:
    """One run from the archive, else from the cluster (and then it is in the archive). While Postgres is away it is as the
    cluster has it."""
    return with_fallback(lambda: _find(made, project, reference), lambda: find_in_cluster(made, project, reference))


def find_stored(made: Services, project: str, reference: str) -> RunRow:
    """One run from the archive alone."""
    with made.engine.connect() as connection:
        found = runs.find(connection, project=project, reference=reference)
    if found is None:
        raise Problem(404, "There is no such run.")
    return found


def find_in_cluster(made: Services, project: str, reference: str) -> RunRow:
    """503 when the cluster hasn't it: the archive may."""
    row = made.runs.in_cluster.one(project, reference)
    if row is None:
        raise postgres_away()
    return row


def _find(made: Services, project: str, reference: str) -> RunRow:
    with made.engine.connect() as connection:
        found = runs.find(connection, project=project, reference=reference)
    if found is not None:
        return found
    if is_dns_label(reference) and not runs.is_uid(reference):
        try:
            resource = made.cluster.get_run(project, reference)
        except ClusterError as error:
            if not error.not_found and not error.unavailable:
                raise from_cluster(error) from error
        else:
            remember(made, resource)
            with made.engine.connect() as connection:
                found = runs.find(connection, project=project, reference=reference)
    if found is None:
        raise Problem(404, "There is no such run.")
    return found


def used_spec(made: Services, run: RunRow, spec_hash: str) -> str | None:
    """The text of a Task's spec that a run was started with; None where it isn't kept, or while Postgres is away."""
    frozen = run.status.get("resolvedTask")
    if isinstance(frozen, dict) and (kept := encoded(frozen)).hash == spec_hash:
        return kept.text  # of a run in a pool

    def stored() -> str | None:
        with made.engine.connect() as connection:
            return task_specs.find(connection, project=run.project, spec_hash=spec_hash)

    return None if run.from_cluster else with_fallback(stored, lambda: None)


def why(made: Services, row: RunRow) -> Why:
    """What holds a run right now; what its status says of one that has ended."""
    if row.phase in TERMINAL_PHASES:
        return Why(reason=row.reason or row.phase, message=row.message or "")
    try:
        return made.runs.leader.why(row.project, row.name, uid=row.uid)
    except LeaderError as error:
        return Why(reason="Unknown", message=str(error))
