"""Server-Sent Events, read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tidegate_cli.backends.http import Stream


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event; ``name`` is empty for a heartbeat."""

    name: str
    id: str
    data: Any


def events(stream: Stream) -> Iterator[Event]:
    """Events as they come, and heartbeats."""
    fields: dict[str, str] = {}
    for line in stream.lines():
        text = line.decode("utf-8", errors="replace").rstrip("\r")
        if text.startswith(":"):
            yield Event(name="", id="", data=None)
        elif text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "data" in fields:
                yield Event(name=fields.get("event", ""), id=fields.get("id", ""), data=json.loads(fields["data"]))
            fields = {}
