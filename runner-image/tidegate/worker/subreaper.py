"""The parent of a run's process: orphans below it become its children, so that none is left when it reports the end.

It knows two requests, and obeys no signal but those that nothing can withstand.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import NoReturn, Optional

from tidegate.usage import Usage
from tidegate.worker import linux, messages, processes
from tidegate.worker.run_process import Fresh, become_run

LOOK_AGAIN_MS = 20
"""While processes that were killed are still there."""


def become_subreaper(control: int, job: int, *, zygote: int, fresh: Fresh) -> NoReturn:
    """Fork the run's process, wait for it, and end this one."""
    code = 1
    try:
        os.close(zygote)
        linux.become_subreaper()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the zygote doesn't wait for its children
        children = linux.signal_descriptor([signal.SIGCHLD])
        run = os.fork()
        if run == 0:
            os.close(control)
            become_run(job, fresh)
        os.close(job)
        Subreaper(run, socket.socket(fileno=control), children).supervise()
        code = 0
    finally:
        os._exit(code)


class Subreaper:
    """Waits for a run's process, and for all below it."""

    def __init__(self, run: int, control: socket.socket, children: int) -> None:
        self._run, self._control, self._children = run, control, children
        self._status: Optional[int] = None
        self._cpu_seconds = 0.0
        self._largest_kib = 0

    def supervise(self) -> None:
        """Return when no process is left and the end is reported."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._children, select.POLLIN)
        while self._reap():
            if self._status is not None:
                processes.kill_descendants(os.getpid(), spared_groups=(os.getpgrp(),))
            for descriptor, _ in poll.poll(None if self._status is None else LOOK_AGAIN_MS):
                if descriptor == self._control.fileno() and not self._obey():
                    poll.unregister(self._control)
            linux.read_signals(self._children)
        usage = Usage(self._cpu_seconds, self._largest_kib * 1024)
        with contextlib.suppress(OSError):  # the worker is gone
            self._control.send(messages.encode_end(self._status or 0, usage))

    def _obey(self) -> bool:
        """Do what the worker asks for; False when it is gone, and with it everything that is to be here."""
        data = self._control.recv(messages.MOST_BYTES)
        if data == messages.TERMINATE:
            self._signal(signal.SIGTERM)
        else:
            self._signal(signal.SIGKILL)
        return bool(data)

    def _signal(self, number: int) -> None:
        if self._status is None:  # it isn't waited for yet, so that its pid is its own
            os.kill(self._run, number)

    def _reap(self) -> bool:
        """Wait for those that have ended; whether there are others."""
        while True:
            try:
                # What a process has used counts those that it has waited for; orphans are waited for here.
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self._cpu_seconds += used.ru_utime + used.ru_stime
            self._largest_kib = max(self._largest_kib, used.ru_maxrss)
            if pid == self._run:
                self._status = status
