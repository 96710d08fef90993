"""The worker's log on standard output: never waited for, and at most 2 MiB a second of what runs write.

Runs take turns. One that writes more than its share isn't read meanwhile, so that it waits in its own ``write``; what it
has left when it ends is kept, within a bound, so that its slot is free at once.
"""

from __future__ import annotations

import collections
import json
import os
from typing import Callable, NamedTuple, Optional, Protocol

from tidegate.worker.output import Splitter, Tail, Writer, Written, end_line

RATE_BYTES = 2 * 1024 * 1024
BURST_BYTES = 256 * 1024
FULL_BYTES = 128 * 1024
"""Waiting to be written: no run is read then."""
MOST_OWN_BYTES = 1024 * 1024
"""Waiting to be written: the worker's own lines are dropped then."""
READ_BYTES = 8 * 1024
READS_A_TURN = 16
MOST_BACKLOG_BYTES = 8 * 1024 * 1024
"""What ended runs may have left unwritten."""
MOST_LEFT_BYTES = 2 * 1024 * 1024
"""In a pipe, of whatever size its run has made it."""


class Poller(Protocol):
    """How a descriptor is waited for, once: ``ready`` is called when it can be read."""

    def watch_reading(self, descriptor: int, ready: Callable[[], None]) -> None: ...
    def forget(self, descriptor: int) -> None: ...


class Log:
    """Lines for standard output, and how many of them may be written now."""

    def __init__(self, descriptor: int, clock: Callable[[], float]) -> None:
        self.descriptor, self._clock = descriptor, clock
        os.set_blocking(descriptor, False)
        self._waiting: collections.deque[bytes] = collections.deque()
        self._bytes = 0
        self._tokens, self._filled = float(BURST_BYTES), clock()
        self.dropped = 0

    @property
    def pending(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._waiting)

    def event(self, level: str, event: str, **fields: object) -> None:
        """A line of the worker's own."""
        if self._bytes > MOST_OWN_BYTES:
            self.dropped += 1
            return
        line = json.dumps({"level": level, "event": event, **fields}, ensure_ascii=False, default=str)
        self._put(line.encode("utf-8", "backslashreplace") + b"\n")
        self.write()

    def put(self, lines: list[bytes]) -> None:
        """Lines of a run."""
        for line in lines:
            self._tokens -= len(line)
            self._put(line)

    def wait_seconds(self) -> Optional[float]:
        """How long to wait for the rate; 0 when runs may be read, None when standard output has to take more first."""
        if self._bytes >= FULL_BYTES:
            return None
        now = self._clock()
        self._tokens = min(float(BURST_BYTES), self._tokens + (now - self._filled) * RATE_BYTES)
        self._filled = now
        return 0.0 if self._tokens > 0 else -self._tokens / RATE_BYTES + 0.001

    def write(self) -> None:
        """Write what standard output takes now."""
        while self._waiting:
            data = b"".join(self._waiting) if self._bytes <= FULL_BYTES else self._waiting[0]
            try:
                written = os.write(self.descriptor, data)
            except BlockingIOError:
                return
            except OSError:
                written = self._bytes  # the log's reader is gone
            self._bytes -= written
            while written and self._waiting:
                first = self._waiting.popleft()
                if written < len(first):
                    self._waiting.appendleft(first[written:])
                written = max(0, written - len(first))
        if self.dropped:
            dropped, self.dropped = self.dropped, 0
            self.event("warning", "lines of the worker's own were dropped", lines=dropped)

    def _put(self, line: bytes) -> None:
        self._waiting.append(line)
        self._bytes += len(line)


class Ending(NamedTuple):
    """The line after the last one of a run: of all its streams together."""

    head: dict[str, object]
    streams: list[Stream]
    written: Written

    def line(self) -> Optional[bytes]:
        """It, once all streams are over."""
        if not all(stream.over for stream in self.streams):
            return None
        return end_line(self.head, sum(stream.lines for stream in self.streams), self.written)


class Stream:
    """A pipe that is read for the log."""

    def __init__(
        self,
        descriptor: int,
        head: dict[str, object],
        name: str,
        tail: Optional[Tail] = None,
        written: Optional[Written] = None,
    ) -> None:
        self.descriptor = descriptor
        self._splitter, self._writer, self._tail = Splitter(), Writer(head, name, written), tail
        self.backlog = collections.deque[bytes]()
        self.ended = False
        """Whether its writers are gone and all that they left is in the backlog."""
        self.over = False
        self.lines = 0
        self.ending: Optional[Ending] = None

    def read(self) -> Optional[bytes]:
        """More of it; empty at its end, None when there is nothing now."""
        if self.backlog:
            return self.backlog.popleft()
        if self.ended:
            return b""
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if self._tail is not None:
            self._tail.add(data)
        return data

    def take_rest(self) -> int:
        """Take what is in the pipe, whose writers are gone; how much it was."""
        taken = 0
        while not self.over and taken < MOST_LEFT_BYTES:
            try:
                data = os.read(self.descriptor, 64 * 1024)
            except OSError:
                break
            if not data:
                break
            taken += len(data)
            if self._tail is not None:
                self._tail.add(data)
            self.backlog.extend(data[start : start + READ_BYTES] for start in range(0, len(data), READ_BYTES))
        self.ended = True
        return taken

    def encoded(self, data: bytes) -> list[bytes]:
        """Lines of the log."""
        made = self._writer.lines(self._splitter.feed(data) if data else self._splitter.finish())
        self.lines += len(made)
        return made


class Turns:
    """Reads streams in turn, as fast as the log takes what they say."""

    def __init__(self, log: Log, poller: Poller) -> None:
        self._log, self._poller = log, poller
        self._ready: collections.deque[Stream] = collections.deque()
        self._watched: set[Stream] = set()
        self._backlog = 0

    @property
    def pending(self) -> bool:
        """Whether something was read and not written, or could be."""
        return bool(self._ready) or self._log.pending

    @property
    def takes_more(self) -> bool:
        """Whether what an ended run has left may be kept."""
        return self._backlog < MOST_BACKLOG_BYTES

    def add(self, stream: Stream) -> None:
        """Read a stream from now on."""
        self._watch(stream)

    def finish(self, streams: list[Stream], head: dict[str, object], written: Written) -> None:
        """The processes of a run are gone: take what they have left, and write the line after it when it is its turn."""
        ending = Ending(head, streams, written)
        for stream in streams:
            self._backlog += stream.take_rest()
            stream.ending = ending
            if stream in self._watched:
                self._unwatch(stream)
                self._ready.append(stream)
        if all(stream.over for stream in streams):
            self._log.put([line for line in (ending.line(),) if line])

    def drop(self, streams: list[Stream]) -> None:
        """Read them no more: nothing was ever written there."""
        for stream in streams:
            if stream in self._watched:
                self._unwatch(stream)
            if stream in self._ready:
                self._ready.remove(stream)
            if not stream.over:
                stream.over = True
                os.close(stream.descriptor)

    def wait_seconds(self) -> Optional[float]:
        """How long to wait until streams may be read; None when there is nothing to read or no room for it."""
        return self._log.wait_seconds() if self._ready else None

    def turn(self) -> None:
        """Read what may be read now, a piece of each stream at a time."""
        for _ in range(READS_A_TURN):
            if not self._ready or self._log.wait_seconds() != 0:
                break
            stream = self._ready.popleft()
            kept = bool(stream.backlog)
            data = stream.read()
            if data is None:
                self._watch(stream)
                continue
            if kept:
                self._backlog -= len(data)
            self._log.put(stream.encoded(data))
            if data:
                self._ready.append(stream)
            else:
                self._close(stream)
        self._log.write()

    def _close(self, stream: Stream) -> None:
        stream.over = True
        os.close(stream.descriptor)
        line = stream.ending.line() if stream.ending is not None else None
        if line is not None:
            self._log.put([line])

    def _watch(self, stream: Stream) -> None:
        self._watched.add(stream)
        self._poller.watch_reading(stream.descriptor, lambda: self._became_ready(stream))

    def _unwatch(self, stream: Stream) -> None:
        self._watched.discard(stream)
        self._poller.forget(stream.descriptor)

    def _became_ready(self, stream: Stream) -> None:
        self._unwatch(stream)
        self._ready.append(stream)
