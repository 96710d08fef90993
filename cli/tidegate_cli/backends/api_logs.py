"""Logs that the web app keeps: stored chunks, then the live stream; the one goes on where the other ends."""

import time
from collections.abc import Callable, Iterator

from tidegate_api.bodies import AttemptBody

from tidegate_cli.backends.http import AnswerError, Http
from tidegate_cli.backends.sse import events
from tidegate_cli.deadlines import Deadline

PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 20.0
"""So long the end marks of a run that has ended are waited for: the mirror may be away."""


def stored(http: Http, project: str, uid: str, *, attempt: int | None) -> Iterator[str]:
    """What is stored now."""
    after = 0
    while True:
        answer = http.request(
            "GET", f"/api/v1/projects/{project}/runs/{uid}/logs", query={"attempt": attempt, "after": after or None}
        )
        for chunk in answer["items"]:
            yield chunk["text"]
        if not answer["items"]:
            return
        after = answer["after"]


def followed(http: Http, project: str, uid: str, *, attempt: int | None, ended: Callable[[], bool]) -> Iterator[str]:
    """What is stored and what comes, until the run has ended and the logs of all its pods have."""
    path = f"/live/v1/projects/{project}/runs/{uid}/logs"
    last = ""
    marks = _Marks(http, f"/api/v1/projects/{project}/runs/{uid}", ended)
    while True:
        try:
            headers = {"Last-Event-ID": last} if last else {}
            with http.stream(path, deadline=Deadline(None), quiet=60, headers=headers) as stream:
                for event in events(stream):
                    last = event.id or last
                    if event.name == "chunk" and attempt in (None, event.data["attempt"]):
                        yield event.data["text"]
                    elif event.name != "chunk" and marks.complete():
                        return
        except AnswerError as error:
            if not error.unavailable:
                raise
        if marks.complete():
            return
        time.sleep(PAUSE_SECONDS)


class _Marks:
    """Finds out when nothing more can come."""

    def __init__(self, http: Http, path: str, ended: Callable[[], bool]) -> None:
        self._http = http
        self._path = path
        self._ended = ended
        self._since: float | None = None

    def complete(self) -> bool:
        """Whether the run has ended and each attempt that had a pod has its end mark."""
        if not self._ended():
            return False
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > PATIENCE_SECONDS:
            return True
        marked = {end["attempt"] for end in self._http.request("GET", f"{self._path}/logs")["ends"]}
        return {each["number"] for each in self._attempts() if each.get("startedAt")} <= marked

    def _attempts(self) -> list[AttemptBody]:
        return list(self._http.request("GET", f"{self._path}/attempts")["items"])
