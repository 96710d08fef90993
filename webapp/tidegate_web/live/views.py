"""What waits under ``/live/v1``: streams of Server-Sent Events, and requests that are answered at the end of a run.

A stream begins by registering with the hub and only then looks at what is stored, so that nothing can fall between
the two. While Redis is away a stream ends, the next is refused with 503, and pages poll until it is back.
"""

import json
import time
from collections.abc import Callable, Iterator

from flask import Blueprint, Response, request, stream_with_context
from redis.exceptions import RedisError

from tidegate_web.api.response_types import AwaitedRun
from tidegate_web.api.runs import awaited
from tidegate_web.auth.caller import Caller
from tidegate_web.auth.guard import asks_again
from tidegate_web.current_app import services
from tidegate_web.events.channels import EVENTS_CHANNEL, LOGS_CHANNEL
from tidegate_web.events.hub import Signal
from tidegate_web.events.messages import RunEvent, event_text
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Parameter, WholeNumber
from tidegate_web.runs import stored_logs
from tidegate_web.runs.lookup import find_stored
from tidegate_web.runs.wait_for_end import MOST_SECONDS, wait_for_end
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.run_rows import RunRow

RETRY_MS = 2000
STREAM = "text/event-stream"
RUNS = Parameter(name="runs", description="Of these runs: uids with commas.")
TAG = Parameter(name="tag", description="Of runs with this tag.")
SECONDS = WholeNumber(name="seconds", description="At most so long.", default=30, least=1, most=MOST_SECONDS)
SEEN = (
    Parameter(name="Last-Event-ID", description="Go on after this event.", place="header"),
    Parameter(name="after", description="The same, for clients that can't send headers."),
)


def sse(stream: Iterator[str]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(stream, content_type=f"{STREAM}; charset=utf-8", headers=headers)


UNKNOWN = -1
"""No event has this number: a reader that names one that can't have been ours begins again."""


def last_event_id() -> int | None:
    """The event after which to go on; None for a new reader, ``UNKNOWN`` for what is no number of ours."""
    text = request.headers.get("Last-Event-ID") or request.args.get("after") or ""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else UNKNOWN


class Watch:
    """Says when a stream has to look again whether its user may still read, and when it has been quiet too long."""

    def __init__(self, made: Services, *, asks_again: Callable[[], Caller | None], project: str) -> None:
        self._made = made
        self._asks_again = asks_again
        self._project = project
        self._checked = time.monotonic()

    @property
    def heartbeat(self) -> float:
        return self._made.settings.stream_heartbeat_seconds

    def still_allowed(self) -> bool:
        """False once the session or the role is gone; while Postgres is away the last answer stands."""
        if time.monotonic() - self._checked < self._made.settings.stream_recheck_seconds:
            return True
        self._checked = time.monotonic()
        try:
            asks = self._asks_again()
        except Exception as error:
            if is_unavailable(error):
                return True
            raise
        role = asks.role_in(self._project) if asks is not None else None
        return role is not None and role >= Role.VIEWER


def wanted(uids: frozenset[str] | None, tag: str | None) -> Callable[[dict[str, object]], bool]:
    """Whether an event is one of those asked for."""

    def fits(event: dict[str, object]) -> bool:
        if uids is not None and event.get("uid") not in uids:
            return False
        tags = event.get("tags")
        return tag is None or (isinstance(tags, list) and tag in tags)

    return fits


def blueprint() -> Blueprint:
    """The routes of this area."""
    area = Blueprint("live", __name__, url_prefix="/live/v1")

    @area.get("/projects/<project>/events")
    @requires(Permission.VIEWER)
    @describes("Follow the runs of a project", name="follow_runs", parameters=[RUNS, TAG, *SEEN], media={STREAM: str})
    def events(project: str) -> Response:
        made = services()
        asked = request.args.get("runs")
        uids = frozenset(asked.split(",")) if asked else None
        seen = last_event_id()
        made.hub.start()
        if not made.hub.connected.wait(timeout=2):
            raise Problem(503, "Live updates are away.", headers={"Retry-After": "10"})
        fits = wanted(uids, request.args.get("tag"))
        return sse(
            stream_with_context(
                _events(made, project, fits, seen, Watch(made, asks_again=asks_again(), project=project))
            )
        )

    @area.get("/projects/<project>/runs/<run>/logs")
    @requires(Permission.VIEWER)
    @describes("Follow a run's logs", name="follow_logs", parameters=SEEN, media={STREAM: str})
    def run_logs(project: str, run: str) -> Response:
        made = services()
        found = find_stored(made, project, run)
        made.hub.start()
        watch = Watch(made, asks_again=asks_again(), project=project)
        return sse(stream_with_context(_logs(made, found, last_event_id(), watch)))

    @area.get("/projects/<project>/runs/<run>/wait")
    @requires(Permission.VIEWER)
    @describes("Wait for the end of a run", name="wait_for_run", parameters=[SECONDS], answer=AwaitedRun)
    def run_wait(project: str, run: str) -> Response:
        made = services()
        watch = Watch(made, asks_again=asks_again(), project=project)
        found = wait_for_end(made, project, run, seconds=SECONDS.asked())
        if not watch.still_allowed():
            raise Problem(403, "You may no longer read this project.")
        return awaited(made, found)

    return area


def _events(
    made: Services, project: str, fits: Callable[[dict[str, object]], bool], seen: int | None, watch: Watch
) -> Iterator[str]:
    with made.hub.subscribe(EVENTS_CHANNEL + project) as stream:
        yield f"retry: {RETRY_MS}\n: welcome\n\n"
        try:
            backlog: list[tuple[int, str]] | None = []
            if seen is not None:
                backlog = None if seen == UNKNOWN else made.events.after(project, seen)
            last = made.events.last(project) if seen is None or backlog is None else seen
        except RedisError:
            return
        if seen is None or backlog is None:
            # The number to come back with, also when nothing happens until then.
            yield event_text(data={"seq": last}, event="reset" if backlog is None else "hello", number=last)
        for number, text in backlog or []:
            event = RunEvent(number, json.loads(text))
            last = number
            if fits(event.fields):
                yield event.text
        while watch.still_allowed():
            message = stream.get(seconds=watch.heartbeat)
            if message is Signal.QUIET:
                yield ": still here\n\n"
            elif isinstance(message, Signal):
                return
            else:
                event = message.event
                if event.number <= last:
                    continue
                last = event.number
                if fits(event.fields):
                    yield event.text


def _logs(made: Services, run: RunRow, after: int | None, watch: Watch) -> Iterator[str]:
    """Stored chunks, then live ones; a live chunk that doesn't follow the last one sends us back to what is stored. A client
    that comes with a chunk that the run doesn't have gets ``reset``, and all of it."""
    with made.hub.subscribe(LOGS_CHANNEL + run.uid) as stream:
        yield f"retry: {RETRY_MS}\n: welcome\n\n"
        last = after or 0
        try:
            known = not after or stored_logs.has_chunk(made, run, after)
        except Exception as error:
            if not is_unavailable(error):
                raise
            return
        if not known:
            last = 0
            yield event_text(data={"after": 0}, event="reset", number=0)
        sent: set[str] = set()
        behind = True
        while watch.still_allowed():
            if behind:
                try:
                    for text, number in _stored(made, run, last, sent):
                        last = number
                        yield text
                except Exception as error:
                    if not is_unavailable(error):
                        raise
                    return
                behind = False
            # Without Redis there is no one to wake us: look at what is stored instead.
            quiet = watch.heartbeat if made.hub.connected.is_set() else min(2.0, watch.heartbeat)
            message = stream.get(seconds=quiet)
            if message is Signal.CLOSED:
                return
            if isinstance(message, Signal):
                if message is Signal.QUIET:
                    yield ": still here\n\n"
                behind = True
                continue
            said = message.content
            if "id" not in said:
                behind = True
            elif said["id"] > last:
                if said["prev"] != last:
                    behind = True
                    continue
                last = said["id"]
                chunk = {name: said[name] for name in ("id", "attempt", "pod", "offset", "text")}
                yield event_text(data=chunk, event="chunk", number=last)


def _stored(made: Services, run: RunRow, last: int, sent: set[str]) -> Iterator[tuple[str, int]]:
    while True:
        found = stored_logs.next_chunks(made, run, after=last)
        for chunk in found.chunks:
            last = chunk.id
            yield event_text(data=chunk.as_json(), event="chunk", number=last), last
        if not found.chunks:
            break
    for end in found.ends:
        key = f"{end.attempt}/{end.pod_uid}"
        if key not in sent:
            sent.add(key)
            data = {"attempt": end.attempt, "pod": end.pod_name, "end": end.mark, "reason": end.reason}
            yield event_text(data=data, event="end"), last
