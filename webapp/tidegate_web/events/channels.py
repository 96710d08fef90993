"""The live channel in Redis: numbered events of each project with a history to resume from, log chunks of each run,
and the latest progress. Who publishes and who reads meet here and nowhere else.

An event's number is given when it is published, in one step with its place in the history. Counting begins at the
current time in milliseconds, so that the numbers of an emptied Redis are beyond all that were given before, and a
reader that comes back with an old one has to start again instead of missing something.
"""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from redis import Redis

from tidegate_web.events.cluster_client import ClusterClient, shared_slot
from tidegate_web.shared.json_types import JsonObject

EVENTS_CHANNEL = "tg:events:"
LOGS_CHANNEL = "tg:logs:"

_PUBLISH = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  local time = redis.call('TIME')
  redis.call('SET', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000))
end
local last = 0
for i = 3, #ARGV do
  last = redis.call('INCR', KEYS[1])
  local id = string.format('%.0f', last)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], id .. '-0', 'event', ARGV[i])
  redis.call('PUBLISH', ARGV[2], id .. ' ' .. ARGV[i])
end
return last
"""

_PUBLISH_LOGS = """
for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
"""

PROGRESS_SECONDS = 86400


class EventLog:
    """Publishes the events of projects, and gives what was published after one of them."""

    def __init__(self, *, redis: Redis, history: int) -> None:
        self._redis = redis
        self._history = history
        self._script = redis.register_script(_PUBLISH)
        self.spread = isinstance(redis, ClusterClient)
        """Whether projects are at several servers, each of which may be away alone."""

    def publish(self, project: str, events: Sequence[Mapping[str, object]]) -> None:
        """Publish events of one project, in this order."""
        if not events:
            return
        texts = (json.dumps(event, separators=(",", ":")) for event in events)
        self._script(
            keys=[self._seq(project), self._past(project)],
            args=[self._history, f"{EVENTS_CHANNEL}{project}", *texts],
        )

    def _seq(self, project: str) -> str:
        return f"tg:seq:{shared_slot(self._redis, project)}"

    def _past(self, project: str) -> str:
        return f"tg:history:{shared_slot(self._redis, project)}"

    def forget(self, project: str) -> None:
        """Begin a project's history again: numbers go on beyond those that were given, and readers get ``reset``."""
        self._redis.delete(self._seq(project), self._past(project))

    def last(self, project: str) -> int:
        """The number of the newest event, 0 when there is none yet."""
        return int(cast("bytes | None", self._redis.get(self._seq(project))) or 0)

    def after(self, project: str, seq: int) -> list[tuple[int, str]] | None:
        """What was published after event ``seq``; None when that isn't known any more."""
        last = self.last(project)
        if seq == last:
            return []
        if seq > last:
            return None
        entries = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]", self._redis.xrange(self._past(project), min=f"{seq}-0")
        )
        found = [(int(entry.split(b"-")[0]), fields[b"event"].decode()) for entry, fields in entries]
        # The event itself must still be there, else others after it may be gone too.
        if not found or found[0][0] != seq:
            return None
        return found[1:]


def publish_logs(redis: Redis, messages: Sequence[tuple[str, Mapping[str, object]]]) -> None:
    """Publish to viewers (run uid, message): chunks and end marks that Postgres has."""
    if not messages:
        return
    pairs = [(f"{LOGS_CHANNEL}{run_uid}", json.dumps(message, separators=(",", ":"))) for run_uid, message in messages]
    redis.register_script(_PUBLISH_LOGS)(args=[text for pair in pairs for text in pair])


def keep_progress(redis: Redis, *, run_uid: str, progress: Mapping[str, object]) -> None:
    """Keep the latest progress of a run for a day."""
    redis.set(f"tg:progress:{run_uid}", json.dumps(progress), ex=PROGRESS_SECONDS)


def public_event(seq: int, event: Mapping[str, object]) -> JsonObject:
    """An event as readers get it."""
    names = ("uid", "name", "phase", "reason", "attempt", "progress", "message", "metadata")
    return {name: event[name] for name in names if name in event} | {"seq": seq}
