"""TaskRuns, and the Jobs and pods that an operator would make for them, on a real apiserver."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tidegate_api.job_names import job_name
from tidegate_api.names import TASK_LABEL, TASK_SPEC_ANNOTATION
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.cluster.client import (
    GROUP_VERSION,
    MERGE_PATCH,
    Cluster,
    jobs_path,
    pods_path,
    pools_path,
    queues_path,
    runs_path,
    schedules_path,
    tasks_path,
)
from tidegate_web.cluster.errors import ClusterError

Json = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class RunMaker:
    """TaskRuns, and the Jobs and pods that an operator would make for them, on the real apiserver."""

    def __init__(self, plane: ControlPlane, project: str) -> None:
        self._plane = plane
        self.project = project
        self.admin = Cluster.connect(plane.kubeconfig())

    def make_project(self) -> None:
        labels = {"tidegate.dev/project": "true"}
        self.admin.request("POST", "/api/v1/namespaces", body={"metadata": {"name": self.project, "labels": labels}})

    def kubectl(self, *arguments: str, body: object = None) -> str:
        return self._plane.kubectl("-n", self.project, *arguments, stdin=None if body is None else json.dumps(body))

    def create(self, name: str, *, labels: Mapping[str, str] | None = None, **spec: Any) -> Json:
        body = {
            "apiVersion": GROUP_VERSION,
            "kind": "TaskRun",
            "metadata": {"name": name, "labels": dict(labels or {})},
            "spec": spec or {"task": {"image": "busybox"}},
        }
        return self.admin.request("POST", runs_path(self.project), body=body, query={"fieldValidation": "Strict"})

    def get(self, name: str) -> Json:
        return self.admin.request("GET", f"{runs_path(self.project)}/{name}")

    def status(self, name: str, **status: Any) -> Json:
        path = f"{runs_path(self.project)}/{name}/status"
        return self.admin.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)

    def schedule(self, name: str, **spec: Any) -> Json:
        template = {"spec": {"task": {"image": "busybox"}}}
        body = {
            "apiVersion": GROUP_VERSION,
            "kind": "Schedule",
            "metadata": {"name": name},
            "spec": {"cron": "* * * * *", "template": template} | spec,
        }
        return self.admin.request("POST", schedules_path(self.project), body=body)

    def schedule_status(self, name: str, **status: Any) -> None:
        path = f"{schedules_path(self.project)}/{name}/status"
        self.admin.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)

    def queue(self, name: str, **spec: Any) -> Json:
        body = {"apiVersion": GROUP_VERSION, "kind": "Queue", "metadata": {"name": name}, "spec": spec}
        return self.admin.request("POST", queues_path(self.project), body=body)

    def queue_status(self, name: str, **status: Any) -> None:
        path = f"{queues_path(self.project)}/{name}/status"
        self.admin.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)

    def task(self, name: str, **spec: Any) -> Json:
        body = {"apiVersion": GROUP_VERSION, "kind": "Task", "metadata": {"name": name}, "spec": spec}
        return self.admin.request("POST", tasks_path(self.project), body=body)

    def pool(self, name: str, **spec: Any) -> Json:
        body = {"apiVersion": GROUP_VERSION, "kind": "WorkerPool", "metadata": {"name": name}, "spec": spec}
        return self.admin.request("POST", pools_path(self.project), body=body)

    def pool_status(self, name: str, **status: Any) -> None:
        path = f"{pools_path(self.project)}/{name}/status"
        self.admin.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)

    def delete(self, name: str) -> None:
        self.admin.request("DELETE", f"{runs_path(self.project)}/{name}")

    def exists(self, name: str) -> bool:
        return self._exists(f"{runs_path(self.project)}/{name}")

    def job_exists(self, name: str) -> bool:
        return self._exists(f"{jobs_path(self.project)}/{name}")

    def _exists(self, path: str) -> bool:
        try:
            self.admin.request("GET", path)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def job(
        self,
        run: Json,
        attempt: int = 1,
        *,
        name: str | None = None,
        owned: bool = True,
        task: str | None = None,
        task_spec: str | None = None,
    ) -> Json:
        """The Job of an attempt; of a ``task``, where it is named, and with the annotation that says its spec."""
        uid = run["metadata"]["uid"]
        body: Json = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name or job_name(run["metadata"]["name"], uid, attempt)},
            "spec": {
                "suspend": True,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "task", "image": "busybox"}]}},
            },
        }
        if task is not None:
            body["metadata"]["labels"] = {TASK_LABEL: task}
        if task_spec is not None:
            body["metadata"]["annotations"] = {TASK_SPEC_ANNOTATION: task_spec}
        if owned:
            body["metadata"]["ownerReferences"] = [owner_reference(run)]
        return self.admin.request("POST", jobs_path(self.project), body=body)

    def pod(
        self, name: str, *, owner: Json | None, run_uid: str = "", node: str | None = None, account: str = "default"
    ) -> Json:
        """A pod as the Job controller makes it."""
        labels = {"app.kubernetes.io/managed-by": "tidegate", "tidegate.dev/run-uid": run_uid}
        body: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "serviceAccountName": account,
                "automountServiceAccountToken": False,
                "containers": [{"name": "task", "image": "busybox"}],
            },
        }
        if owner is not None:
            body["metadata"]["ownerReferences"] = [owner_reference(owner)]
        if node is not None:
            body["spec"]["nodeName"] = node
        self.account(account)
        return self.admin.request("POST", pods_path(self.project), body=body)

    def account(self, name: str = "default") -> None:
        """See that there is a service account."""
        accounts = f"/api/v1/namespaces/{self.project}/serviceaccounts"
        if not self._exists(f"{accounts}/{name}"):
            self.admin.request("POST", accounts, body={"metadata": {"name": name}})

    def pod_state(self, name: str, *, exit_code: int | None = None) -> None:
        """The container ``task`` runs, or has ended."""
        state: Json = {"running": {"startedAt": now()}}
        phase = "Running"
        if exit_code is not None:
            state = {"terminated": {"exitCode": exit_code, "startedAt": now(), "finishedAt": now()}}
            phase = "Failed" if exit_code else "Succeeded"
        container = {
            "name": "task",
            "state": state,
            "ready": False,
            "restartCount": 0,
            "image": "busybox",
            "imageID": "",
        }
        body = {"status": {"phase": phase, "containerStatuses": [container]}}
        path = f"{pods_path(self.project)}/{name}/status"
        self.admin.request("PATCH", path, body=body, content_type="application/strategic-merge-patch+json")

    def delete_pod(self, name: str) -> None:
        self.admin.request("DELETE", f"{pods_path(self.project)}/{name}", body={"gracePeriodSeconds": 0})

    def token(self, pod: Json, *, audience: str = "tidegate", account: str = "default") -> str:
        """The projected token that the kubelet would write into the pod."""
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        path = f"/api/v1/namespaces/{self.project}/serviceaccounts/{account}/token"
        made = self.admin.request("POST", path, body={"spec": {"audiences": [audience], "boundObjectRef": bound}})
        return str(made["status"]["token"])


def owner_reference(owner: Json) -> Json:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
