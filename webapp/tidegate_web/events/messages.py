"""What is published once and read by thousands of streams: decoded and written out once for all of them."""

import json
from functools import cached_property
from typing import Any

from tidegate_web.events.channels import public_event
from tidegate_web.shared.json_types import JsonObject


def event_text(*, data: object, event: str | None = None, number: object = None) -> str:
    """One Server-Sent Event."""
    lines = [f"event: {event}"] if event else []
    if number is not None:
        lines.append(f"id: {number}")
    lines.append("data: " + json.dumps(data, separators=(",", ":")))
    return "\n".join(lines) + "\n\n"


class Message:
    """One message of a channel, as it came from Redis."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def content(self) -> Any:
        """What it says, on a run's channel of logs."""
        return json.loads(self.data)

    @cached_property
    def event(self) -> "RunEvent":
        """What it says, on a project's channel of events."""
        number, _, text = self.data.partition(b" ")
        return RunEvent(int(number), json.loads(text))


class RunEvent:
    """A numbered event of a project."""

    def __init__(self, number: int, fields: JsonObject) -> None:
        self.number = number
        self.fields = fields

    @cached_property
    def text(self) -> str:
        """As a stream sends it."""
        return event_text(data=public_event(self.number, self.fields), event="run", number=self.number)
