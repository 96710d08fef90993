"""What goes wrong between the web app and the apiserver.

``ClusterError``: the apiserver refused, or wasn't there; its properties say what that means.
``NoClusterError``: there is no configuration to reach one with.
"""

from collections.abc import Mapping

from tidegate_web.shared.json_types import as_object, as_objects


class ClusterError(Exception):
    """The apiserver refused, or wasn't there (``status`` 0)."""

    def __init__(
        self, status: int, message: str, *, reason: str = "", body: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.body = dict(body or {})

    @property
    def unavailable(self) -> bool:
        """Whether asking again later may help: the apiserver isn't there, is overloaded, or has failed."""
        return self.status == 0 or self.status == 429 or self.status >= 500

    @property
    def not_found(self) -> bool:
        """Whether there is no such object."""
        return self.status == 404

    @property
    def is_gone(self) -> bool:
        """Whether the very object is gone: there is none of its name, or one of another uid or version."""
        return self.status in (404, 409)

    @property
    def causes(self) -> list[tuple[str, str]]:
        """(field, message) of each thing the apiserver found wrong."""
        causes = as_objects(as_object(self.body.get("details")).get("causes"))
        return [(str(cause.get("field") or ""), str(cause.get("message") or "")) for cause in causes]


class NoClusterError(RuntimeError):
    """There is no configuration to reach a cluster with."""
