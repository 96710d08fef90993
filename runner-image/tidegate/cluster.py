"""Runs straight in a cluster, where no API is: TaskRuns by the pod's own service account, or by a kubeconfig.

A user who may create TaskRuns may do what this does; the cluster's rights are all there is.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from typing import Callable, Optional, TypedDict
from urllib.parse import quote

from tidegate.errors import ApiError, ConfigurationError
from tidegate.run_json import RunBody, RunStatus, encoded
from tidegate.runs import SUBMIT_SECONDS, Client, RunState
from tidegate.transport import Http

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
GROUP_VERSION = "tidegate.dev/v1alpha1"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class _Meta(TypedDict):
    name: str
    uid: str


class _TaskRun(TypedDict, total=False):
    metadata: _Meta
    spec: RunBody
    status: Optional[RunStatus]


class ClusterClient(Client):
    """The TaskRuns of a namespace."""

    def __init__(
        self,
        server: str,
        *,
        namespace: str,
        authorization: Callable[[], str],
        context: Optional[ssl.SSLContext] = None,
        proxies: bool = True,
    ) -> None:
        self._http = Http(server, authorization=authorization, context=context, proxies=proxies)
        self._namespace = namespace

    def create(self, body: RunBody) -> RunState:
        spec = {field: value for field, value in body.items() if field != "name"}
        key = body.get("idempotencyKey")
        name = body.get("name") or run_name(self._namespace, body["taskRef"]["name"], key or "")
        resource = {
            "apiVersion": GROUP_VERSION,
            "kind": "TaskRun",
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": spec,
        }
        try:
            made = self._http.call("POST", self._path(), encoded(resource), seconds=SUBMIT_SECONDS).json()
        except ApiError as error:
            # Made before, by this key; or by our first request, whose answer was lost.
            if error.status != 409 or (key is None and error.tries == 1):
                raise
            made = self._get(name, seconds=SUBMIT_SECONDS)
            if made["spec"].get("idempotencyKey") != key:
                raise
            if any(made["spec"].get(field) != spec.get(field) for field in ("taskRef", "payload")):
                raise ApiError("this idempotency key was used with another payload", status=422) from None
        return _state_of(made)

    def look(self, run: RunState, *, seconds: Optional[float]) -> RunState:
        found = self._get(run.name, seconds=seconds)
        if run.uid and found["metadata"]["uid"] != run.uid:
            raise ApiError(f"run {run.name} was deleted, and there is another of this name", status=404)
        return _state_of(found)

    def result(self, run: RunState) -> object:
        if run.result_bytes is None:
            return run.result
        raise ApiError(
            f"the result of {run.name} has {run.result_bytes} bytes, which only the web app has: "
            "set TIDEGATE_API_URL and TIDEGATE_API_KEY"
        )

    def cancel(self, run: RunState) -> None:
        # The uid is a precondition: a newer run of this name is not meant.
        patch = {"metadata": {"uid": run.uid}, "spec": {"cancel": True}}
        self._http.call("PATCH", self._path(run.name), encoded(patch), seconds=SUBMIT_SECONDS, headers=MERGE_PATCH)

    def _get(self, name: str, *, seconds: Optional[float]) -> _TaskRun:
        found: _TaskRun = self._http.call("GET", self._path(name), seconds=seconds).json()
        return found

    def _path(self, name: Optional[str] = None) -> str:
        runs = f"/apis/{GROUP_VERSION}/namespaces/{quote(self._namespace, safe='')}/taskruns"
        return runs if name is None else f"{runs}/{quote(name, safe='')}"


def run_name(project: str, task: str, key: str) -> str:
    """The name of a run of an idempotency key: the same for every client."""
    digest = hashlib.sha256(f"{project}/{task}/{key}".encode()).hexdigest()[:16]
    return f"{task[:40].rstrip('-')}-{digest}"


def _state_of(resource: _TaskRun) -> RunState:
    status = resource.get("status") or {}
    reference = status.get("resultRef")
    return RunState(
        name=resource["metadata"]["name"],
        uid=resource["metadata"]["uid"],
        phase=status.get("phase") or "Pending",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        result=status.get("result"),
        result_bytes=None if reference is None else reference["bytes"],
    )


def connect_cluster(namespace: Optional[str]) -> ClusterClient:
    """The cluster of this pod, when it has an account there; else the one of the kubeconfig."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if host and "KUBECONFIG" not in os.environ and os.path.exists(f"{ACCOUNT}/token"):
        return _by_account(host, namespace)
    from tidegate.kubeconfig import read

    found = read()
    return ClusterClient(
        found.server,
        namespace=namespace or found.namespace,
        authorization=found.authorization,
        context=found.context,
    )


def _by_account(host: str, namespace: Optional[str]) -> ClusterClient:
    def bearer() -> str:
        return f"Bearer {_text('token')}"  # the kubelet renews it

    address = f"[{host}]" if ":" in host else host
    return ClusterClient(
        f"https://{address}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}",
        namespace=namespace or _text("namespace"),
        authorization=bearer,
        context=ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt"),
        proxies=False,
    )


def _text(name: str) -> str:
    try:
        with open(f"{ACCOUNT}/{name}", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"can't read the pod's service account: {error}") from None
