"""Running short programs: their own words end up in the error when they fail."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ClusterError


def run(
    *command: str | Path,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> str:
    """Run to the end and return what was printed; a failure becomes a ClusterError with the program's last line."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=stdin, cwd=cwd, env=env, timeout=timeout, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{_brief(words)} took longer than {timeout:.0f} s") from error
    if done.returncode:
        raise ClusterError(f"{_brief(words)} failed: {last_line(done.stderr or done.stdout)}")
    return done.stdout


def post(url: str, body: str) -> str:
    """The answer to a JSON request to one of our own programs."""
    request = urllib.request.Request(url, data=body.encode(), headers={"Content-Type": "application/json"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return str(answer.read().decode())
    except OSError as error:
        raise ClusterError(f"{url} did not answer: {error}") from error


def answers(url: str) -> bool:
    """Whether one of our own programs answers a GET with success."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def succeeds(*command: str | Path, timeout: float = 60) -> bool:
    """Whether a program can be started and ends with 0."""
    try:
        run(*command, timeout=timeout)
    except ClusterError:
        return False
    return True


def last_line(text: str) -> str:
    """The line that usually says what went wrong."""
    # Helm's advice comes after its reason.
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Use --debug flag")]
    return lines[-1] if lines else "it printed nothing"


def _brief(words: Sequence[str]) -> str:
    shown = " ".join([Path(words[0]).name, *words[1:]])
    return shown if len(shown) <= 120 else shown[:117] + "..."
