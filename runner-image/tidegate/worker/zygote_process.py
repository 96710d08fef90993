"""The zygote as the worker's main process sees it: started without what is secret, asked, and watched.

A zygote that doesn't answer, or says what it can't have said, is killed. Without it the worker takes no more runs.
"""

from __future__ import annotations

import collections
import fcntl
import os
import signal
import socket
import sys
from typing import Callable, Mapping, Optional, Sequence

from tidegate.worker import messages
from tidegate.worker.log import Log, Stream, Turns
from tidegate.worker.loop import READ, WRITE, Loop
from tidegate.worker.messages import Garbage, Note

PING_SECONDS = 5.0
MOST_UNANSWERED = 6
"""Pings. Not a time: when the whole container was stopped for a while, the zygote needs a moment too."""
_NORMAL_SIGNALS = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


class ZygoteProcess:
    """The process, and the socket to it."""

    def __init__(self, *, loop: Loop, log: Log, on_note: Callable[[Note], None]) -> None:
        self._loop, self._log, self._on_note = loop, log, on_note
        self._socket: Optional[socket.socket] = None
        self._waiting: collections.deque[tuple[bytes, list[int]]] = collections.deque()
        self._pinged, self._unanswered = 0.0, 0
        self.pid = 0
        self.ready = False
        """Whether all modules are imported."""
        self.module = ""
        """The one that is imported at the moment, or was the last."""

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._socket is not None

    def start(self, modules: Sequence[str], environment: Mapping[str, str], turns: Turns) -> None:
        """Start it."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        nowhere = os.open(os.devnull, os.O_RDONLY)
        # Above the numbers that they get: one that is to be taken may be in use by one that is to be given.
        given = [
            fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
            for descriptor in (nowhere, out_end, err_end, its.fileno())
        ]
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(given)]
        self.pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "tidegate.worker.zygote", *modules],
            dict(environment),
            file_actions=actions,
            setsigmask=[],
            setsigdef=_NORMAL_SIGNALS,
        )
        _close_all((*given, nowhere, out_end, err_end))
        its.close()
        mine.setblocking(False)
        self._socket = mine
        self._watch()
        head: dict[str, object] = {"level": "info", "event": "preload"}
        for descriptor, name in ((out, "stdout"), (err, "stderr")):
            os.set_blocking(descriptor, False)
            turns.add(Stream(descriptor, head, name))

    def ask(self, note: Note, descriptors: Sequence[int] = ()) -> None:
        """Send a request. The descriptors are closed here."""
        self._waiting.append((messages.encode(note), list(descriptors)))
        self._send()

    def look_after(self, now: float) -> float:
        """Ask whether it still answers; when to do that again."""
        if not self.alive or not self.ready:
            return now + PING_SECONDS
        if now - self._pinged >= PING_SECONDS:
            if self._unanswered >= MOST_UNANSWERED:
                self._log.event("error", "the zygote doesn't answer")
                self.kill()
                return now + PING_SECONDS
            self._pinged = now
            self._unanswered += 1
            self.ask(Note(messages.PING))
        return self._pinged + PING_SECONDS

    def kill(self) -> None:
        """End it."""
        self._close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)  # it isn't waited for yet: the pid is its own

    def _close(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
        for _, descriptors in self._waiting:
            _close_all(descriptors)
        self._waiting.clear()

    def reaped(self) -> None:
        """It has ended and was waited for: take what it said last."""
        self._receive()
        self.pid = 0
        self._close()

    def _watch(self) -> None:
        if self._socket is not None:
            self._loop.watch(self._socket.fileno(), READ | (WRITE if self._waiting else 0), self._on_ready)

    def _on_ready(self, events: int) -> None:
        if events & WRITE:
            self._send()
        if events & READ:
            self._receive()

    def _send(self) -> None:
        while self._waiting and self._socket is not None:
            data, descriptors = self._waiting[0]
            try:
                socket.send_fds(self._socket, [data], descriptors)
            except BlockingIOError:
                break
            except OSError as error:  # gone, which is noticed where it is read, or too many descriptors on their way
                request = messages.decode(data)
                if request.kind == messages.FORK:
                    self._on_note(Note(messages.UNFORKED, request.subject, text=f"can't fork: {error}"))
            self._waiting.popleft()
            _close_all(descriptors)
        if self._socket is None:
            self._close()
        self._watch()

    def _receive(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(messages.MOST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.kill()
                return
            try:
                note = messages.decode(data)
            except Garbage as error:
                self._log.event("error", "the zygote says what it can't say", message=str(error))
                self.kill()
                return
            self._unanswered = 0
            if note.kind == messages.IMPORTING:
                self.module = note.subject
            elif note.kind == messages.READY:
                self.ready = True
            self._on_note(note)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
