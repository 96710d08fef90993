"""A signal to end while something waits (SIGTERM, SIGHUP): unwound as Ctrl-C is, so that the terminal is left as it was found."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

_END_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """The parent process wants the command to end. Like KeyboardInterrupt no Exception: it must not be taken for a fault."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.code = 128 + number
        """As shells have it."""


@contextmanager
def unwinding() -> Iterator[None]:
    """Let such a signal raise Terminated. One that is ignored, as under nohup, stays so."""
    ours = [number for number in _END_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _: FrameType | None) -> NoReturn:
        for each in ours:  # a session that ends sends both: the second mustn't cut the tidying off
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)
