"""The apiserver for tests, by pykube-ng: a process of kubectl costs a tenth of a second of a core for each question.

kubectl itself is started only where it is what a test is about: columns, `kubectl wait`, `kubectl apply`, its own validation.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pykube
import requests
from pykube.exceptions import HTTPError, KubernetesError, ObjectDoesNotExist
from pykube.objects import NamespacedAPIObject
from tidegate_api.names import GROUP, VERSION
from tidegate_demo.api import connect

from support.servers import PATIENCE, wait_until

__all__ = ["NO_ANSWER", "HTTPError", "Kube", "ObjectDoesNotExist"]

Json = dict[str, Any]
NO_ANSWER: Final = (KubernetesError, requests.RequestException)
"""What a question may end with while an apiserver is away, starts, or knows no such kind yet."""

_JSON = "application/json"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What pykube knows of a kind."""

    version: str
    endpoint: str
    kind: str
    namespaced: bool = True

    @classmethod
    def of(cls, known: Any) -> Self:
        """One of pykube's classes."""
        namespaced = issubclass(known, NamespacedAPIObject)
        return cls(version=known.version, endpoint=known.endpoint, kind=known.kind, namespaced=namespaced)


_OURS: Final = tuple(
    Kind(version=f"{GROUP}/{VERSION}", endpoint=f"{kind.lower()}s", kind=kind)
    for kind in ("TaskRun", "Task", "Queue", "Schedule", "WorkerPool")
)
_OTHERS: Final = (
    Kind(version="apiregistration.k8s.io/v1", endpoint="apiservices", kind="APIService", namespaced=False),
    Kind(version="autoscaling/v2", endpoint="horizontalpodautoscalers", kind="HorizontalPodAutoscaler"),
    Kind(version="coordination.k8s.io/v1", endpoint="leases", kind="Lease"),
    Kind(
        version="admissionregistration.k8s.io/v1",
        endpoint="validatingwebhookconfigurations",
        kind="ValidatingWebhookConfiguration",
        namespaced=False,
    ),
    *(
        Kind.of(known)
        for known in (
            pykube.ConfigMap,
            pykube.CustomResourceDefinition,
            pykube.Deployment,
            pykube.Event,
            pykube.Job,
            pykube.Namespace,
            pykube.Node,
            pykube.Pod,
            pykube.ResourceQuota,
            pykube.RoleBinding,
            pykube.Secret,
            pykube.Service,
            pykube.ServiceAccount,
            pykube.StatefulSet,
        )
    ),
)
_RUNS: Final = f"taskruns.{GROUP}"
RESOURCES: Final = {f"{one.endpoint}.{GROUP}": one for one in _OURS} | {one.endpoint: one for one in _OTHERS}
"""By the names that kubectl takes."""
_BY_KIND: Final = {(one.version, one.kind): one for one in (*_OURS, *_OTHERS)}


class Kube:
    """An apiserver as one user sees it, and one namespace of it."""

    def __init__(self, kubeconfig: Path, *, namespace: str = "default") -> None:
        self.namespace = namespace
        self._headers: Mapping[str, str] = {}
        self._api = connect(kubeconfig)

    def within(self, namespace: str) -> Self:
        """The same in another namespace."""
        made = type(self).__new__(type(self))
        made.namespace, made._headers, made._api = namespace, self._headers, self._api
        return made

    def acting_as(self, user: str) -> Self:
        """The same as another user, as by `kubectl --as`."""
        made = self.within(self.namespace)
        made._headers = {"Impersonate-User": user}
        return made

    def get(self, resource: str, name: str) -> Json:
        """An object; ObjectDoesNotExist without one."""
        return self._got(resource, name, _JSON)

    def find(self, resource: str, name: str) -> Json | None:
        """An object, None without one."""
        try:
            return self.get(resource, name)
        except ObjectDoesNotExist:
            return None

    def cells(self, resource: str, name: str) -> dict[str, str]:
        """What the columns of `kubectl get` would show, by their heads: also of objects that Python can't decode."""
        (row,) = _rows(self._got(resource, name, _TABLE, includeObject="None"))
        return row

    def listed(self, resource: str, selector: str = "", *, fields: str = "") -> list[Json]:
        """Objects of the namespace."""
        params = {"labelSelector": selector, "fieldSelector": fields}
        found: list[Json] = self._answered(self._api.get(**self._of(RESOURCES[resource], params=params)))["items"]
        return found

    def names(self, resource: str, selector: str = "", *, fields: str = "") -> list[str]:
        """Their names, also of objects that Python can't decode."""
        params = {"labelSelector": selector, "fieldSelector": fields, "includeObject": "None"}
        of = self._of(RESOURCES[resource], params=params, accept=_TABLE)
        return [row["Name"] for row in _rows(self._answered(self._api.get(**of)))]

    def create(self, manifest: Json, *, dry_run: bool = False) -> Json:
        """Create an object, in the manifest's namespace or else in this one; fields that its kind doesn't know are refused."""
        params = {"fieldValidation": "Strict"} | _dry(dry_run)
        of = self._placed(manifest)._of(self._kind_of(manifest), params=params)
        return self._answered(self._api.post(**of, data=json.dumps(manifest)))

    def create_text(self, resource: str, text: str) -> None:
        """Create an object from JSON that Python may be unable to decode."""
        self._check(self._api.post(**self._of(RESOURCES[resource]), data=text.encode()))

    def create_all(self, manifests: Iterable[Json]) -> None:
        """Create objects, one after the other."""
        for manifest in manifests:
            self.create(manifest)

    def create_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> Self:
        """A namespace, and the way into it."""
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}})
        return self.within(name)

    def create_account(self, name: str) -> None:
        """A service account."""
        self.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})

    def create_quota(self, name: str, hard: Mapping[str, int]) -> None:
        """A ResourceQuota that is in force."""
        spec = {"hard": {resource: str(count) for resource, count in hard.items()}}
        self.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec})
        self.wait("resourcequotas", name, lambda one: "hard" in one["status"], what="in force")

    def create_config(self, name: str, **data: str) -> None:
        """A ConfigMap."""
        self.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})

    def apply(self, manifest: Json) -> Json:
        """Create an object, or have it as the manifest says: server-side apply."""
        params = {"fieldManager": "tests", "force": "true"}
        kind, name = self._kind_of(manifest), manifest["metadata"]["name"]
        of = self._placed(manifest)._of(kind, name, params=params, content_type=_APPLY_PATCH)
        return self._answered(self._api.patch(**of, data=json.dumps(manifest)))

    def replace(self, manifest: Json) -> Json:
        """Put the object in the place of the one that is there, whichever version that has."""
        place, kind, metadata = self._placed(manifest), self._kind_of(manifest), manifest["metadata"]
        there = self._answered(self._api.get(**place._of(kind, metadata["name"])))
        version = {"resourceVersion": there["metadata"]["resourceVersion"]}
        body = {**manifest, "metadata": {**metadata, **version}}
        return self._answered(self._api.put(**place._of(kind, metadata["name"]), data=json.dumps(body)))

    def patch(
        self,
        resource: str,
        name: str,
        patch: Json | list[Json],
        *,
        subresource: str = "",
        strategic: bool = False,
        dry_run: bool = False,
    ) -> None:
        """Change an object by a merge patch, or by the operations of a JSON patch."""
        kind = _JSON_PATCH if isinstance(patch, list) else _STRATEGIC_PATCH if strategic else _MERGE_PATCH
        of = self._of(RESOURCES[resource], name, subresource, params=_dry(dry_run), content_type=kind)
        self._check(self._api.patch(**of, data=json.dumps(patch)))

    def label(self, resource: str, name: str, labels: Mapping[str, str | None]) -> None:
        """Set labels; None takes one away."""
        self.patch(resource, name, {"metadata": {"labels": dict(labels)}})

    def annotate(self, resource: str, name: str, annotations: Mapping[str, str | None]) -> None:
        """Set annotations; None takes one away."""
        self.patch(resource, name, {"metadata": {"annotations": dict(annotations)}})

    def annotate_all(self, resource: str, selector: str, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of all that the selector finds."""
        for name in self.names(resource, selector):
            self.annotate(resource, name, annotations)

    def delete(self, resource: str, name: str, *, wait: bool = True, grace: int | None = None) -> None:
        """Delete an object, which must be there, and wait until it is gone."""
        of = self._of(RESOURCES[resource], name)
        deleted = self._answered(self._api.delete(**of, data=json.dumps(_deletion(grace))))
        # A Status where it is gone at once, else the object as it is until then.
        uid = (deleted.get("details") or deleted["metadata"])["uid"]

        def gone() -> bool:
            try:
                return bool(self._got(resource, name, _METADATA)["metadata"]["uid"] != uid)
            except ObjectDoesNotExist:
                return True

        if wait:
            wait_until(gone, what=f"{resource}/{name} to go")

    def delete_one(self, manifest: Json) -> None:
        """Delete the object of a manifest."""
        of = self._placed(manifest)._of(self._kind_of(manifest), manifest["metadata"]["name"])
        self._check(self._api.delete(**of, data=json.dumps(_deletion(None))))

    def delete_all(self, resource: str, selector: str = "", *, wait: bool = True, grace: int | None = None) -> None:
        """Delete all that the selector finds, and wait until they are gone."""
        before = {one["metadata"]["uid"] for one in self.listed(resource, selector)}
        of = self._of(RESOURCES[resource], params={"labelSelector": selector})
        self._check(self._api.delete(**of, data=json.dumps(_deletion(grace))))

        def gone() -> bool:
            return not before & {one["metadata"]["uid"] for one in self.listed(resource, selector)}

        if wait:
            wait_until(gone, what=f"{resource} {selector} to go")

    def log(self, pod: str, *, container: str = "", limit_bytes: int | None = None) -> str:
        """What a container of a pod has written."""
        params = {"container": container, "limitBytes": "" if limit_bytes is None else str(limit_bytes)}
        answer: requests.Response = self._api.get(**self._of(RESOURCES["pods"], pod, "log", params=params))
        self._check(answer)
        return answer.content.decode(errors="replace")

    def post(self, resource: str, name: str, subresource: str, body: Json) -> Json:
        """Ask something of an object: a token, an eviction."""
        return self._answered(self._api.post(**self._of(RESOURCES[resource], name, subresource), data=json.dumps(body)))

    def put(self, resource: str, name: str, subresource: str, body: Json) -> Json:
        """Replace a part of an object."""
        return self._answered(self._api.put(**self._of(RESOURCES[resource], name, subresource), data=json.dumps(body)))

    def token(self, account: str, *, audience: str) -> str:
        """A token of a service account, bound to no pod."""
        made = self.post("serviceaccounts", account, "token", {"spec": {"audiences": [audience]}})
        return str(made["status"]["token"])

    def raw(self, path: str) -> str:
        """The text at a path."""
        folder, _, name = path.rpartition("/")
        answer: requests.Response = self._api.get(version=folder, url=name, headers=dict(self._headers))
        self._check(answer)
        return answer.text

    def wait(
        self, resource: str, name: str, holds: Callable[[Json], bool], *, what: str = "", seconds: float = PATIENCE
    ) -> Json:
        """The object, once it is there and the condition holds for it."""
        seen: Json = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.find(resource, name) or {})
            return bool(seen) and holds(seen)

        wait_until(there, seconds=seconds, what=f"{resource}/{name} {what}")
        return seen

    def wait_condition(self, resource: str, name: str, condition: str, *, seconds: float = PATIENCE) -> Json:
        """The object, once a condition of its status is True."""
        return self.wait(resource, name, lambda one: is_true(one, condition), what=condition, seconds=seconds)

    def wait_phase(self, run: str, phase: str, *, seconds: float = PATIENCE) -> Json:
        """The run, once it is in the phase."""
        return self.wait(_RUNS, run, lambda one: bool(one["status"]["phase"] == phase), what=phase, seconds=seconds)

    def wait_until_allowed(self, verb: str, resource: str, *, name: str = "") -> None:
        """Wait until this user may do something here: the apiserver reads new roles and bindings a moment later."""
        asked = {"namespace": self.namespace, "verb": verb, "resource": resource, "name": name}
        review: Json = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": asked},
        }
        wait_until(lambda: bool(self.create(review)["status"]["allowed"]), what=f"the right to {verb} {resource}")

    def _got(self, resource: str, name: str, accept: str, **params: str) -> Json:
        answer = self._api.get(**self._of(RESOURCES[resource], name, params=params, accept=accept))
        if answer.status_code == 404:
            raise ObjectDoesNotExist(f"no {name} among {resource} of {self.namespace}")
        return self._answered(answer)

    def _kind_of(self, manifest: Json) -> Kind:
        kind = manifest["apiVersion"], manifest["kind"]
        return _BY_KIND.get(kind) or Kind.of(pykube.object_factory(self._api, *kind))

    def _placed(self, manifest: Json) -> Self:
        namespace = manifest["metadata"].get("namespace")
        return self.within(namespace) if namespace else self

    def _of(
        self,
        kind: Kind,
        name: str = "",
        subresource: str = "",
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> dict[str, Any]:
        """What pykube's client is asked with."""
        asked: dict[str, Any] = {
            "version": kind.version,
            "url": "/".join(part for part in (kind.endpoint, name, subresource) if part),
            "params": {key: value for key, value in (params or {}).items() if value},
            "headers": {"Content-Type": content_type, "Accept": accept, **self._headers},
        }
        if kind.namespaced:
            asked["namespace"] = self.namespace
        return asked

    def _check(self, answer: requests.Response) -> None:
        """Raise HTTPError, with the apiserver's words, for a refusal. pykube's own check breaks where there are no words."""
        if not answer.ok and "json" not in answer.headers.get("Content-Type", ""):
            raise HTTPError(answer.status_code, answer.text or answer.reason)
        self._api.raise_for_status(answer)

    def _answered(self, answer: requests.Response) -> Json:
        self._check(answer)
        found: Json = answer.json()
        return found


def _rows(table: Json) -> list[dict[str, str]]:
    """The cells of a table's rows, by the heads of its columns."""
    heads = [column["name"] for column in table["columnDefinitions"]]
    return [{head: str(cell or "") for head, cell in zip(heads, row["cells"], strict=True)} for row in table["rows"]]


def _dry(run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if run else {}


def _deletion(grace: int | None) -> Json:
    # Without the policy a Job, whose kind is older than the garbage collector, would leave its pods.
    options: Json = {"propagationPolicy": "Background"}
    return options if grace is None else options | {"gracePeriodSeconds": grace}


def is_true(one: Json, condition: str) -> bool:
    """Whether a condition of an object's status is True."""
    conditions = one.get("status", {}).get("conditions", [])
    return any(c["type"] == condition and c["status"] == "True" for c in conditions)
