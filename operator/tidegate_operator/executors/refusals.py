"""What a refusal of the cluster means for a run: of its Job, by the apiserver, and of its pod, in the Job's Events."""

from tidegate_api.names import Reason

from tidegate_operator.executors import StartRefusedError
from tidegate_operator.kube.errors import KubeError
from tidegate_operator.records.run import Cause

BY_WEBHOOK = "failed calling webhook"
"""Of an admission webhook that can't be reached: admission comes before anything is stored."""


def refusal_of_job(error: KubeError) -> StartRefusedError:
    """A POST that the apiserver answered with an error. Every one is reported, and frees the slot once it is sure."""
    message = error.message or f"{error.code} {error.reason}"
    if error.code in (400, 413, 422):
        return StartRefusedError(Cause(Reason.INVALID_TASK, message), final=True)
    if error.code == 403 and "exceeded quota" in message:
        return StartRefusedError(Cause(Reason.QUOTA_EXCEEDED, message))
    sure = (400 <= error.code < 500 and error.code != 408) or BY_WEBHOOK in message
    return StartRefusedError(Cause(Reason.CREATE_REFUSED, message), sure=sure)


def refusal_of_pod(message: str) -> Cause:
    """What a Job's FailedCreate event means for its run."""
    if "violates PodSecurity" in message or "denied the request" in message:
        return Cause(Reason.POD_REJECTED, message)
    if "exceeded quota" in message:
        return Cause(Reason.QUOTA_EXCEEDED, message)
    return Cause(Reason.CREATE_REFUSED, message)
