"""The process that runs are forked from: it imports the pool's modules once, and has nothing of the connection.

``python -m tidegate.worker.zygote MODULE…``, with the worker's socket as descriptor 3. It is single-threaded and waits for
nothing but that socket; what takes longer is done by a child.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
from typing import Callable, Sequence

from tidegate import streams
from tidegate.errors import EntrypointError
from tidegate.loading import load_module
from tidegate.worker import linux, messages
from tidegate.worker.directories import remove_tree
from tidegate.worker.messages import Note
from tidegate.worker.run_process import Fresh
from tidegate.worker.subreaper import become_subreaper

CONTROL = 3


class Zygote:
    """Answers requests of the worker by forking."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._fresh = Fresh()

    def prepare(self, modules: Sequence[str]) -> bool:
        """Import the modules; False when one of them can't be."""
        if os.environ.get("TIDEGATE_API_URL"):
            import tidegate.reporting
            import tidegate.transport  # noqa: F401 - what runs report by
        for module in modules:
            self._say(Note(messages.IMPORTING, module))
            try:
                load_module(module)
            except EntrypointError as error:
                if error.__cause__ is not None:
                    streams.show(error.__cause__)
                self._say(Note(messages.FAILED, module, text=str(error)[:2000]))
                return False
        streams.flush()
        gc.collect()
        gc.freeze()
        gc.disable()
        # From here on children end unnoticed, and no signal of a run's does anything here.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        linux.block_all_signals()
        self._say(Note(messages.READY, number=threading.active_count() - 1))
        return True

    def serve(self) -> None:
        """Answer until the worker is gone."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, messages.MOST_BYTES, messages.MOST_DESCRIPTORS)
            except InterruptedError:
                continue
            if not data and not descriptors:
                return
            try:
                self._answer(messages.decode(data), descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _answer(self, request: Note, descriptors: list[int]) -> None:
        if request.kind == messages.PING:
            self._say(Note(messages.PONG))
        elif request.kind == messages.FORK:
            self._fork_child(request.subject, descriptors)
        elif request.kind == messages.REMOVE:
            self._fork_helper(lambda: remove_tree(request.subject))
        elif request.kind == messages.RESOLVE:
            self._fork_helper(lambda: resolve(request.subject, descriptors[0]))

    def _fork_child(self, name: str, descriptors: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._say(Note(messages.UNFORKED, name, text=f"can't fork: {error}"))
            return
        if pid == 0:
            control, job = descriptors
            become_subreaper(control, job, zygote=self._control.fileno(), fresh=self._fresh)
        self._say(Note(messages.FORKED, name, pid))

    def _fork_helper(self, work: Callable[[], object]) -> None:
        with contextlib.suppress(OSError):  # it is asked for again
            if os.fork() == 0:
                try:
                    self._control.close()
                    work()
                except BaseException as error:
                    streams.show(error)
                finally:
                    streams.flush()
                    os._exit(0)

    def _say(self, note: Note) -> None:
        self._control.send(messages.encode(note))


def resolve(host: str, descriptor: int) -> None:
    """Write the addresses of a host."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    os.write(descriptor, json.dumps([str(address[4][0]) for address in found][:16]).encode())


def main() -> int:
    """Serve the worker that has started this process."""
    linux.set_dumpable(False)
    os.setsid()
    os.set_inheritable(CONTROL, False)
    control = socket.socket(fileno=CONTROL)
    zygote = Zygote(control)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the worker is gone
        if not zygote.prepare(sys.argv[1:]):
            return 1
        zygote.serve()
    # Runs end by themselves when the worker is gone: their subreapers see it.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
