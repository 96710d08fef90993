"""The user of Redis with the least rights, as docs/install.md documents it, and what tests ask of live updates as that user."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from redis.exceptions import RedisError
from tidegate_web.events.hub import Signal, Subscription
from tidegate_web.events.messages import Message

from support.servers import wait_until

INSTALL = Path(__file__).parents[2] / "docs/install.md"
DOCUMENTED = re.findall(r"ACL SETUSER tidegate (?:on >PASSWORD )?(.+)", INSTALL.read_text())
RIGHTS, OF_CLUSTERS = (tuple(found.split()) for found in DOCUMENTED)
USER = ("--user", "tidegate", "on", ">secret")


def next_of(stream: Subscription) -> Message | Signal:
    """What comes next but silence."""
    found: list[Message | Signal] = []

    def came() -> bool:
        message = stream.get(seconds=0.5)
        if message is not Signal.QUIET:
            found.append(message)
        return bool(found)

    wait_until(came, what="a message")
    return found[0]


def succeeds(act: Callable[[], object]) -> bool:
    with suppress(RedisError):
        act()
        return True
    return False
