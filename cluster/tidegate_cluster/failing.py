"""What a start that fails leaves behind: its logs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ClusterError


@contextmanager
def undone_on_failure(*, keep_logs: Callable[[], Path], down: Callable[[], None]) -> Iterator[None]:
    """Undo what is started inside where that fails; the error names the kept logs."""
    try:
        yield
    except BaseException as error:
        logs = keep_logs()
        down()
        if isinstance(error, ClusterError):
            raise ClusterError(f"{error} (logs: {logs})") from error
        raise
