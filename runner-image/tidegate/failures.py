"""From an exception to what the platform reads of it: an exit code, and a message or a delay."""

from __future__ import annotations

import json
from typing import Iterator, NamedTuple, Optional

from tidegate.errors import (
    AbortRun,
    EntrypointError,
    NeedsApi,
    PayloadError,
    RetryAfter,
    TidegateError,
    retry_seconds,
)

FAILED, ABORTED, RETRY_LATER = 1, 64, 65
MESSAGE_MAX = 1000
RESULT_TOO_LARGE = "tidegate.dev/resultTooLarge"


class NotKept(TidegateError):
    """The task has a result, and it can't be stored or written. Another attempt may do better."""


class ResultRefused(AbortRun):
    """The store doesn't take the result: it is too large, or its project has no room for it."""


class Failure(NamedTuple):
    """How an attempt fails."""

    code: int
    text: str
    """Of the result file."""
    trace: Optional[BaseException]
    """What the log gets a traceback of; None where the message says all."""
    is_document: bool = False
    """Whether the text is JSON for the operator, and no message."""


def failure(error: BaseException) -> Failure:
    """What an exception stands for."""
    decisive = _decisive(error)
    group = None if decisive is error else error
    if isinstance(decisive, ResultRefused):
        text = json.dumps({RESULT_TOO_LARGE: one_line(_text(decisive))})
        return Failure(ABORTED, text, None, is_document=True)
    if isinstance(decisive, AbortRun):
        return Failure(ABORTED, one_line(_text(decisive)) or "aborted", group)
    if isinstance(decisive, RetryAfter):
        message = one_line(_text(decisive))
        try:
            seconds = retry_seconds(decisive.seconds, message)  # a subclass may have set another
        except (AttributeError, TypeError, ValueError) as odd:
            return Failure(FAILED, describe(odd), error)
        return Failure(RETRY_LATER, json.dumps({"retryAfterSeconds": seconds, "message": message}), group, True)
    if isinstance(error, (EntrypointError, PayloadError)):
        return Failure(ABORTED, one_line(_text(error)), error.__cause__)
    if isinstance(error, NotKept):
        return Failure(FAILED, one_line(_text(error)), None)
    return Failure(ABORTED if isinstance(decisive, NeedsApi) else FAILED, describe(decisive), error)


def _decisive(error: BaseException) -> BaseException:
    """Of an exception group the one that counts: AbortRun, NeedsApi, the RetryAfter of the longest delay, else the first."""
    found = list(leaves(error))
    for kind in (AbortRun, NeedsApi):
        for leaf in found:
            if isinstance(leaf, kind):
                return leaf
    later = [leaf for leaf in found if isinstance(leaf, RetryAfter)]
    if later:
        return max(later, key=lambda leaf: getattr(leaf, "seconds", 0))
    return found[0] if len(found) == 1 else error


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, at any depth. By its shape: before Python 3.11 groups come from a package."""
    inner = getattr(error, "exceptions", None)
    if isinstance(inner, (tuple, list)) and inner and all(isinstance(one, BaseException) for one in inner):
        for one in inner:
            yield from leaves(one)
    else:
        yield error


def describe(error: BaseException) -> str:
    """One clean line, as the last of a traceback; of a group, with its first exception."""
    text = _text(error)
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    first = next(leaves(error))
    return one_line(line if first is error else f"{line}: {describe(first)}")


def one_line(text: str) -> str:
    """Text that can be a message: one line, and characters that can be written."""
    return " ".join(text.replace("\0", "\\0").split())[:MESSAGE_MAX].encode("utf-8", "backslashreplace").decode()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as odd:  # an exception's own code can do anything
        return f"<its text can't be read: {type(odd).__name__}>"
