"""The process of a run, from the fork to its end: what it has of the zygote is taken off, then it is like a pod's process.

It ends without taking Python apart: with large modules that takes longer than most runs, and copies their memory.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from typing import Callable, Mapping, NoReturn

from tidegate import runner, streams
from tidegate.current import slot
from tidegate.worker import messages
from tidegate.worker.linux import set_dumpable
from tidegate.worker.messages import RunSpec
from tidegate.worker.open_files import close_files

UMASK = 0o022
_FIXED = (signal.SIGKILL, signal.SIGSTOP)


class Fresh:
    """How Python began, before modules of the pool were imported: what a run's process goes back to."""

    def __init__(self) -> None:
        self._handlers: Mapping[int, object] = {
            number: signal.getsignal(number) for number in signal.valid_signals() if number not in _FIXED
        }

    def restore(self) -> None:
        """Handlers as they were, and no signal blocked."""
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def become_run(job: int, fresh: Fresh) -> NoReturn:
    """Wait for what is to be run, run it, and end this process."""
    code = 1
    try:
        os.setsid()
        _forget_the_zygote()
        with socket.socket(fileno=job) as waiting:
            _, descriptors, _, _ = socket.recv_fds(waiting, messages.MOST_BYTES, messages.MOST_DESCRIPTORS)
            if not descriptors:
                os._exit(code)  # the worker needs it no more
            spec_file, out, err, started = descriptors
            spec = messages.read_spec(spec_file)
            _take_descriptors(out, err, keep=(started, waiting.fileno()))
            _enter(spec)
            attempt = runner.Attempt(on_start=_reports_start(started))
            if waiting.recv(messages.MOST_BYTES) != messages.GO:
                os._exit(code)  # what was prepared is not to be
        set_dumpable(True)
        fresh.restore()
        code = attempt.run(spec.entrypoint)
        _finish(code)
    except BaseException as error:  # the runner itself lets nothing out
        streams.show(error)
        streams.flush()
    finally:
        os._exit(code)


def _take_descriptors(out: int, err: int, *, keep: tuple[int, int]) -> None:
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nowhere, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):  # the one of the listing
                os.close(int(name))


def _reports_start(started: int) -> Callable[[], None]:
    """Say that the function is called. What a module did to the descriptor meanwhile is the run's own loss."""

    def report() -> None:
        with contextlib.suppress(OSError):
            os.write(started, b"s")
        with contextlib.suppress(OSError):
            os.close(started)

    return report


def _forget_the_zygote() -> None:
    """All that can be done before it is known what is run."""
    os.umask(UMASK)
    tempfile.tempdir = None
    numpy_random = sys.modules.get("numpy.random")  # Python's own generator draws a seed at each fork
    if numpy_random is not None:
        numpy_random.seed()
    slot.replace(None)
    _forget_exit_handlers()


def _enter(spec: RunSpec) -> None:
    """Its directory, its variables, its limit."""
    os.chdir(f"{spec.directory}/work")
    os.environ.clear()
    os.environ.update(spec.env)
    time.tzset()
    sys.argv = [runner.__file__.replace("runner.py", "__main__.py"), spec.entrypoint]
    gc.enable()
    if spec.memory is not None:
        most = _data_bytes() + spec.memory
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _forget_exit_handlers() -> None:
    """Those of imported modules are the zygote's: they would take away what other runs use. Python's own are needed."""
    atexit._clear()
    logging, util = sys.modules.get("logging"), sys.modules.get("multiprocessing.util")
    if logging is not None:
        atexit.register(logging.shutdown)
    if util is not None:
        atexit.register(util._exit_function)
    weakref = sys.modules.get("weakref")
    if weakref is not None:
        for finalizer in list(weakref.finalize._registry):
            finalizer.atexit = False
        weakref.finalize._registered_with_atexit = False


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process by now."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def _finish(code: int) -> None:
    """What Python does at its end: threads are waited for, exit handlers run, files are written out."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except BaseException as error:
        streams.show(error)
    try:
        atexit._run_exitfuncs()
    except BaseException as error:
        streams.show(error)
    close_files()
    streams.flush()
    os._exit(code)
