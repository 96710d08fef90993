"""Dependencies on runs that only the archive has: for the operator they would be missing, so what they came to is settled
before a run is made.
"""

from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.cluster.client import runs_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.runs.new_run import NewRun
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.problems import invalid
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import runs
from tidegate_web.store.run_rows import RunRow

MOST = 64


def settled(made: Services, project: str, run: NewRun) -> NewRun:
    """The run without the dependencies that are satisfied already; 422 for one that can't be any more."""
    wanted = run.spec.get("dependsOn")
    if not isinstance(wanted, list) or not 0 < len(wanted) <= MOST:
        return run  # none, or for the apiserver to refuse
    left = [one for one in wanted if not _satisfied(made, project, one)]
    if len(left) == len(wanted):
        return run
    spec: JsonObject = {name: value for name, value in run.spec.items() if name != "dependsOn"}
    return replace(run, spec=spec | ({"dependsOn": left} if left else {}))


def _satisfied(made: Services, project: str, dependency: object) -> bool:
    name = dependency.get("name") if isinstance(dependency, dict) else None
    if not isinstance(dependency, dict) or not isinstance(name, str) or not is_dns_label(name):
        return False
    row = _archived(made, project, name)
    if row is None:
        return False
    if row.phase == "Succeeded" or dependency.get("when") == "Finished":
        return True
    raise invalid("dependsOn", f"run {name} has ended as {row.phase} and can't succeed any more")


def _archived(made: Services, project: str, name: str) -> RunRow | None:
    """The newest run of that name, when the cluster hasn't one."""
    try:
        with made.engine.connect() as connection:
            row = runs.find(connection, project=project, reference=name)
    except SQLAlchemyError as error:
        if not is_unavailable(error):
            raise
        return None
    try:
        if row is None or row.deleted_at is None or made.cluster.exists(f"{runs_path(project)}/{name}"):
            return None
    except ClusterError:
        return None  # creating the run will show
    return row
