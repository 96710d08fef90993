"""The HTTP API with a key: live and archived runs alike, progress, stored logs."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NoReturn, TypedDict, TypeVar, cast
from urllib.parse import urlencode, urlsplit

import urllib3
from tidegate_api.bodies import JsonObject
from tidegate_api.names import TERMINAL_PHASES, Phase
from tidegate_api.run_json import Definition, ListedRun, RunJson, Why
from tidegate_api.times import rfc3339

from tidegate_cli.backends import api_logs
from tidegate_cli.backends.base import Backfill, Kind, NewRun, RunFilter
from tidegate_cli.backends.http import AnswerError, Http
from tidegate_cli.backends.sse import events
from tidegate_cli.deadlines import Deadline
from tidegate_cli.errors import AwayError, CommandError, MissingError
from tidegate_cli.names import checked

PAGE: Final = 200
_WITHOUT_KEY: Final = "it doesn't take the key: make another one in the project's settings, then tidegate login"


T = TypeVar("T")


class _Page(TypedDict):
    items: list[object]
    after: str | None


class _RunEvent(TypedDict, total=False):
    """A change of a run, in a stream."""

    uid: str
    phase: str
    reason: str | None
    attempt: int | None
    progress: float | None
    message: str | None


class ApiBackend:
    """One project of one installation."""

    def __init__(self, http: Http, *, url: str, project: str) -> None:
        self._http = http
        self.dashboard = url
        self.project = project
        self._base = f"/api/v1/projects/{checked(project, what='project')}"

    def create_run(self, wanted: NewRun) -> RunJson:
        body: dict[str, object] = {**wanted.spec}
        if wanted.name:
            body["name"] = wanted.name
        if wanted.labels:
            body["labels"] = dict(wanted.labels)
        return self._ask(RunJson, "POST", "/runs", body=body, what="run")

    def list_runs(self, wanted: RunFilter, *, limit: int) -> list[ListedRun]:
        query = {
            "phase": ",".join(wanted.phases),
            "task": wanted.task,
            "queue": wanted.queue,
            "tag": wanted.tag,
            "batch": wanted.batch,
            "schedule": wanted.schedule,
            "q": wanted.text,
            "from": rfc3339(wanted.since) if wanted.since else None,
            "to": rfc3339(wanted.until) if wanted.until else None,
        }
        return self._pages(ListedRun, "/runs", query, limit=limit)

    def run_names(self, beginning: str, *, active: bool) -> Iterator[str]:
        phases = ",".join(phase for phase in Phase if phase not in TERMINAL_PHASES) if active else None
        query = {"q": beginning, "phase": phases}
        yield from (run["name"] for run in self._pages(ListedRun, "/runs", query, limit=PAGE))

    def get_run(self, reference: str) -> RunJson:
        return self._ask(RunJson, "GET", f"/runs/{checked(reference)}", what=f"run {reference}")

    def why(self, run: RunJson) -> Why:
        return self._ask(Why, "GET", f"/runs/{run['uid']}/why", what=f"run {run['name']}")

    def result(self, run: RunJson) -> object:
        return self._ask(object, "GET", f"/runs/{run['uid']}/result", what=f"result of {run['name']}")

    def changes(self, run: RunJson, deadline: Deadline) -> Iterator[RunJson]:
        path = f"/live/v1/projects/{self.project}/events"
        try:
            stream = self._http.stream(path, query={"runs": run["uid"]}, deadline=deadline, quiet=60)
        except AnswerError as error:
            if not error.unavailable:
                self._refused(error, f"run {run['name']}")
            # Live updates alone may be away: then a waiting command polls.
            yield self.get_run(run["uid"])
            return
        with stream:
            try:
                for event in events(stream):
                    # The stream is open when it greets: what happens from now on is in it.
                    if event.name in ("hello", "reset") or (event.name == "run" and _moved(run, event.data)):
                        run = self.get_run(run["uid"])
                        yield run
                    elif event.name == "run" and event.data.get("uid") == run["uid"]:
                        run = _with_progress(run, event.data)
                        yield run
            except AnswerError as error:
                self._refused(error, f"run {run['name']}")

    def logs(self, run: RunJson, *, attempt: int | None, follow: bool) -> Iterator[str]:
        def ended() -> bool:
            return self.get_run(run["uid"])["phase"] in TERMINAL_PHASES

        try:
            if follow:
                yield from api_logs.followed(self._http, self.project, run["uid"], attempt=attempt, ended=ended)
            else:
                yield from api_logs.stored(self._http, self.project, run["uid"], attempt=attempt)
        except AnswerError as error:
            self._refused(error, f"log of {run['name']}")

    def cancel(self, run: RunJson) -> RunJson:
        return self._ask(RunJson, "POST", f"/runs/{run['uid']}:cancel", what=run["name"])

    def suspend_run(self, run: RunJson, *, suspend: bool) -> RunJson:
        return self._ask(RunJson, "POST", f"/runs/{run['uid']}:{'suspend' if suspend else 'resume'}", what=run["name"])

    def replay(self, run: RunJson, *, payload: JsonObject | None, name: str | None) -> RunJson:
        body: JsonObject = {} if payload is None else {"payload": payload}
        if name is not None:
            body["name"] = name
        return self._ask(RunJson, "POST", f"/runs/{run['uid']}:replay", body=body, what=run["name"])

    def list_definitions(self, kind: Kind) -> list[Definition]:
        return self._pages(Definition, f"/{kind.called}", {})

    def get_definition(self, kind: Kind, name: str) -> Definition:
        return self._ask(Definition, "GET", f"/{kind.called}/{checked(name)}", what=f"{kind.name} {name}")

    def put_definition(
        self, kind: Kind, name: str, *, spec: JsonObject, labels: Mapping[str, str] | None
    ) -> tuple[Definition, bool]:
        known = self._find(f"/{kind.called}/{checked(name)}", what=f"{kind.name} {name}")
        body: JsonObject = {"spec": spec}
        if labels is not None:
            body["labels"] = dict(labels)
        made = self._ask(Definition, "PUT", f"/{kind.called}/{checked(name)}", body=body, what=f"{kind.name} {name}")
        return made, known is None or known["uid"] != made["uid"]

    def pause_queue(self, name: str, *, paused: bool) -> Definition:
        return self._act(Definition, "queues", name, "pause" if paused else "resume", what=f"Queue {name}")

    def suspend_schedule(self, name: str, *, suspend: bool) -> Definition:
        return self._act(Definition, "schedules", name, "suspend" if suspend else "resume", what=f"Schedule {name}")

    def trigger(self, schedule: str, *, payload: JsonObject | None) -> RunJson:
        body: JsonObject = {} if payload is None else {"payload": payload}
        return self._act(RunJson, "schedules", schedule, "trigger", what=f"Schedule {schedule}", body=body)

    def backfill(self, schedule: str, *, since: datetime, until: datetime, dry_run: bool) -> Backfill:
        body: JsonObject = {"from": rfc3339(since), "until": rfc3339(until), "dryRun": dry_run}
        return self._act(Backfill, "schedules", schedule, "backfill", what=f"Schedule {schedule}", body=body)

    def _act(self, shape: type[T], plural: str, name: str, act: str, *, what: str, body: JsonObject | None = None) -> T:
        return self._ask(shape, "POST", f"/{plural}/{checked(name)}:{act}", body=body, what=what)

    def _pages(self, shape: type[T], path: str, query: Mapping[str, object], *, limit: int | None = None) -> list[T]:
        """All pages; ``shape`` is that of an item."""
        items: list[T] = []
        after: object = None
        while True:
            size = PAGE if limit is None else min(PAGE, limit - len(items))
            answer = self._ask(_Page, "GET", path, query={**query, "limit": size, "after": after}, what="list")
            items += cast("list[T]", answer["items"])
            after = answer["after"]
            if not after or (limit is not None and len(items) >= limit):
                return items

    def _find(self, path: str, *, what: str) -> Definition | None:
        try:
            return cast("Definition", self._http.request("GET", self._base + path))
        except AnswerError as error:
            if error.status == 404:
                return None
            self._refused(error, what)

    def _ask(
        self, shape: type[T], method: str, path: str, *, what: str, body: JsonObject | None = None,
        query: Mapping[str, object] | None = None,
    ) -> T:  # fmt: skip
        """``shape``: what the API answers."""
        try:
            return cast("T", self._http.request(method, self._base + path, body=body, query=query))
        except AnswerError as error:
            self._refused(error, what)

    def _refused(self, error: AnswerError, what: str) -> NoReturn:
        refused(error, what=what, url=self.dashboard, project=self.project)


def refused(error: AnswerError, *, what: str, url: str, project: str | None = None) -> NoReturn:
    """What the web app said, as a line for people."""
    where = f" in project {project} (another one: -n)" if project else ""
    if error.status == 401:
        raise CommandError(f"{url}: {_WITHOUT_KEY}") from error
    if error.status == 404:
        raise MissingError(f"{what}: {error.message.rstrip('.')}{where}") from error
    if error.status == 403:
        raise CommandError(f"{what}: the key may not do this: {error.message}") from error
    if error.status < 400 and error.status:
        raise CommandError(f"{url} isn't Tidegate's address: {error.message}. Correct TIDEGATE_API_URL or log in again") from error  # fmt: skip
    if error.unavailable:
        raise AwayError(f"Tidegate at {url} doesn't answer ({error.message}): is this the right address?") from error
    raise CommandError(f"{what}: {error.message}") from error


def connect_http(*, url: str, key: str) -> Http:
    """The web app at an address."""
    pool = urllib3.PoolManager()

    def send(
        method: str, path: str, *, query: Mapping[str, object], body: bytes | None, headers: Mapping[str, str],
        timeout: urllib3.Timeout,
    ) -> urllib3.BaseHTTPResponse:  # fmt: skip
        address = url + path + (f"?{urlencode(query)}" if query else "")
        return pool.request(
            method, address, body=body, headers={**headers, "Authorization": f"Bearer {key}", "User-Agent": "tidegate"},
            timeout=timeout, preload_content=False, retries=False, redirect=False,
        )  # fmt: skip

    return Http(send)


def connect(*, url: str, key: str, project: str | None) -> ApiBackend:
    """With a key. Without a project it is the key's own."""
    http = connect_http(url=url, key=key)
    return ApiBackend(http, url=url, project=project or only_project(http, url=url))


def only_project(http: Http, *, url: str) -> str:
    """The project of a key."""
    found = projects(http, url=url)
    if len(found) != 1:
        raise CommandError(f"which project? Name one with -n: {', '.join(found) or 'the key has none'}")
    return found[0]


def projects(http: Http, *, url: str) -> list[str]:
    """Those in which a key has a role."""
    try:
        return [item["name"] for item in http.request("GET", "/api/v1/projects")["items"]]
    except AnswerError as error:
        refused(error, what="projects", url=url)


def checked_url(url: str) -> str:
    """An address as it is used, without a slash at its end."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise CommandError(f"{url!r} is no address of Tidegate: it looks like https://tidegate.example.com")
    return url.rstrip("/")


def _moved(run: RunJson, event: _RunEvent) -> bool:
    """Whether an event is of another phase or reason: then the run itself has to be read."""
    same = event.get("phase", run["phase"]) == run["phase"] and event.get("reason", run["reason"]) == run["reason"]
    return event.get("uid") == run["uid"] and not same


def _with_progress(run: RunJson, event: _RunEvent) -> RunJson:
    """The run with the progress that an event reports."""
    newer = run.copy()
    if (attempt := event.get("attempt")) is not None:
        newer["attempt"] = attempt
    if (progress := event.get("progress")) is not None:
        newer["progress"] = progress
    if message := event.get("message"):
        newer["progressMessage"] = message
    return newer
