"""What an attempt reports that it has used. A task can report anything: what is no such number is left out."""

from dataclasses import dataclass
from typing import Final

from tidegate_api.bodies import UsageBody
from tidegate_api.names import CPU_MILLISECONDS_MAX, MEMORY_BYTES_MAX, USAGE_KEY

from tidegate_operator import json_codec

LINE_MAX: Final = 256
"""Characters of the line in a result file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One of the two numbers may be missing."""

    cpu_milliseconds: int | None = None
    memory_peak_bytes: int | None = None

    @property
    def body(self) -> UsageBody:
        """As it stands in the status."""
        body: UsageBody = {}
        if self.cpu_milliseconds is not None:
            body["cpuMilliseconds"] = self.cpu_milliseconds
        if self.memory_peak_bytes is not None:
            body["memoryPeakBytes"] = self.memory_peak_bytes
        return body


def parse_usage(value: object) -> Usage | None:
    """The usage, where a value has some."""
    if not isinstance(value, dict):
        return None
    cpu = _whole(value.get("cpuMilliseconds"), most=CPU_MILLISECONDS_MAX)
    peak = _whole(value.get("memoryPeakBytes"), most=MEMORY_BYTES_MAX)
    return None if cpu is None and peak is None else Usage(cpu_milliseconds=cpu, memory_peak_bytes=peak)


def split_usage(text: str) -> tuple[Usage | None, str]:
    """The usage that the first line of a result file reports, and what the file has without that line."""
    if not text.startswith(f'{{"{USAGE_KEY}"'):
        return None, text
    line, newline, rest = text.partition("\n")
    if not newline or len(line) > LINE_MAX:
        return None, text
    try:
        value = json_codec.loads(line.encode("utf-8", "replace"))
    except ValueError:
        return None, text
    if not isinstance(value, dict) or set(value) != {USAGE_KEY}:
        return None, text
    return parse_usage(value[USAGE_KEY]), rest


def _whole(value: object, *, most: int) -> int | None:
    return value if type(value) is int and 0 <= value <= most else None
