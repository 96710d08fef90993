"""An apiserver in memory, for tests that try many orders of events: it keeps the rules that concurrent writers rely on.

Versions of objects, conflicts, preconditions, AlreadyExists, 404, the status subresource, patches by merging and by
operations, finalizers and graceful deletion, selectors, and lists of metadata alone. It checks no schema.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate_api.names import Phase

from support.fake_patches import patched

Json = dict[str, Any]

PATH: Final = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>status))?"
)
KINDS: Final = {
    "taskruns": ("tidegate.dev/v1alpha1", "TaskRun"),
    "tasks": ("tidegate.dev/v1alpha1", "Task"),
    "queues": ("tidegate.dev/v1alpha1", "Queue"),
    "schedules": ("tidegate.dev/v1alpha1", "Schedule"),
    "workerpools": ("tidegate.dev/v1alpha1", "WorkerPool"),
    "deployments": ("apps/v1", "Deployment"),
    "replicasets": ("apps/v1", "ReplicaSet"),
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "workers": ("v1", "Pod"),
    "events": ("v1", "Event"),
    "leases": ("coordination.k8s.io/v1", "Lease"),
}
ENDED: Final = ("Succeeded", "Failed")
TERMINAL: Final = frozenset(str(phase) for phase in Phase if phase.terminal)
GRACE: Final = 30
FOREGROUND: Final = "foregroundDeletion"
EMPTY_IS_ABSENT: Final = ("labels", "annotations", "finalizers")
KEPT: Final = ("phase", "reason", "attempts", "result", "resultRef")
"""Of the status of a TaskRun that has ended, by the CRD's rules and its admission policy."""


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def place(self) -> re.Match[str]:
        found = PATH.fullmatch(self.path)
        assert found is not None, self.path
        return found


@dataclass(frozen=True)
class Answer:
    status: int
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, body: Json) -> "Answer":
        """With the body as it is now, whatever becomes of it."""
        return cls(status, json.dumps(body, separators=(",", ":")).encode())

    @classmethod
    def refusal(cls, code: int, reason: str, message: str, *, headers: Mapping[str, str] | None = None) -> "Answer":
        status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
        return cls(code, json.dumps(status).encode(), headers or {})


@dataclass(frozen=True, kw_only=True)
class Event:
    """A change of an object, as a watch delivers it: `text` is the object, its keys sorted as the apiserver sorts them."""

    plural: str
    type: str
    version: int
    text: str
    before: str | None
    """Phase of the object before the change; None where there was none."""


class RefusedError(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.data.decode())
        self.answer = answer


class FakeApiserver:
    """Objects by kind, namespace and name. `clock`: seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.version = 100
        self.objects: dict[str, dict[tuple[str, str], Json]] = {plural: {} for plural in KINDS}
        self.events: list[Event] = []
        """All that watches could deliver."""
        self.untold: list[Event] = []
        """What no watch has reported yet."""
        self.oldest = 0
        """What was before this version is forgotten."""
        self._pages: dict[str, tuple[int, list[Json]]] = {}
        """Rests of lists, by their continue tokens, each with the version of its list."""
        self._phases: dict[str, str | None] = {}
        self._made = 0

    # What clients ask

    def handle(self, request: Request) -> Answer:
        place = request.place
        try:
            match request.method, place["name"]:
                case "GET", None:
                    return self._list(request)
                case "GET", _:
                    return Answer.of(200, _as_asked(self._find(request), request))
                case "POST", _:
                    return Answer.of(201, _as_asked(self._create(request), request))
                case "PATCH" | "PUT", _:
                    return Answer.of(200, _as_asked(self._update(request), request))
                case "DELETE", _:
                    return Answer.of(200, self._delete(request))
        except RefusedError as error:
            return error.answer
        raise NotImplementedError(request.method)

    def checked_create(self, plural: str, body: Json) -> None:
        """A client makes an object. Raises RefusedError where it may not."""

    def checked_update(self, plural: str, before: Json, after: Json) -> None:
        """A client changes an object. Raises RefusedError where it may not."""

    def checked_delete(self, plural: str, body: Json) -> None:
        """A client deletes an object. Raises RefusedError where it may not."""

    def _list(self, request: Request) -> Answer:
        place, query = request.place, request.query
        if "continue" in query:
            if query["continue"] not in self._pages:
                message = "The provided continue parameter is too old to display a consistent list result."
                raise RefusedError(Answer.refusal(410, "Expired", message))
            return self._page(request, *self._pages[query["continue"]])
        wanted = _selector(query.get("labelSelector", ""), lambda body, key: (_meta(body).get("labels") or {}).get(key))
        fields = _selector(query.get("fieldSelector", ""), _field)
        items = [
            _as_asked(body, request)
            for (namespace, _), body in sorted(self.objects[place["plural"]].items())
            if place["namespace"] in (None, namespace) and wanted(body) and fields(body)
        ]
        return self._page(request, self.version, items)

    def _page(self, request: Request, version: int, items: list[Json]) -> Answer:
        """So many items of a list as are asked for. The rest stays as it is at this version."""
        api, kind = KINDS[request.place["plural"]]
        meta, limit = {"resourceVersion": str(version)}, int(request.query.get("limit", "0")) or len(items)
        if rest := items[limit:]:
            meta["continue"] = f"page-{self._number()}"
            self._pages[meta["continue"]] = (version, json.loads(json.dumps(rest)))
        return Answer.of(200, {"apiVersion": api, "kind": f"{kind}List", "metadata": meta, "items": items[:limit]})

    def forget(self) -> None:
        """As etcd does when it is compacted: old lists and old events can't be had any more."""
        self.oldest = self.version
        self._pages.clear()
        self.events.clear()

    def _find(self, request: Request) -> Json:
        place = request.place
        found = self.objects[place["plural"]].get((place["namespace"], place["name"]))
        if found is None:
            raise RefusedError(Answer.refusal(404, "NotFound", f'{place["plural"]} "{place["name"]}" not found'))
        return found

    def _create(self, request: Request) -> Json:
        body, plural = json.loads(request.data or b""), request.place["plural"]
        meta = body["metadata"]
        meta.setdefault("namespace", request.place["namespace"])
        if "name" not in meta:
            meta["name"] = f"{meta['generateName']}{self._number():05d}"
        if (meta["namespace"], meta["name"]) in self.objects[plural]:
            raise RefusedError(Answer.refusal(409, "AlreadyExists", f'{plural} "{meta["name"]}" already exists'))
        self.checked_create(plural, body)
        return self.add(plural, body)

    def _update(self, request: Request) -> Json:
        place, before = request.place, self._find(request)
        asked: Json = json.loads(request.data or b"")
        put = request.method == "PUT"
        after = asked if put else patched(before, asked, how=request.headers.get("Content-Type"))
        meta, was = after["metadata"], before["metadata"]
        name = f'{place["plural"]} "{was["name"]}"'
        if meta.get("resourceVersion") not in (None, "", was["resourceVersion"]):
            raise RefusedError(Answer.refusal(409, "Conflict", f"{name}: the object has been modified"))
        if meta.get("uid") != was["uid"]:  # a patch has no preconditions: this is a field that can't change
            raise RefusedError(Answer.refusal(422, "Invalid", f"{name} is invalid: metadata.uid: field is immutable"))
        meta["resourceVersion"] = was["resourceVersion"]
        for key in [key for key in EMPTY_IS_ABSENT if not meta.get(key)]:
            meta.pop(key, None)
        if place["sub"] == "status":
            after = {**before, "status": after.get("status")}
        else:
            after = {k: v for k, v in {**after, "status": before.get("status")}.items() if v is not None}
        if place["plural"] == "pods":
            _check_pod(before, after)
        self.checked_update(place["plural"], before, after)
        if place["plural"] == "taskruns":
            _check_run(before, after)
        if after == before:
            return before  # no change, no version
        if after.get("spec") != before.get("spec") and "generation" in was:
            after["metadata"]["generation"] = was["generation"] + 1
        if was.get("finalizers") and not meta.get("finalizers") and _is_free(after):
            self.remove(place["plural"], before)
            return after
        return self.put(place["plural"], after)

    def _delete(self, request: Request) -> Json:
        body, plural = self._find(request), request.place["plural"]
        options = json.loads(request.data or b"{}")
        for key, value in (options.get("preconditions") or {}).items():
            if body["metadata"][key] != value:
                raise RefusedError(Answer.refusal(409, "Conflict", f"the {key} in the precondition is another"))
        self.checked_delete(plural, body)
        self.delete(plural, body, propagation=options.get("propagationPolicy") or "Background")
        return {"kind": "Status", "status": "Success"}

    # What happens to objects, whichever client asked

    def all(self, plural: str) -> Iterator[Json]:
        return iter(list(self.objects[plural].values()))

    def by_uid(self, plural: str, uid: str) -> Json | None:
        return next((body for body in self.objects[plural].values() if body["metadata"]["uid"] == uid), None)

    def time_text(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock()))

    def add(self, plural: str, body: Json) -> Json:
        meta, (api, kind) = body["metadata"], KINDS[plural]
        meta |= {"uid": f"{kind.lower()}-uid-{self._number():05d}", "creationTimestamp": self.time_text()}
        meta |= {"generation": 1} if plural != "events" else {}
        made = {"apiVersion": api, "kind": kind, **body}
        if plural == "taskruns":
            made["status"] = {"phase": "Pending"}
        if plural == "pods":
            made.setdefault("status", {"phase": "Pending"})
        if plural == "jobs":
            labels = made["spec"]["template"].setdefault("metadata", {}).setdefault("labels", {})
            labels["batch.kubernetes.io/controller-uid"] = meta["uid"]
        return self.put(plural, made, event="ADDED")

    def put(self, plural: str, body: Json, *, event: str = "MODIFIED") -> Json:
        """The object is as given now: it gets a version, and watches hear of it."""
        meta = body["metadata"]
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        self.objects[plural][meta["namespace"], meta["name"]] = body
        self._tell(plural, event, body)
        return body

    def delete(self, plural: str, body: Json, *, propagation: str = "Background") -> None:
        """As far as finalizers and the grace of pods let it."""
        meta = body["metadata"]
        if propagation == "Foreground" and FOREGROUND not in meta.get("finalizers", ()):
            meta["finalizers"] = [*meta.get("finalizers", ()), FOREGROUND]
        runs = plural == "pods" and body["spec"].get("nodeName") and body["status"]["phase"] not in ENDED
        # A pod is marked in any case, and a mark that it got while it ran comes to its end with it.
        if (plural == "pods" or meta.get("finalizers")) and (not runs or "deletionTimestamp" not in meta):
            self._mark_deleted(
                plural, body, grace=body["spec"].get("terminationGracePeriodSeconds", GRACE) if runs else 0
            )
        if not runs and not meta.get("finalizers"):
            self.remove(plural, body)

    def _mark_deleted(self, plural: str, body: Json, *, grace: int) -> None:
        meta, ends = body["metadata"], self.clock() + grace
        if "deletionTimestamp" in meta and meta["deletionGracePeriodSeconds"] == grace:
            return
        if "deletionTimestamp" not in meta:
            meta["generation"] += 1
        meta["deletionTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))
        meta["deletionGracePeriodSeconds"] = grace
        self.put(plural, body)

    def drop_finalizer(self, plural: str, body: Json, name: str) -> None:
        meta = body["metadata"]
        if name not in meta.get("finalizers", ()):
            return
        if (left := [each for each in meta["finalizers"] if each != name]) or not _is_free(body):
            meta["finalizers"] = left
            self.put(plural, body)
        else:
            self.remove(plural, body)

    def remove(self, plural: str, body: Json) -> None:
        meta = body["metadata"]
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        del self.objects[plural][meta["namespace"], meta["name"]]
        self._tell(plural, "DELETED", body)

    def _tell(self, plural: str, event: str, body: Json) -> None:
        if plural == "events":
            return
        uid = body["metadata"]["uid"]
        before = self._phases.get(uid)
        self._phases[uid] = (body.get("status") or {}).get("phase")
        text = json.dumps(body, separators=(",", ":"), sort_keys=True)
        reported = Event(plural=plural, type=event, version=self.version, text=text, before=before)
        self.events.append(reported)
        self.untold.append(reported)

    def _number(self) -> int:
        self._made += 1
        return self._made


def _is_free(body: Json) -> bool:
    """Whether only its finalizers keep an object: it is deleted, and nothing of it runs."""
    return "deletionTimestamp" in body["metadata"] and body["metadata"]["deletionGracePeriodSeconds"] == 0


def _meta(body: Json) -> Json:
    meta: Json = body["metadata"]
    return meta


def _as_asked(body: Json, request: Request) -> Json:
    if "PartialObjectMetadata" not in request.headers.get("Accept", ""):
        return body
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": body["metadata"]}


def _field(body: Json, path: str) -> Any:
    found: Any = body
    for key in path.split("."):
        found = (found or {}).get(key)
    return found


def _selector(text: str, value: Callable[[Json, str], Any]) -> Callable[[Json], bool]:
    """`a=b,c!=d`."""
    terms = [re.fullmatch(r"([^=!]+)(!?=)(.*)", term) for term in text.split(",") if term]
    wanted = [(term[1], term[2] == "=", term[3]) for term in terms if term is not None]
    return lambda body: all((value(body, key) == sought) is equal for key, equal, sought in wanted)


def _check_run(before: Json, after: Json) -> None:
    old, new = before["status"], after["status"]
    if old["phase"] in TERMINAL and any(old.get(k) != new.get(k) for k in KEPT):
        raise RefusedError(Answer.refusal(422, "Invalid", "a run that has ended can't be changed"))


def _check_pod(before: Json, after: Json) -> None:
    """Of a pod's spec hardly anything can be changed, and its deadline can only come nearer."""
    old, new = dict(before["spec"]), dict(after["spec"])
    was, now = old.pop("activeDeadlineSeconds", None), new.pop("activeDeadlineSeconds", None)
    if old != new or (was is not None and (now is None or now > was)):
        raise RefusedError(Answer.refusal(422, "Invalid", f'pods "{before["metadata"]["name"]}" is invalid'))
