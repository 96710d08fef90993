"""Runs by the HTTP API, with an API key."""

from __future__ import annotations

import json
from typing import Optional, Sequence, TypedDict, Union
from urllib.parse import quote

from tidegate.errors import ApiError, ConfigurationError
from tidegate.run_json import RunBody, RunJson, encoded
from tidegate.runs import SUBMIT_SECONDS, Client, RunState, state_of
from tidegate.transport import Http

MOST_IN_BATCH = 1000
MOST_BATCH_BYTES = 8 * 1024 * 1024


class _Problem(TypedDict, total=False):
    detail: str


class _BatchItem(TypedDict, total=False):
    """The answer to one run of a batch."""

    status: int
    run: Optional[RunJson]
    problem: _Problem


class ApiClient(Client):
    """The API of a web app, for one project; by default the only one that the key opens."""

    def __init__(self, url: str, key: str, *, project: Optional[str] = None) -> None:
        self._http = Http(f"{url.rstrip('/')}/api/v1", authorization=lambda: f"Bearer {key}")
        self._project = project

    @property
    def project(self) -> str:
        """The project; asked of the API when none was named."""
        if self._project is None:
            roles = self._http.call("GET", "/me", seconds=SUBMIT_SECONDS).json()["roles"]
            if len(roles) != 1:
                raise ConfigurationError(f"this key opens {len(roles)} projects: name one (TIDEGATE_PROJECT)")
            (self._project,) = roles
        return str(self._project)

    def create(self, body: RunBody) -> RunState:
        try:
            made = self._http.call("POST", self._path(), encoded(body), seconds=SUBMIT_SECONDS).json()
        except ApiError as error:
            made = self._made_before(body) if error.status == 409 and error.tries > 1 else None
            if made is None:
                raise
        return state_of(made)

    def create_many(self, bodies: Sequence[RunBody]) -> list[Union[RunState, ApiError]]:
        answers: list[Union[RunState, ApiError]] = []
        for piece in pieces([encoded(body) for body in bodies]):
            try:
                data = b'{"runs":[' + b",".join(piece) + b"]}"
                answer = self._http.call("POST", f"{self._path()}:batch", data, seconds=SUBMIT_SECONDS)
            except ApiError as error:
                answers.extend([error] * len(piece))
                continue
            for body, item in zip(piece, answer.json()["items"]):
                answers.append(self._answered(json.loads(body), item, again=answer.tries > 1))
        return answers

    def look(self, run: RunState, *, seconds: Optional[float]) -> RunState:
        return state_of(self._http.call("GET", self._path(run.uid or run.name), seconds=seconds).json())

    def result(self, run: RunState) -> object:
        if run.result_bytes is None:
            return run.result
        return self._http.call("GET", f"{self._path(run.uid)}/result", seconds=SUBMIT_SECONDS).json()

    def cancel(self, run: RunState) -> None:
        try:
            self._http.call("POST", f"{self._path(run.uid)}:cancel", b"{}", seconds=SUBMIT_SECONDS)
        except ApiError as error:
            if error.status != 409:  # it has ended
                raise

    def _answered(self, body: RunBody, item: _BatchItem, *, again: bool) -> Union[RunState, ApiError]:
        made = item.get("run")
        if made is None and item["status"] == 409 and again:
            made = self._made_before(body)
        if made is not None:
            return state_of(made)
        return ApiError(item["problem"].get("detail") or f"status {item['status']}", status=item["status"])

    def _made_before(self, body: RunBody) -> Optional[RunJson]:
        """The run that an earlier try has made, whose answer was lost; None when the name is another run's."""
        if "name" not in body:
            return None
        found: RunJson = self._http.call("GET", self._path(body["name"]), seconds=SUBMIT_SECONDS).json()
        same = all(found["spec"].get(field) == body.get(field) for field in ("taskRef", "payload") if field in body)
        return found if same else None

    def _path(self, run: Optional[str] = None) -> str:
        runs = f"/projects/{quote(self.project, safe='')}/runs"
        return runs if run is None else f"{runs}/{quote(run, safe='')}"


def pieces(bodies: Sequence[bytes]) -> list[list[bytes]]:
    """Bodies in batches that the API takes."""
    found: list[list[bytes]] = []
    size = 0
    for body in bodies:
        if not found or len(found[-1]) == MOST_IN_BATCH or size + len(body) > MOST_BATCH_BYTES:
            found.append([])
            size = 0
        found[-1].append(body)
        size += len(body) + 1
    return found
