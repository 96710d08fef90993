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
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "events": ("v1", "Event"),
}
ENDED: Final = ("Succeeded", "Failed")
GRACE: Final = 30
FOREGROUND: Final = "foregroundDeletion"


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
    """A change of an object, as a watch tells it: `text` is the object, its keys sorted as the apiserver sorts them."""

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
        """All that watches could tell."""
        self.untold: list[Event] = []
        """What no watch has told yet."""
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
        wanted = _selector(query.get("labelSelector", ""), lambda body, key: (_meta(body).get("labels") or {}).get(key))
        fields = _selector(query.get("fieldSelector", ""), _field)
        api, kind = KINDS[place["plural"]]
        items = [
            _as_asked(body, request)
            for (namespace, _), body in self.objects[place["plural"]].items()
            if place["namespace"] in (None, namespace) and wanted(body) and fields(body)
        ]
        made = {"apiVersion": api, "kind": f"{kind}List", "metadata": {"resourceVersion": str(self.version)}}
        return Answer.of(200, {**made, "items": items})

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
        after = _patched(before, request)
        meta, was = after["metadata"], before["metadata"]
        name = f'{place["plural"]} "{was["name"]}"'
        if meta.get("uid") != was["uid"]:
            raise RefusedError(Answer.refusal(409, "Conflict", f"{name}: the UID in the precondition is another"))
        if meta.get("resourceVersion") not in (None, "", was["resourceVersion"]):
            raise RefusedError(Answer.refusal(409, "Conflict", f"{name}: the object has been modified"))
        meta["resourceVersion"] = was["resourceVersion"]
        if place["sub"] == "status":
            after = {**before, "status": after.get("status")}
        elif "status" in before:
            after["status"] = before["status"]
        if place["plural"] == "pods":
            _check_pod(before, after)
        self.checked_update(place["plural"], before, after)
        if after == before:
            return before  # no change, no version
        if after.get("spec") != before.get("spec") and "generation" in was:
            after["metadata"]["generation"] = was["generation"] + 1
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

    # What happens to objects, whoever asked

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
        if not runs and not meta.get("finalizers"):
            self.remove(plural, body)
        elif "deletionTimestamp" not in meta:
            grace = body["spec"].get("terminationGracePeriodSeconds", GRACE) if runs else 0
            ends = time.gmtime(self.clock() + grace)
            meta["deletionTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", ends)
            meta["deletionGracePeriodSeconds"] = grace
            self.put(plural, body)

    def drop_finalizer(self, plural: str, body: Json, name: str) -> None:
        meta = body["metadata"]
        if name not in meta.get("finalizers", ()):
            return
        meta["finalizers"] = [each for each in meta["finalizers"] if each != name]
        self.put(plural, body)
        alive = plural == "pods" and body["spec"].get("nodeName") and body["status"]["phase"] not in ENDED
        if "deletionTimestamp" in meta and not meta["finalizers"] and not alive:
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
        told = Event(plural=plural, type=event, version=self.version, text=text, before=before)
        self.events.append(told)
        self.untold.append(told)

    def _number(self) -> int:
        self._made += 1
        return self._made


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


def _patched(before: Json, request: Request) -> Json:
    asked = json.loads(request.data or b"")
    if request.method == "PUT":
        replaced: Json = asked
        return replaced
    after: Json = json.loads(json.dumps(before))
    if request.headers["Content-Type"] == "application/merge-patch+json":
        merged: Json = _merged(after, asked)
        return merged
    for operation in asked:
        *parents, last = operation["path"].strip("/").split("/")
        target = after
        for key in parents:
            target = target[key]
        assert operation["op"] in ("add", "replace"), operation
        if operation["op"] == "replace" and last not in target:
            raise RefusedError(Answer.refusal(422, "Invalid", f"there is no {operation['path']}"))
        target[last] = operation["value"]
    return after


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value)
    return made


def _check_pod(before: Json, after: Json) -> None:
    """Of a pod's spec hardly anything can be changed, and its deadline can only come nearer."""
    old, new = dict(before["spec"]), dict(after["spec"])
    was, now = old.pop("activeDeadlineSeconds", None), new.pop("activeDeadlineSeconds", None)
    if old != new or (was is not None and (now is None or now > was)):
        raise RefusedError(Answer.refusal(422, "Invalid", f'pods "{before["metadata"]["name"]}" is invalid'))
