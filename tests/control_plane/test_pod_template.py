"""podTemplate and the resources after an OOM kill, as a real apiserver takes or refuses them."""

from typing import Any

import pytest
from support.builders import a_run, a_task
from support.operator import Runs
from support.servers import wait_until

pytestmark = pytest.mark.usefixtures("operator")

Json = dict[str, Any]


def task_of(job: Json) -> Json:
    found: Json = job["spec"]["template"]["spec"]["containers"][0]
    return found


def end(runs: Runs, run: str, number: int, **how: str) -> None:
    """Have the running pod of an attempt end."""

    def running() -> bool:
        return [p["status"]["phase"] for p in runs.listed("pods", selector)] == ["Running"]

    selector = f"tidegate.dev/run={run},tidegate.dev/attempt={number}"
    wait_until(running, what=f"attempt {number} of {run} to run")
    annotations = {f"fake.tidegate.dev/{part.replace('_', '-')}": value for part, value in how.items()}
    runs.kube.annotate_all("pods", selector, annotations)


def test_the_template_and_tidegates_pod_become_one(runs: Runs) -> None:
    template = {
        "metadata": {"labels": {"tier": "batch", "tidegate.dev/run": "forged"}, "annotations": {"note": "n"}},
        "spec": {
            "terminationGracePeriodSeconds": 7,
            "serviceAccountName": "default",
            "automountServiceAccountToken": True,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "securityContext": {"runAsUser": 1000, "fsGroup": None},
            "initContainers": [{"name": "proxy", "image": "proxy", "restartPolicy": "Always"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [
                {"name": "helper", "image": "helper"},
                {
                    "name": "task",
                    "securityContext": {"readOnlyRootFilesystem": True},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}],
                },
            ],
        },
    }
    runs.create(a_task("templated", podTemplate=template, serviceAccountName="absent"))
    runs.create(a_run("templated").task_ref("templated").built)
    runs.wait("templated", "Succeeded")
    (job,) = runs.jobs("templated")
    (pod,) = runs.listed("pods", "tidegate.dev/run=templated")
    assert pod["metadata"]["labels"]["tier"] == "batch"
    assert "tier" not in job["metadata"]["labels"]
    assert pod["metadata"]["annotations"] == {"note": "n", "tidegate.dev/payload": "{}"}
    spec = pod["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert (spec["terminationGracePeriodSeconds"], spec["serviceAccountName"]) == (7, "default")
    assert (spec["nodeSelector"], spec["restartPolicy"]) == ({"kubernetes.io/os": "linux"}, "Never")
    assert {"key": "gpu", "operator": "Exists"} in spec["tolerations"]
    assert [c["name"] for c in spec["containers"]] == ["task", "helper"]
    assert [c["name"] for c in spec["initContainers"]] == ["proxy"]
    task = spec["containers"][0]
    assert task["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    # Last: the token that the template has asked for.
    assert [m["mountPath"] for m in task["volumeMounts"]][:2] == ["/tidegate", "/data"]
    assert {e["name"]: e.get("value") for e in task["env"]}["TIDEGATE_RESULT_MAX_BYTES"] == "4096"


@pytest.mark.parametrize(
    ("slug", "template", "words"),
    [
        ("unknown-field", {"spec": {"nodeSelectr": {}}}, 'unknown field "spec.template.spec.nodeSelectr"'),
        ("directive", {"spec": {"$patch": "replace"}}, 'unknown field "spec.template.spec.$patch"'),
        ("of-a-pod", {"status": {}}, 'unknown field "spec.template.status"'),
        ("no-spec", {"spec": "text"}, "cannot unmarshal string"),
        ("no-meta", {"metadata": [1]}, "cannot unmarshal array"),
        ("no-label", {"metadata": {"labels": {"a": 1}}}, "cannot unmarshal number"),
        ("no-list", {"spec": {"containers": {"name": "task"}}}, "cannot unmarshal object"),
        ("no-container", {"spec": {"containers": ["task"]}}, "cannot unmarshal string"),
        ("no-name", {"spec": {"containers": [{"image": "x"}]}}, "containers[1].name: Required value"),
        ("twice", {"spec": {"containers": [{"name": "task"}, {"name": "task", "image": "x"}]}}, "Duplicate value"),
        ("init-task", {"spec": {"initContainers": [{"name": "task", "image": "x"}]}}, "Duplicate value"),
        ("no-volume", {"spec": {"containers": [{"name": "task", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}]}},
         "volumeMounts[1].name: Not found"),
        ("ephemeral", {"spec": {"ephemeralContainers": [{"name": "x", "image": "x"}]}}, "ephemeral"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_pod_fails_with_the_apiservers_words(
    runs: Runs, slug: str, template: Json, words: str
) -> None:
    runs.create(a_run(f"bad-{slug}").task(podTemplate=template).built)
    status = runs.wait(f"bad-{slug}", "Failed", reason="InvalidTask")
    assert words in status["message"]
    assert runs.jobs(f"bad-{slug}") == []


def test_a_mount_among_tidegates_files_fails_with_its_path(runs: Runs) -> None:
    spec = {
        "volumes": [{"name": "data", "emptyDir": {}}],
        "containers": [{"name": "task", "volumeMounts": [{"name": "data", "mountPath": "/tidegate/data"}]}],
    }
    runs.create(a_run("bad-mount").task(podTemplate={"spec": spec}).built)
    status = runs.wait("bad-mount", "Failed", reason="InvalidTask")
    assert "/tidegate/data" in status["message"]
    assert runs.jobs("bad-mount") == []


def test_an_oom_kill_that_the_status_has_forgotten_still_counts(runs: Runs) -> None:
    retry = {
        "maxAttempts": 3,
        "initialDelaySeconds": 0,
        "outOfMemory": {"resources": {"limits": {"memory": "2Gi"}}},
    }
    runs.create(a_run("forgetful").pod(hold="1").task(retry=retry).built)
    end(runs, "forgetful", 1, reason="OOMKilled", exit_code="137")
    wait_until(lambda: len(runs.jobs("forgetful")) == 2, what="the second attempt")
    # As when a hundred attempts have come since.
    forget = [{"op": "remove", "path": "/status/attempts/0"}]
    runs.kube.patch("taskruns.tidegate.dev", "forgetful", forget, subresource="status")
    end(runs, "forgetful", 2, exit_code="1")
    end(runs, "forgetful", 3, exit_code="0")
    status = runs.wait("forgetful", "Succeeded")
    assert [a.get("reason") for a in status["attempts"]] == ["Error", None]
    assert [task_of(job).get("resources") for job in runs.jobs("forgetful")][1:] == [{"limits": {"memory": "2Gi"}}] * 2


def test_attempts_after_an_oom_kill_get_its_resources(runs: Runs) -> None:
    retry = {
        "maxAttempts": 3,
        "initialDelaySeconds": 0,
        "outOfMemory": {"resources": {"limits": {"memory": "2Gi"}, "requests": {"memory": "2Gi"}}},
    }
    template = {"spec": {"containers": [{"name": "task", "resources": {"limits": {"memory": "1Gi"}}}]}}
    runs.create(
        a_run("hungry")
        .pod(hold="1")
        .task(retry=retry, podTemplate=template, resources={"limits": {"cpu": "1", "memory": "5Mi"}})
        .retry(outOfMemory={"resources": {"limits": {"memory": "4Gi"}}})
        .built
    )
    end(runs, "hungry", 1, exit_code="1")
    end(runs, "hungry", 2, reason="OOMKilled", exit_code="137")
    end(runs, "hungry", 3, exit_code="0")
    status = runs.wait("hungry", "Succeeded")
    assert [a.get("reason") for a in status["attempts"]] == ["Error", "OOMKilled", None]
    first, second, third = runs.jobs("hungry")
    for job in (first, second):
        assert task_of(job)["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert task_of(third)["resources"] == {
        "limits": {"cpu": "1", "memory": "4Gi"},
        "requests": {"memory": "2Gi"},
    }
    specs = {job["metadata"]["annotations"]["tidegate.dev/task-spec"] for job in (first, second, third)}
    assert len(specs) == 1


def test_without_such_resources_an_oom_kill_is_an_ordinary_failure(runs: Runs) -> None:
    retry = {"maxAttempts": 2, "initialDelaySeconds": 0}
    limits = {"limits": {"memory": "1Gi"}}
    runs.create(a_run("starved").pod(exit_code="137", reason="OOMKilled").task(retry=retry, resources=limits).built)
    status = runs.wait("starved", "Failed", reason="OOMKilled")
    assert [a["reason"] for a in status["attempts"]] == ["OOMKilled", "OOMKilled"]
    assert [task_of(job)["resources"]["limits"] for job in runs.jobs("starved")] == [{"memory": "1Gi"}] * 2
