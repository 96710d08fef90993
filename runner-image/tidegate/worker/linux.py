"""What the kernel offers and Python's standard library doesn't: prctl, and signals that are read from a descriptor.

Signals are read, not handled: the loop takes them in its turn, and sees who sent them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from typing import Iterable, NamedTuple

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
_SIGSET_BYTES = 128
_INFO_BYTES = 128
_libc = ctypes.CDLL(None, use_errno=True)


class Caught(NamedTuple):
    """A signal that came."""

    number: int
    sender: int
    """Its process, 0 for one outside of the container."""


def set_dumpable(on: bool) -> None:
    """Whether other processes of this user may read this one's memory, environment and descriptors."""
    _prctl(PR_SET_DUMPABLE, int(on))


def become_subreaper() -> None:
    """Have orphans among the descendants become children of this process."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def signal_descriptor(signals: Iterable[int]) -> int:
    """A non-blocking descriptor from which these signals are read. They have to be blocked."""
    bits = ctypes.sizeof(ctypes.c_ulong) * 8
    mask = (ctypes.c_ulong * (_SIGSET_BYTES // ctypes.sizeof(ctypes.c_ulong)))()
    for number in signals:
        mask[(number - 1) // bits] |= 1 << (number - 1) % bits
    found: int = _libc.signalfd(-1, ctypes.byref(mask), os.O_NONBLOCK | os.O_CLOEXEC)
    if found < 0:
        raise _error("signalfd")
    return found


def read_signals(descriptor: int) -> list[Caught]:
    """The signals that have come since the last look."""
    try:
        data = os.read(descriptor, 32 * _INFO_BYTES)
    except BlockingIOError:
        return []
    caught = []
    for start in range(0, len(data), _INFO_BYTES):
        number, _, _, sender = struct.unpack_from("=IiiI", data, start)
        caught.append(Caught(number, sender))
    return caught


def block_all_signals() -> None:
    """Have no signal interrupt this process, but for those that can't be blocked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise _error("prctl")


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
