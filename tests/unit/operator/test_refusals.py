"""executors/refusals: what a refusal of the cluster means for a run."""

import pytest
from tidegate_operator.executors.refusals import refusal_of_job, refusal_of_pod
from tidegate_operator.kube.errors import KubeError


@pytest.mark.parametrize(
    ("code", "message", "reason", "final", "sure"),
    [
        (422, "spec.template: Required value", "InvalidTask", True, True),
        (400, "strict decoding error", "InvalidTask", True, True),
        (413, "Request entity too large", "InvalidTask", True, True),
        (403, "exceeded quota: jobs", "QuotaExceeded", False, True),
        (403, "forbidden: by policy", "CreateRefused", False, True),
        (404, "namespaces not found", "CreateRefused", False, True),
        (429, "too many requests", "CreateRefused", False, True),
        (500, 'failed calling webhook "down": no endpoints', "CreateRefused", False, True),
        (500, "etcdserver: request timed out", "CreateRefused", False, False),
        (503, "unavailable", "CreateRefused", False, False),
        (504, "timeout", "CreateRefused", False, False),
        (408, "request timeout", "CreateRefused", False, False),
        (500, "", "CreateRefused", False, False),
    ],
)
def test_a_refused_job(code: int, message: str, reason: str, final: bool, sure: bool) -> None:
    refused = refusal_of_job(KubeError(code=code, reason="Because", message=message))
    assert (refused.refusal.reason, refused.final, refused.sure) == (reason, final, sure)
    assert refused.refusal.message == (message or "500 Because")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "x" is forbidden: violates PodSecurity "restricted"', "PodRejected"),
        ('admission webhook "policy" denied the request: no', "PodRejected"),
        ('pods "x" is forbidden: exceeded quota: pods', "QuotaExceeded"),
        ('serviceaccount "gone" not found', "CreateRefused"),
    ],
)
def test_a_refused_pod(message: str, reason: str) -> None:
    found = refusal_of_pod(message)
    assert (found.reason, found.message) == (reason, message)
