"""422 for a task that reaches its node, in a project whose namespace doesn't let it: the operator would end its runs."""

from collections.abc import Mapping

from tidegate_api.names import ALLOW_HOST_ACCESS_LABEL

from tidegate_web.cluster.definitions import Kind
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem, invalid


def check_host_access(made: Services, project: str, task: Mapping[str, object], *, within: str | None) -> None:
    """``within``: where the request has the TaskSpec; None for one that a Task of the project has."""
    try:
        violation = made.projects.host_access.violation(project, task.get("podTemplate"))
    except ClusterError as error:
        if error.unavailable:
            raise from_cluster(error) from error
        # The installation has not granted the read: what can't be known isn't allowed.
        raise Problem(422, f"Whether the project allows access to its nodes can't be read: {error.message}") from error
    if violation is None:
        return
    place = f"podTemplate.{violation.field}"
    why = (
        f"{violation.rule} by the Pod Security level baseline; the project's namespace enforces less and lacks the label "
        f"{ALLOW_HOST_ACCESS_LABEL}=true"
    )
    if within is None:
        raise invalid("taskRef", f"the Task's {place} {why}")
    raise invalid(f"{within}.{place}", why)


def check_definition(made: Services, project: str, kind: Kind, spec: Mapping[str, object]) -> None:
    """The same for a Task, WorkerPool or Schedule that is written. The rest of the spec is the apiserver's to check."""
    if kind.plural in ("tasks", "workerpools"):
        check_host_access(made, project, spec, within="spec")
    elif kind.plural == "schedules":
        task: object = spec
        for part in ("template", "spec", "task"):
            task = task.get(part) if isinstance(task, Mapping) else None
        if isinstance(task, Mapping):
            check_host_access(made, project, task, within="spec.template.spec.task")
