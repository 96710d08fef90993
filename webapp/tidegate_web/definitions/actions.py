"""What is done to Tasks, Queues, Schedules and WorkerPools: read, replaced whole, deleted, paused, suspended."""

from contextlib import nullcontext
from typing import NoReturn

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.cluster import definitions
from tidegate_web.cluster.definitions import Definition, Kind, StaleError
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject, ObjectList
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.projects.existing import require_project
from tidegate_web.projects.host_access_rules import check_definition
from tidegate_web.runs.bounds import check_bounds
from tidegate_web.services import Services
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.problems import Problem, invalid


def listed(made: Services, kind: Kind, project: str, *, limit: int, after: str | None) -> ObjectList:
    """A piece of the list, in the order of names."""
    _require_project(made, project)
    if after is not None and (len(after) > 4096 or not after.isascii() or not after.isprintable()):
        raise Problem(422, "'after' is not a cursor of this list")
    try:
        return made.cluster.read_list(kind.path(project), query={"limit": limit, "continue": after})
    except ClusterError as error:
        if after is not None and error.status in (400, 410):
            raise Problem(422, "'after' is not a cursor of this list, or too old. Begin again.") from error
        _refuse(error, kind)


def get(made: Services, kind: Kind, project: str, name: str) -> KubeObject:
    """One of them."""
    _require_project(made, project)
    _require_name(name)
    try:
        return made.cluster.get(kind.path(project, name))
    except ClusterError as error:
        _refuse(error, kind)


def check_put(made: Services, actor: Actor, project: str, name: str) -> None:
    """What is refused before the body is looked at."""
    _require_project(made, project)
    if not is_dns_label(name):
        raise invalid("name", "must be a DNS label")
    actor.check_all_tasks()


def put(
    made: Services,
    actor: Actor,
    kind: Kind,
    project: str,
    name: str,
    wanted: Definition,
    *,
    seen: str | None,
    dry_run: bool = False,
) -> tuple[KubeObject, bool]:
    """Create it, or replace its spec as a whole; and whether it is new. ``seen``: the version it must have, "" for none.
    ``dry_run``: nothing is stored, and so nothing audited."""
    check_put(made, actor, project, name)
    check_bounds(wanted.spec, within="spec")
    audit = nullcontext() if dry_run else audited(made, actor, f"{kind.name.lower()}.put", project=project, target=name)
    with audit:
        check_definition(made, project, kind, wanted.spec)
        try:
            return definitions.put(
                made.cluster, kind, project, name, wanted, who=actor.name, seen=seen, dry_run=dry_run
            )
        except StaleError as error:
            raise stale() from error
        except ClusterError as error:
            _refuse(error, kind)


def delete(made: Services, actor: Actor, kind: Kind, project: str, name: str, *, seen: str | None) -> None:
    """Delete it; its runs stay."""
    _check_write(made, actor, project, name)
    with audited(made, actor, f"{kind.name.lower()}.delete", project=project, target=name):
        try:
            definitions.delete(made.cluster, kind, project, name, seen=seen)
        except StaleError as error:
            raise stale() from error
        except ClusterError as error:
            _refuse(error, kind)


def change(
    made: Services, actor: Actor, kind: Kind, project: str, name: str, action: str, **spec: object
) -> KubeObject:
    """Pause, suspend, and take it back."""
    _check_write(made, actor, project, name)
    with audited(made, actor, f"{kind.name.lower()}.{action}", project=project, target=name, detail=spec):
        try:
            return definitions.change(made.cluster, kind, project, name, spec, who=actor.name)
        except ClusterError as error:
            _refuse(error, kind)


def stale() -> Problem:
    """The object isn't in the version that the request names."""
    return Problem(412, "It has changed since you looked at it. Look again.")


def _check_write(made: Services, actor: Actor, project: str, name: str) -> None:
    _require_project(made, project)
    _require_name(name)
    actor.check_all_tasks()


def _require_project(made: Services, project: str) -> None:
    # Of a former project the cluster's objects aren't ours to show.
    require_project(made, project, to_write=True)


def _require_name(name: str) -> None:
    if not is_dns_label(name):
        raise Problem(404, "Not found.")


def _refuse(error: ClusterError, kind: Kind) -> NoReturn:
    """What the apiserver won't have, in its words."""
    if error.not_found:
        raise Problem(404, f"There is no such {kind.name}.") from error
    raise from_cluster(error) from error
