"""Kubernetes by the user's kubeconfig: no web app is needed. What only the archive or the leader knows isn't there."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import NoReturn, TypedDict, TypeVar, cast

import urllib3
from kubernetes import client, config
from tidegate_api.bodies import JsonObject, ScheduleSpecBody, TaskRunBody, TaskRunSpecBody
from tidegate_api.names import API_VERSION, SCHEDULE_LABEL, TERMINAL_PHASES
from tidegate_api.objects import KubeObject
from tidegate_api.replay import replayed_labels, replayed_spec
from tidegate_api.run_json import Definition, ListedRun, RunJson, Why, definition_json
from tidegate_api.run_names import name_of_key, new_name, triggered_name

from tidegate_cli.backends import pod_logs
from tidegate_cli.backends.base import SCHEDULES, Backfill, Kind, NewRun, RunFilter
from tidegate_cli.backends.filtering import fits
from tidegate_cli.backends.http import AnswerError, Http, Sender
from tidegate_cli.backends.responses import listed, run_of
from tidegate_cli.deadlines import Deadline
from tidegate_cli.errors import AwayError, CommandError, MissingError
from tidegate_cli.names import checked

MERGE_PATCH = "application/merge-patch+json"
METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
STRICT = {"fieldValidation": "Strict"}
PAGE = 500
TRIES = 5
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


T = TypeVar("T")


class _WatchEvent(TypedDict):
    type: str
    object: TaskRunBody


class KubernetesBackend:
    """One namespace of one cluster."""

    def __init__(self, http: Http, *, project: str, server: str, dashboard: str | None = None) -> None:
        self._http = http
        self._server = server
        self.project = project
        self.dashboard = dashboard

    def create_run(self, wanted: NewRun) -> RunJson:
        task = str((wanted.spec.get("taskRef") or {}).get("name") or "")
        key = wanted.spec.get("idempotencyKey")
        if key is not None and wanted.name is not None:
            raise CommandError("a name can't be chosen beside an idempotency key: the key names the run")
        name = wanted.name or (new_name(task) if key is None else name_of_key(self.project, task, key))
        try:
            return run_of(self._create(name, spec=wanted.spec, labels=wanted.labels))
        except AnswerError as error:
            if error.unavailable:
                raise AwayError(f"Kubernetes didn't answer ({error.message}), whether the run was made isn't known: tidegate show {name}") from error  # fmt: skip
            if error.status != 409 or key is None:
                self._refused(error, f"run {name}")
        met = self.get_run(name)
        if met["spec"].get("idempotencyKey") != key or met["spec"].get("payload") != wanted.spec.get("payload", {}):
            raise CommandError(f"the key {key!r} was used for another run, {name}: use a new key")
        return met

    def list_runs(self, wanted: RunFilter, *, limit: int) -> list[ListedRun]:
        fields = []
        if wanted.task:
            fields.append(f"spec.taskRef.name={wanted.task}")
        if len(wanted.phases) == 1:
            fields.append(f"status.phase={wanted.phases[0]}")
        labels = f"{SCHEDULE_LABEL}={wanted.schedule}" if wanted.schedule else None
        found = self._list(TaskRunBody, "taskruns", {"fieldSelector": ",".join(fields), "labelSelector": labels})
        runs = sorted(map(run_of, found), key=lambda run: (run["createdAt"], run["uid"]), reverse=True)
        return [listed(run) for run in runs if fits(run, wanted)][:limit]

    def run_names(self, beginning: str, *, active: bool) -> Iterator[str]:
        fields = ",".join(f"status.phase!={phase}" for phase in sorted(TERMINAL_PHASES)) if active else ""
        for page in self._list_pages(KubeObject, "taskruns", {"fieldSelector": fields}, headers=METADATA_ONLY):
            yield from (item["metadata"]["name"] for item in page if item["metadata"]["name"].startswith(beginning))

    def get_run(self, reference: str) -> RunJson:
        if _UID.fullmatch(reference):
            # No apiserver selects by uid.
            found = next(
                (item for item in self._list(TaskRunBody, "taskruns") if item["metadata"]["uid"] == reference), None
            )
            if found is not None:
                return run_of(found)
        return run_of(self._get(TaskRunBody, "taskruns", reference, f"run {reference}"))

    def why(self, run: RunJson) -> Why:
        return {"reason": run["reason"] or run["phase"], "message": run["message"] or ""}

    def result(self, run: RunJson) -> object:
        if "result" in run["status"]:
            return run["status"]["result"]
        if run["status"].get("resultRef"):
            raise CommandError("the result is too large for the cluster: the web app has it (tidegate login)")
        raise CommandError(f"{run['name']} has no result")

    def changes(self, run: RunJson, deadline: Deadline) -> Iterator[RunJson]:
        now = self._get(TaskRunBody, "taskruns", run["name"], f"run {run['name']}")
        self._same(run, now)
        yield run_of(now)
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={run['name']}",
            "resourceVersion": now["metadata"]["resourceVersion"],
        }
        try:
            with self._http.stream(self._path("taskruns"), query=query, deadline=deadline) as stream:
                for line in stream.lines():
                    event = _event(line)
                    if event is None:
                        return
                    self._same(run, event["object"], gone=event["type"] == "DELETED")
                    yield run_of(event["object"])
        except AnswerError as error:
            self._refused(error, f"run {run['name']}")

    def logs(self, run: RunJson, *, attempt: int | None, follow: bool) -> Iterator[str]:
        try:
            yield from pod_logs.logs(self._http, run, attempt=attempt, follow=follow)
        except AnswerError as error:
            self._refused(error, f"log of {run['name']}")

    def cancel(self, run: RunJson) -> RunJson:
        return self._change_run(run, cancel=True)

    def suspend_run(self, run: RunJson, *, suspend: bool) -> RunJson:
        return self._change_run(run, suspend=suspend)

    def _change_run(self, run: RunJson, **spec: object) -> RunJson:
        now = self._get(TaskRunBody, "taskruns", run["name"], f"run {run['name']}")
        self._same(run, now)
        if run_of(now)["phase"] in TERMINAL_PHASES:
            raise CommandError(f"{run['name']} has ended already: {run_of(now)['phase']}")
        return run_of(self._patch(TaskRunBody, "taskruns", run["name"], spec, uid=run["uid"]))

    def replay(self, run: RunJson, *, payload: JsonObject | None, name: str | None) -> RunJson:
        spec = cast("TaskRunSpecBody", replayed_spec(run["spec"]) | ({} if payload is None else {"payload": payload}))
        return self.create_run(NewRun(spec=spec, name=name, labels=replayed_labels(run["labels"])))

    def list_definitions(self, kind: Kind) -> list[Definition]:
        return [definition_json(item) for item in self._list(KubeObject, kind.plural)]

    def get_definition(self, kind: Kind, name: str) -> Definition:
        return definition_json(self._get(KubeObject, kind.plural, name, f"{kind.name} {name}"))

    def put_definition(
        self, kind: Kind, name: str, *, spec: JsonObject, labels: Mapping[str, str] | None
    ) -> tuple[Definition, bool]:
        for tried in range(TRIES):
            try:
                found = self._find(kind.plural, name)
                if found is None:
                    body = _manifest(kind.name, name, spec=spec, labels=labels or {})
                    return definition_json(
                        self._http.request("POST", self._path(kind.plural), body=body, query=STRICT)
                    ), True
                kept = found["metadata"].get("labels") or {}
                if labels is not None:
                    ours = {key: value for key, value in kept.items() if key not in replayed_labels(kept)}
                    kept = ours | dict(labels)
                changed = {**found, "metadata": {**found["metadata"], "labels": kept}, "spec": spec}
                path = self._path(kind.plural, name)
                return definition_json(self._http.request("PUT", path, body=changed, query=STRICT)), False
            except AnswerError as error:
                # Made, changed or deleted in between: look again.
                if error.status not in (404, 409) or tried == TRIES - 1:
                    self._refused(error, f"{kind.name} {name}")
        raise AssertionError("unreachable")

    def pause_queue(self, name: str, *, paused: bool) -> Definition:
        return definition_json(self._patch(KubeObject, "queues", name, {"paused": paused}, what=f"Queue {name}"))

    def suspend_schedule(self, name: str, *, suspend: bool) -> Definition:
        return definition_json(
            self._patch(KubeObject, "schedules", name, {"suspend": suspend}, what=f"Schedule {name}")
        )

    def trigger(self, schedule: str, *, payload: JsonObject | None) -> RunJson:
        template = cast("ScheduleSpecBody", self.get_definition(SCHEDULES, schedule)["spec"])["template"]
        metadata = template.get("metadata") or {}
        spec = template["spec"].copy()
        if payload is not None:
            spec["payload"] = payload
        labels = {**(metadata.get("labels") or {}), SCHEDULE_LABEL: schedule}
        now = time.time_ns() // 1_000_000
        for later in range(TRIES):
            name = triggered_name(schedule, now + later)
            try:
                return run_of(self._create(name, spec=spec, labels=labels, annotations=metadata.get("annotations")))
            except AnswerError as error:
                if error.status != 409 or later == TRIES - 1:
                    self._refused(error, f"run {name}")
        raise AssertionError("unreachable")

    def backfill(self, schedule: str, *, since: datetime, until: datetime, dry_run: bool) -> Backfill:
        raise CommandError("a backfill asks the archive which ticks have a run: the web app does it (tidegate login)")

    def _create(
        self,
        name: str,
        *,
        spec: TaskRunSpecBody,
        labels: Mapping[str, str],
        annotations: Mapping[str, str] | None = None,
    ) -> TaskRunBody:
        body = _manifest("TaskRun", name, spec=spec, labels=labels, annotations=annotations)
        return cast("TaskRunBody", self._http.request("POST", self._path("taskruns"), body=body, query=STRICT))

    def _patch(
        self, shape: type[T], plural: str, name: str, spec: JsonObject, *, uid: str | None = None, what: str = ""
    ) -> T:
        patch = {"spec": spec} | ({"metadata": {"uid": uid}} if uid else {})
        path = self._path(plural, name)
        try:
            return cast("T", self._http.request("PATCH", path, body=patch, query=STRICT, content_type=MERGE_PATCH))
        except AnswerError as error:
            self._refused(error, what or f"run {name}")

    def _list(self, shape: type[T], plural: str, query: Mapping[str, object] | None = None) -> list[T]:
        return [item for page in self._list_pages(shape, plural, query) for item in page]

    def _list_pages(
        self, shape: type[T], plural: str, query: Mapping[str, object] | None = None, *,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[list[T]]:  # fmt: skip
        """Pages of a list; ``shape`` is that of an item."""
        more = ""
        while True:
            asked = {"limit": PAGE, "continue": more, **(query or {})}
            try:
                answer = self._http.request("GET", self._path(plural), query=asked, headers=headers)
            except AnswerError as error:
                self._refused(error, f"list of {plural}")
            yield answer["items"]
            more = answer["metadata"].get("continue") or ""
            if not more:
                return

    def _get(self, shape: type[T], plural: str, name: str, what: str) -> T:
        try:
            return cast("T", self._http.request("GET", self._path(plural, name)))
        except AnswerError as error:
            self._refused(error, what)

    def _find(self, plural: str, name: str) -> KubeObject | None:
        try:
            return cast("KubeObject", self._http.request("GET", self._path(plural, name)))
        except AnswerError as error:
            if _is_missing(error):
                return None
            raise

    def _path(self, plural: str, name: str | None = None) -> str:
        base = f"/apis/{API_VERSION}/namespaces/{self.project}/{plural}"
        return base if name is None else f"{base}/{checked(name)}"

    def _same(self, run: RunJson, now: KubeObject, *, gone: bool = False) -> None:
        if gone or now["metadata"]["uid"] != run["uid"]:
            raise CommandError(f"run {run['name']} was deleted")

    def _refused(self, error: AnswerError, what: str) -> NoReturn:
        if error.status == 401:
            raise CommandError(
                f"{self._server} doesn't accept the login of your kubeconfig: {error.message}"
            ) from error
        if error.status == 403:
            raise CommandError(f"Kubernetes refuses this: {error.message}") from error
        if _is_missing(error):
            raise MissingError(f"there is no {what} in namespace {self.project} (another one: -n)") from error
        if error.status == 404:
            raise CommandError(f"{self._server} doesn't know Tidegate's resources: is it installed there?") from error
        if error.unavailable:
            raise AwayError(f"Kubernetes at {self._server} doesn't answer ({error.message}): is it up, and is this the right --context?") from error  # fmt: skip
        raise CommandError(f"{what}: {error.message}") from error


def connect(
    *, kubeconfig: Path | None, context: str | None, namespace: str | None, dashboard: str | None
) -> KubernetesBackend:
    """By the kubeconfig, as kubectl does it: `--kubeconfig`, `KUBECONFIG`, `~/.kube/config`."""
    configuration = client.Configuration()
    file = None if kubeconfig is None else str(kubeconfig)
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=file, context=context, client_configuration=configuration
        )
        found = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever the client's reading of it meets: it checks little
        raise CommandError(f"the kubeconfig can't be used: {str(error).rstrip('.')}. Set KUBECONFIG, or use the HTTP API (tidegate login)") from error  # fmt: skip
    contexts, current = found
    chosen = current if context is None else next(each for each in contexts if each["name"] == context)
    project = checked(namespace or (chosen.get("context") or {}).get("namespace") or "default", what="namespace")
    configuration.retries = False  # a POST that is sent twice may make two runs
    return KubernetesBackend(
        Http(_sender(configuration)), project=project, server=configuration.host, dashboard=dashboard
    )


def _sender(configuration: client.Configuration) -> Sender:
    api = client.ApiClient(configuration)

    def send(
        method: str, path: str, *, query: Mapping[str, object], body: bytes | None, headers: Mapping[str, str],
        timeout: urllib3.Timeout,
    ) -> urllib3.BaseHTTPResponse:  # fmt: skip
        # The client adds host, login (reading a renewed token) and user agent.
        _, url, sent, _, _ = api.param_serialize(
            method,
            path,
            query_params=[(name, str(value)) for name, value in query.items()],
            header_params=dict(headers),
            auth_settings=["BearerToken"],
        )
        response: urllib3.BaseHTTPResponse = api.rest_client.pool_manager.request(
            method, url, body=body, headers=sent, timeout=timeout, preload_content=False, retries=False
        )
        return response

    return send


def _is_missing(error: AnswerError) -> bool:
    """Whether an object isn't there; of a kind that isn't served, the apiserver names none."""
    return error.status == 404 and bool((error.body.get("details") or {}).get("name"))


def _event(line: bytes) -> _WatchEvent | None:
    """None for what says nothing of the run, such as that the version is too old: look again."""
    try:
        event = cast("_WatchEvent", json.loads(line))
        return None if event["type"] == "ERROR" else event
    except (ValueError, TypeError, KeyError):
        return None


def _manifest(
    kind: str,
    name: str,
    *,
    spec: Mapping[str, object],
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> JsonObject:
    metadata = {"name": name, "labels": dict(labels), "annotations": dict(annotations or {})}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
