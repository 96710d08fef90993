"""``tidegate-web mirror`` in which a thread can be ended or stopped from outside: ``python faulty_mirror.py THREAD [PATIENCE_SECONDS]``.

SIGUSR1 ends the thread of that name wherever it is, as an uncaught error would. SIGUSR2 makes it wait there for ever.
"""

import ctypes
import signal
import sys
import threading

from tidegate_web.commands import main
from tidegate_web.shared import worker


class StandsStillError(BaseException):
    """Raised in a thread, it never gets out of its beginning."""

    def __init__(self) -> None:
        threading.Event().wait()


def raise_in(name: str, error: type[BaseException]) -> None:
    for thread in threading.enumerate():
        if thread.name == name and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(error))


def run(name: str, *patience: str) -> int:
    for seconds in patience:
        worker.PATIENCE_SECONDS = float(seconds)
    signal.signal(signal.SIGUSR1, lambda *_: raise_in(name, SystemExit))
    signal.signal(signal.SIGUSR2, lambda *_: raise_in(name, StandsStillError))
    return main(["mirror"])


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
