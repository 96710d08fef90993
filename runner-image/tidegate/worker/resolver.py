"""The addresses of the operator. A look-up can take long, so a child of the zygote makes it; the last answer serves meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Callable, Optional

from tidegate.worker import messages
from tidegate.worker.loop import Loop
from tidegate.worker.messages import Note
from tidegate.worker.zygote_process import ZygoteProcess

MOST_BYTES = 4096
MOST_SECONDS = 20.0


class Resolver:
    """Knows the addresses of one host."""

    def __init__(self, host: str, *, zygote: ZygoteProcess, loop: Loop, clock: Callable[[], float]) -> None:
        self._host, self._zygote, self._loop, self._clock = host, zygote, loop, clock
        self._pipe: Optional[int] = None
        self._asked = 0.0
        self._answer = b""
        self._fixed = _is_address(host)
        self._addresses = [host] if self._fixed else []

    def next_address(self) -> Optional[str]:
        """An address to try, each in turn; None as long as there is none."""
        if not self._addresses:
            self.refresh()
            return None
        self._addresses.append(self._addresses.pop(0))
        return self._addresses[-1]

    def refresh(self) -> None:
        """Look the host up again, unless that is being done."""
        if self._fixed or not self._zygote.alive:
            return
        if self._pipe is not None:
            if self._clock() - self._asked < MOST_SECONDS:
                return
            self._close()
        mine, given = os.pipe()
        os.set_blocking(mine, False)
        self._pipe, self._asked, self._answer = mine, self._clock(), b""
        self._loop.watch_reading(mine, self._read)
        self._zygote.ask(Note(messages.RESOLVE, self._host), [given])

    def _read(self) -> None:
        assert self._pipe is not None
        try:
            data = os.read(self._pipe, MOST_BYTES)
        except BlockingIOError:
            return
        self._answer += data
        if data and len(self._answer) < MOST_BYTES:
            return
        self._close()
        found = _addresses(self._answer)
        if found:
            self._addresses = found

    def _close(self) -> None:
        if self._pipe is not None:
            self._loop.forget(self._pipe)
            os.close(self._pipe)
            self._pipe = None


def _addresses(answer: bytes) -> list[str]:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, str) and _is_address(one)] if isinstance(found, list) else []


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, text)
            return True
    return False
