"""What the worker's own processes say to each other, over sockets that keep messages apart. Pure.

worker → zygote and back: a ``Note``, some with descriptors. worker → run's process: ``JOB`` with descriptors, then ``GO``.
worker → subreaper: ``TERMINATE`` or ``KILL``. subreaper → worker: how the run's process ended. A message that isn't one of these is garbage, and said to be.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple, Optional

from tidegate.errors import TidegateError
from tidegate.usage import Usage

MOST_BYTES = 8 * 1024
TERMINATE, KILL, JOB, GO = b"terminate", b"kill", b"job", b"go"
FORK, REMOVE, RESOLVE, PING = "fork", "remove", "resolve", "ping"
"""Requests: fork a child (with its two sockets), remove a directory, look up a host (with a pipe), answer."""
IMPORTING, READY, FAILED, FORKED, UNFORKED, PONG = "importing", "ready", "failed", "forked", "unforked", "pong"
"""Reports: of the imports, of a child (with its subreaper, or why there is none), the answer."""
MOST_DESCRIPTORS = 4
"""A job has the specification, standard output, standard error, and the pipe for the function's start."""


class Garbage(TidegateError):
    """A message that nothing of the worker's has sent."""


class Note(NamedTuple):
    """A request or a report."""

    kind: str
    subject: str = ""
    """A child, a path, a host or a module."""
    number: int = 0
    text: str = ""


class RunSpec(NamedTuple):
    """What a run's process needs to know, in a file without a name."""

    entrypoint: str
    directory: str
    env: dict[str, str]
    memory: Optional[int]


class ProcessEnd(NamedTuple):
    """How a run's process ended."""

    status: int
    """An exit code, or a signal as a negative number."""
    usage: Usage


def encode(note: Note) -> bytes:
    """A message."""
    return json.dumps(note).encode()


def decode(data: bytes) -> Note:
    """What a message says. Garbage where it says nothing."""
    try:
        kind, subject, number, text = json.loads(data)
    except (ValueError, TypeError, RecursionError) as error:
        raise Garbage(repr(data[:100])) from error
    if not (isinstance(kind, str) and isinstance(subject, str) and type(number) is int and isinstance(text, str)):
        raise Garbage(repr(data[:100]))
    return Note(kind, subject, number, text)


def encode_end(status: int, usage: Usage) -> bytes:
    """How a run's process ended, as ``wait4`` says it, and what it and all below it have used."""
    return b"%d %d %d" % (status, usage.cpu_seconds * 1000, usage.memory_peak_bytes)


def decode_end(data: bytes) -> ProcessEnd:
    """What the subreaper says."""
    try:
        status, milliseconds, peak = map(int, data.split(b" "))
        if not (os.WIFEXITED(status) or os.WIFSIGNALED(status)) or milliseconds < 0 or peak < 0:
            raise Garbage(repr(data[:100]))
        return ProcessEnd(os.waitstatus_to_exitcode(status), Usage(milliseconds / 1000, peak))
    except (ValueError, OverflowError) as error:
        raise Garbage(repr(data[:100])) from error


def write_spec(spec: RunSpec) -> int:
    """The specification as a file without a name; its descriptor."""
    descriptor = os.memfd_create("run")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(json.dumps(spec).encode())
    return descriptor


def read_spec(descriptor: int) -> RunSpec:
    """The specification that a descriptor has."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        entrypoint, directory, env, memory = json.loads(file.read())
    return RunSpec(entrypoint, directory, env, memory)
