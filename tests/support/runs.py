"""TaskRuns, and the Jobs and pods that an operator would make for them, on a real apiserver."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tidegate_api.job_names import job_name
from tidegate_api.names import GROUP, REQUESTED_BY_ANNOTATION, TASK_LABEL, TASK_SPEC_ANNOTATION, VERSION
from tidegate_cluster.control_plane import ControlPlane

from support.kube import Kube

Json = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class RunMaker:
    """TaskRuns, and the Jobs and pods that an operator would make for them, on the real apiserver."""

    def __init__(self, plane: ControlPlane, project: str) -> None:
        self.project = project
        self.kube = Kube(plane.kubeconfig(), namespace=project)

    def make_project(self, annotations: Mapping[str, str] | None = None) -> None:
        """Its namespace, made or labelled. Annotations: of ``tidegate.dev``."""
        metadata = {
            "name": self.project,
            "labels": {"tidegate.dev/project": "true"},
            "annotations": {f"tidegate.dev/{name}": value for name, value in (annotations or {}).items()},
        }
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def label_namespace(self, labels: Mapping[str, str | None]) -> None:
        self.kube.label("namespaces", self.project, labels)

    def create(self, name: str, *, labels: Mapping[str, str] | None = None, **spec: Any) -> Json:
        spec = spec or {"task": {"image": "busybox"}}
        return self._made("TaskRun", {"name": name, "labels": dict(labels or {})}, spec)

    def create_for(self, requester: str, name: str, *, labels: Mapping[str, str] | None = None, **spec: Any) -> Json:
        """One that says who asked for it."""
        annotations = {REQUESTED_BY_ANNOTATION: requester}
        metadata = {"name": name, "labels": dict(labels or {}), "annotations": annotations}
        return self._made("TaskRun", metadata, spec or {"task": {"image": "busybox"}})

    def get(self, name: str) -> Json:
        return self.kube.get("taskruns.tidegate.dev", name)

    def status(self, name: str, **status: Any) -> None:
        self.kube.patch("taskruns.tidegate.dev", name, {"status": status}, subresource="status")

    def schedule(self, name: str, **spec: Any) -> Json:
        template = {"spec": {"task": {"image": "busybox"}}}
        return self._made("Schedule", {"name": name}, {"cron": "* * * * *", "template": template} | spec)

    def schedule_status(self, name: str, **status: Any) -> None:
        self.kube.patch("schedules.tidegate.dev", name, {"status": status}, subresource="status")

    def queue(self, name: str, **spec: Any) -> Json:
        return self._made("Queue", {"name": name}, spec)

    def queue_status(self, name: str, **status: Any) -> None:
        self.kube.patch("queues.tidegate.dev", name, {"status": status}, subresource="status")

    def task(self, name: str, **spec: Any) -> Json:
        return self._made("Task", {"name": name}, spec)

    def _made(self, kind: str, metadata: Json, spec: Json) -> Json:
        return self.kube.create({"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": spec})

    def pool(self, name: str, **spec: Any) -> Json:
        return self._made("WorkerPool", {"name": name}, spec)

    def pool_status(self, name: str, **status: Any) -> None:
        self.kube.patch("workerpools.tidegate.dev", name, {"status": status}, subresource="status")

    def delete(self, name: str) -> None:
        self.kube.delete("taskruns.tidegate.dev", name, wait=False)

    def exists(self, name: str) -> bool:
        return self.kube.find("taskruns.tidegate.dev", name) is not None

    def job_exists(self, name: str) -> bool:
        return self.kube.find("jobs", name) is not None

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
        return self.kube.create(body)

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
        return self.kube.create(body)

    def worker(self, name: str, *, pool: str, node: str | None = None, **status: Any) -> Json:
        """A worker pod of a pool with this status, as its ReplicaSet makes it."""
        spec: Json = {"containers": [{"name": "worker", "image": "runner"}]}
        if node is not None:
            spec["nodeName"] = node
        self.account()
        metadata = {"name": name, "labels": {"tidegate.dev/pool": pool}}
        made = self.kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        if status:
            self.worker_status(name, **status)
        return made

    def worker_status(self, name: str, **status: Any) -> None:
        self.kube.patch("pods", name, {"status": status}, subresource="status", strategic=True)

    def account(self, name: str = "default") -> None:
        """See that there is a service account."""
        if self.kube.find("serviceaccounts", name) is None:
            self.kube.create_account(name)

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
        self.kube.patch("pods", name, body, subresource="status", strategic=True)

    def delete_pod(self, name: str) -> None:
        self.kube.delete("pods", name, wait=False, grace=0)

    def token(self, pod: Json, *, audience: str = "tidegate", account: str = "default") -> str:
        """The projected token that the kubelet would write into the pod."""
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {"audiences": [audience], "boundObjectRef": bound}
        made = self.kube.post("serviceaccounts", account, "token", {"spec": spec})
        return str(made["status"]["token"])


def owner_reference(owner: Json) -> Json:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
