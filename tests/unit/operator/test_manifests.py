"""manifests: the Job of an attempt, to the letter."""

import json
from typing import Any

from support.builders import a_run
from support.jobs import a_job
from tidegate_api.job_names import job_name
from tidegate_operator.manifests.job import PodDefaults

RESOLVED: dict[str, Any] = {
    "image": "img:1",
    "entrypoint": "shop.tasks:resize",
    "queue": "default",
    "retry": {"maxAttempts": 5},
    "timeoutSeconds": 60,
    "startTimeoutSeconds": 30,
    "env": [{"name": "A", "value": "1"}, {"name": "TIDEGATE_RUN", "value": "forged"}],
    "resources": {"limits": {"memory": "1Gi"}},
    "serviceAccountName": "resizer",
}


def run() -> dict[str, Any]:
    theirs = (
        "job-name",
        "controller-uid",
        "batch.kubernetes.io/job-name",
        "batch.kubernetes.io/controller-uid",
        "app.kubernetes.io/managed-by",
        "tidegate.dev/queue",
        "tidegate.dev/made-up",
    )
    made = a_run("hello").payload(b="é", a=None).labels({"team": "blue", **dict.fromkeys(theirs, "forged")}).built
    made["metadata"] |= {"uid": "uid-1"}
    return made


def test_the_job_of_an_attempt() -> None:
    labels = {
        "team": "blue",
        "app.kubernetes.io/managed-by": "tidegate",
        "tidegate.dev/run": "hello",
        "tidegate.dev/run-uid": "uid-1",
        "tidegate.dev/attempt": "2",
        "tidegate.dev/queue": "default",
    }
    job = a_job(run(), RESOLVED, number=2, defaults=PodDefaults(api_url="http://web"))
    assert json.loads(job["metadata"]["annotations"]["tidegate.dev/task-spec"]) == RESOLVED
    del job["metadata"]["annotations"]
    assert job == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run="hello", run_uid="uid-1", number=2),
            "namespace": "default",
            "labels": labels,
            "ownerReferences": [
                {
                    "apiVersion": "tidegate.dev/v1alpha1",
                    "kind": "TaskRun",
                    "name": "hello",
                    "uid": "uid-1",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": {"tidegate.dev/payload": '{"b":"é","a":null}'}},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "seccompProfile": {"type": "RuntimeDefault"},
                        "runAsUser": 65532,
                        "runAsGroup": 65532,
                        "fsGroup": 65532,
                    },
                    "serviceAccountName": "resizer",
                    "activeDeadlineSeconds": 90,
                    "volumes": [
                        {
                            "name": "tidegate-payload",
                            "downwardAPI": {
                                "items": [
                                    {
                                        "path": "payload.json",
                                        "fieldRef": {"fieldPath": "metadata.annotations['tidegate.dev/payload']"},
                                    }
                                ]
                            },
                        },
                        {
                            "name": "tidegate-token",
                            "projected": {
                                "sources": [
                                    {
                                        "serviceAccountToken": {
                                            "audience": "tidegate",
                                            "expirationSeconds": 3600,
                                            "path": "token",
                                        }
                                    }
                                ]
                            },
                        },
                    ],
                    "containers": [
                        {
                            "name": "task",
                            "image": "img:1",
                            "command": ["python", "-m", "tidegate", "shop.tasks:resize"],
                            "resources": {"limits": {"memory": "1Gi"}},
                            "env": [
                                {"name": "TIDEGATE_RUN", "value": "hello"},
                                {"name": "TIDEGATE_RUN_UID", "value": "uid-1"},
                                {"name": "TIDEGATE_NAMESPACE", "value": "default"},
                                {"name": "TIDEGATE_TASK", "value": ""},
                                {"name": "TIDEGATE_ATTEMPT", "value": "2"},
                                {"name": "TIDEGATE_MAX_ATTEMPTS", "value": "5"},
                                {"name": "TIDEGATE_QUEUE", "value": "default"},
                                {"name": "TIDEGATE_PAYLOAD_FILE", "value": "/tidegate/payload.json"},
                                {"name": "TIDEGATE_RESULT_FILE", "value": "/dev/termination-log"},
                                {"name": "TIDEGATE_RESULT_MAX_BYTES", "value": "4096"},
                                {"name": "TIDEGATE_REPORT_USAGE", "value": "1"},
                                {"name": "TIDEGATE_TIMEOUT_SECONDS", "value": "60"},
                                {"name": "TIDEGATE_API_URL", "value": "http://web"},
                                {"name": "TIDEGATE_TOKEN_FILE", "value": "/var/run/secrets/tidegate/token"},
                                {"name": "A", "value": "1"},
                            ],
                            "volumeMounts": [
                                {"name": "tidegate-payload", "mountPath": "/tidegate", "readOnly": True},
                                {"name": "tidegate-token", "mountPath": "/var/run/secrets/tidegate", "readOnly": True},
                            ],
                            "terminationMessagePath": "/dev/termination-log",
                            "terminationMessagePolicy": "FallbackToLogsOnError",
                            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                        }
                    ],
                },
            },
        },
    }


def test_without_the_web_part_a_pod_gets_no_token() -> None:
    pod = a_job(run(), RESOLVED)["spec"]["template"]["spec"]
    assert [v["name"] for v in pod["volumes"]] == ["tidegate-payload"]
    assert not {e["name"] for e in pod["containers"][0]["env"]} & {"TIDEGATE_API_URL", "TIDEGATE_TOKEN_FILE"}


def test_a_pod_has_the_authority_of_a_web_app_with_tls_in_a_file() -> None:
    defaults = PodDefaults(api_url="https://api", api_trust="PEM")
    template = a_job(run(), RESOLVED, defaults=defaults)["spec"]["template"]
    assert template["metadata"]["annotations"]["tidegate.dev/api-ca"] == "PEM"
    items = next(v for v in template["spec"]["volumes"] if v["name"] == "tidegate-payload")["downwardAPI"]["items"]
    assert {item["path"]: item["fieldRef"]["fieldPath"] for item in items} == {
        "payload.json": "metadata.annotations['tidegate.dev/payload']",
        "ca.crt": "metadata.annotations['tidegate.dev/api-ca']",
    }
    env = {e["name"]: e["value"] for e in template["spec"]["containers"][0]["env"]}
    assert env["TIDEGATE_API_CA_FILE"] == "/tidegate/ca.crt"


def test_fields_of_a_container_come_through_as_they_are() -> None:
    fields: dict[str, Any] = {
        "imagePullPolicy": "Always",
        "envFrom": [{"secretRef": {"name": "keys"}}],
        "resources": {"limits": {"memory": "1Gi"}},
        "command": ["sh"],
        "args": ["-c", "true"],
    }
    spec = {**RESOLVED, **fields}
    spec.pop("entrypoint", None)
    (container,) = a_job(run(), spec)["spec"]["template"]["spec"]["containers"]
    assert container.items() >= fields.items()


def test_the_concurrency_key_stands_on_job_and_pod() -> None:
    keyed = run()
    keyed["spec"]["concurrencyKey"] = "customer 7"
    job = a_job(keyed, RESOLVED)
    for annotations in (job["metadata"]["annotations"], job["spec"]["template"]["metadata"]["annotations"]):
        assert annotations["tidegate.dev/concurrency-key"] == "customer 7"


def test_user_ids_can_be_left_to_the_cluster() -> None:
    pod = a_job(run(), RESOLVED, number=1, defaults=PodDefaults(run_as_user=-1))["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_a_jobs_name_fits_and_never_has_two_dashes_for_a_cut() -> None:
    name = job_name(run="a" * 39 + "-" + "b" * 23, run_uid="u", number=100)
    assert name.startswith("a" * 39 + "-")
    assert "--" not in name
    assert len(name) <= 63
