"""Runs from code: start them, wait for them, read what they returned, cancel them.

``connect()`` finds out where runs go; ``Task.submit`` uses it.
"""

from __future__ import annotations

import copyreg
import os
from typing import Callable, Optional

from tidegate.current import slot
from tidegate.errors import ConfigurationError
from tidegate.runs import (
    SUBMIT_SECONDS,
    TERMINAL,
    Client,
    Handle,
    RunOptions,
    RunState,
    SubmitManyFailed,
    run_body,
)

__all__ = [
    "SUBMIT_SECONDS",
    "TERMINAL",
    "Client",
    "Handle",
    "RunOptions",
    "RunState",
    "Seen",
    "SubmitManyFailed",
    "connect",
    "run_body",
]

Seen = RunState
"""The former name of RunState."""


def connect(*, url: Optional[str] = None, key: Optional[str] = None, project: Optional[str] = None) -> Client:
    """A client for where runs go:

    - in a run: its project, by the run's own token; what is started there is its child. NeedsApi without the web app;
    - with ``url`` or TIDEGATE_API_URL: the HTTP API, by the API key ``key``, TIDEGATE_API_KEY or TIDEGATE_API_KEY_FILE;
    - else the cluster itself: by the pod's own service account, or by what ``kubectl config view`` says.

    The project is ``project`` or TIDEGATE_PROJECT, else the key's own, or the namespace that the kubeconfig names.
    Raises ConfigurationError where nothing of this is there.
    """
    here = slot.current_or_detached()
    if here.name and url is None and key is None:
        from tidegate.children import ChildClient

        return ChildClient(here)
    url = url or os.environ.get("TIDEGATE_API_URL")
    project = project or os.environ.get("TIDEGATE_PROJECT")
    if not url:
        from tidegate.cluster import connect_cluster

        return connect_cluster(project)
    key = key or os.environ.get("TIDEGATE_API_KEY") or _key_in_file()
    if not key:
        raise ConfigurationError(
            "TIDEGATE_API_URL is set, and no API key: set TIDEGATE_API_KEY or TIDEGATE_API_KEY_FILE"
        )
    from tidegate.api import ApiClient

    return ApiClient(url, key, project=project)


def _key_in_file() -> Optional[str]:
    path = os.environ.get("TIDEGATE_API_KEY_FILE")
    if not path:
        return None
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"can't read the API key: {error}") from None


def restored(state: RunState, queue: Optional[str]) -> Handle:
    """A handle that was pickled, in another process: it connects when it is first used."""
    return Handle(connect, state, queue)


def _reduced(handle: Handle) -> tuple[Callable[..., Handle], tuple[RunState, Optional[str]]]:
    return restored, handle.without_client()


copyreg.pickle(Handle, _reduced)
