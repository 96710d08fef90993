"""Which pod templates may run where: one beyond the Pod Security level `baseline` is root on a node.

The template is looked at when an attempt starts, the namespace's labels only if the template is beyond `baseline`. So a
namespace is labelled in time if that is done before its run starts, and a run without such fields costs no look.
"""

from collections.abc import Mapping

from tidegate_api.bodies import TaskSpecBody
from tidegate_api.names import ALLOW_HOST_ACCESS_LABEL, Reason
from tidegate_api.pod_security import Violation, baseline_violation, decides_itself

from tidegate_operator.records.run import Cause


def beyond_baseline(resolved: TaskSpecBody) -> Violation | None:
    """The first field of the task's pod template that is beyond `baseline`."""
    return baseline_violation(resolved.get("podTemplate"))


def refuse_host_access(violation: Violation, labels: Mapping[str, str] | None, *, namespace: str) -> Cause | None:
    """Why the task can't run in a namespace with these labels; None for labels that the operator may not read."""
    if labels is not None and decides_itself(labels):
        return None
    why = (
        f"namespace {namespace} enforces less and lacks the label {ALLOW_HOST_ACCESS_LABEL}=true"
        if labels is not None
        else f"the operator may not read the labels of namespace {namespace}: grant it `get` on namespaces"
    )
    message = f"podTemplate.{violation.field}: {violation.rule} by the Pod Security level baseline; {why}"
    return Cause(Reason.INVALID_TASK, message)
