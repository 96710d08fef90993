"""The variables of a run's process: the pool's, over them the Task's, over them Tidegate's. Pure.

``$(VAR)`` is expanded as Kubernetes does in a container: by what was defined before, unknown names stay as they are, and
``$$`` stands for ``$``.
"""

from __future__ import annotations

import re
from typing import Mapping, Optional

from tidegate.worker.protocol import Start

TEMPORARY = "tmp"
_OF_SOME_RUNS = ("TIDEGATE_API_URL", "TIDEGATE_TIMEOUT_SECONDS", "TIDEGATE_TOKEN_FILE")
_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")


def expand(text: str, known: Mapping[str, str]) -> str:
    """A value with its references replaced."""

    def replacement(found: re.Match[str]) -> str:
        if found[1] == "$":
            return "$"
        return known.get(found[2], found[0])

    return _REFERENCE.sub(replacement, text)


def for_run(
    base: Mapping[str, str], start: Start, *, pool: str, directory: str, api_url: Optional[str], has_token: bool
) -> dict[str, str]:
    """All variables of a run. ``directory`` is its own."""
    result = {**base, "TMPDIR": f"{directory}/{TEMPORARY}"}
    own = {
        "TIDEGATE_RUN": start.run.name,
        "TIDEGATE_RUN_UID": start.run.uid,
        "TIDEGATE_NAMESPACE": start.run.namespace,
        "TIDEGATE_TASK": start.task,
        "TIDEGATE_ATTEMPT": str(start.run.attempt),
        "TIDEGATE_MAX_ATTEMPTS": str(start.max_attempts),
        "TIDEGATE_QUEUE": start.run.queue,
        "TIDEGATE_POOL": pool,
        "TIDEGATE_PAYLOAD_FILE": f"{directory}/payload.json",
        "TIDEGATE_RESULT_FILE": f"{directory}/result",
        "TIDEGATE_RESULT_MAX_BYTES": str(start.result_max_bytes),
    }
    if start.timeout:
        whole = int(start.timeout)
        own["TIDEGATE_TIMEOUT_SECONDS"] = str(whole if whole == start.timeout else start.timeout)
    if api_url is not None:
        own["TIDEGATE_API_URL"] = api_url
    if has_token:
        own["TIDEGATE_TOKEN_FILE"] = f"{directory}/token"
    if "TIDEGATE_API_CA_FILE" in base:
        own["TIDEGATE_API_CA_FILE"] = base["TIDEGATE_API_CA_FILE"]
    known = {**result, **own}
    for name, value in start.env.items():
        result[name] = expand(value, known)
        known[name] = own.get(name, result[name])
    for name in _OF_SOME_RUNS:
        result.pop(name, None)  # the pool's own value doesn't belong to this run
    return {**result, **own}
