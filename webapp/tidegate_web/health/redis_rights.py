"""Whether the user of Redis may do what the app does: what its ACL refuses would otherwise show as live updates that never come.

The list is the least that docs/install.md names. Each command is tried on a key and on channels of its own; what it answers doesn't matter.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from tidegate_web.events.channels import EVENTS_CHANNEL, LOGS_CHANNEL
from tidegate_web.events.cluster_client import PROBE

KEY: Final = PROBE
_SCRIPT: Final = "return redis.call('TIME')"
_REFUSED_IN_SCRIPT: Final = "can't run this command"
_NAMED: Final = re.compile(r"run the '([^']+)' command")
COMMANDS: Final[tuple[tuple[Any, ...], ...]] = (
    ("PING",),
    ("INFO", "server"),
    ("SET", KEY, "1", "EX", 60),
    ("GET", KEY),
    ("EXISTS", KEY),
    ("EXPIRE", KEY, 60),
    ("TTL", KEY),
    ("PTTL", KEY),
    ("INCR", KEY),
    ("HSET", KEY, "field", "1"),
    ("HGET", KEY, "field"),
    ("HMGET", KEY, "field"),
    ("HINCRBY", KEY, "field", 1),
    ("XADD", KEY, "*", "field", "1"),
    ("XRANGE", KEY, "-", "+"),
    ("RPUSH", KEY, "1"),
    ("LLEN", KEY),
    ("LRANGE", KEY, 0, 0),
    ("LREM", KEY, 1, "1"),
    ("DEL", KEY),
    ("SCRIPT LOAD", _SCRIPT),
    ("PUBLISH", f"{EVENTS_CHANNEL}{KEY}", ""),
    ("PUBLISH", f"{LOGS_CHANNEL}{KEY}", ""),
)


def missing_rights(redis: Redis) -> list[str]:
    """What is refused, in the words of the command line. Raises RedisError where Redis doesn't answer."""
    return list(dict.fromkeys(_missing(redis)))


def _missing(redis: Redis) -> Iterator[str]:
    for command in COMMANDS:
        try:
            redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except NoPermissionError as error:
            yield _refused(str(command[0]).lower(), command[1:2], error)
        except ResponseError:
            continue  # of a key of another type: allowed, then
    try:
        redis.register_script(_SCRIPT)(keys=[KEY])
    except NoPermissionError as error:
        yield _refused("evalsha", (KEY,), error)
    except ResponseError as error:
        if _REFUSED_IN_SCRIPT not in str(error):
            raise
        yield "time"
    for channel in (f"{EVENTS_CHANNEL}*", f"{LOGS_CHANNEL}*"):
        try:
            with redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
                pubsub.psubscribe(channel)
                pubsub.get_message(timeout=2)
        except NoPermissionError as error:
            yield _refused("psubscribe", (channel,), error)


def _refused(command: str, about: tuple[Any, ...], error: NoPermissionError) -> str:
    """The command that Redis names; else the one that was tried, with its key or channel, where that is what is refused."""
    named = _NAMED.search(str(error))
    return named[1].replace("|", " ") if named else " ".join((command, *map(str, about)))
