"""What the apiserver was asked and by whom, read from its audit log: tests count a controller's requests with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICY: Mapping[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # A watch has to be seen when it begins: its end may be long after the test's.
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request."""

    user: str
    verb: str
    """get, list, watch, create, update, patch, delete or deletecollection; for other paths the HTTP method."""
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    """The status answered; 0 while a watch is open."""
    uri: str
    user_agent: str
    at: str
    """When the apiserver received it, RFC 3339."""

    @property
    def what(self) -> str:
        """Verb and resource in short, e.g. `patch taskruns/status`, `create jobs`, `get /readyz`."""
        if not self.resource:
            return f"{self.verb} {self.uri.partition('?')[0]}"
        return f"{self.verb} {self.resource}" + (f"/{self.subresource}" if self.subresource else "")


class AuditLog:
    """The log as a file that grows: each look reads what is new, for a session's log becomes long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._found: dict[str, AuditEntry] = {}

    def entries(self) -> Sequence[AuditEntry]:
        """All requests so far in order of arrival in the log, one entry each."""
        if self._path.exists():
            with self._path.open("rb") as lines:
                lines.seek(self._read)
                for line in lines:
                    if line.endswith(b"\n"):  # the last one may be half written
                        event = json.loads(line)
                        self._found[event["auditID"]] = _entry(event)
                        self._read += len(line)
        return list(self._found.values())


def _entry(event: Mapping[str, Any]) -> AuditEntry:
    about = event.get("objectRef") or {}
    return AuditEntry(
        user=event["user"].get("username", ""),
        verb=event["verb"],
        group=about.get("apiGroup", ""),
        resource=about.get("resource", ""),
        subresource=about.get("subresource", ""),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=(event.get("responseStatus") or {}).get("code", 0) if event["stage"] != "ResponseStarted" else 0,
        uri=event["requestURI"],
        user_agent=event.get("userAgent", ""),
        at=event["requestReceivedTimestamp"],
    )
