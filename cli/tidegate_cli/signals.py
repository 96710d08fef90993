"""Being told to end while something waits (SIGTERM, SIGHUP): unwound as Ctrl-C is, so that the terminal is left as it was found."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

_TOLD_TO_END: Final = (signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """Whoever started the command wants it to end. Like KeyboardInterrupt no Exception: nobody shall take it for a fault."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.code = 128 + number
        """As shells have it."""


@contextmanager
def unwinding() -> Iterator[None]:
    """Let such a signal raise Terminated. One that is ignored, as under nohup, stays so."""
    ours = [number for number in _TOLD_TO_END if signal.getsignal(number) is signal.SIG_DFL]

    def tell(number: int, _: FrameType | None) -> NoReturn:
        for each in ours:  # a session that ends sends both: the second mustn't cut the tidying off
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    for number in ours:
        signal.signal(number, tell)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is tell:
                signal.signal(number, signal.SIG_DFL)
