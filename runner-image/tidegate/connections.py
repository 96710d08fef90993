"""Where a run's reports go: to the web app by the pod's own token, or nowhere where none is installed.

What a run can do without is dropped with one warning; what it relies on raises NeedsApi at the call.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple, Optional

from tidegate import streams
from tidegate.errors import ApiError, NeedsApi

if TYPE_CHECKING:
    import ssl

    from tidegate.reporting import Reporter
    from tidegate.run_json import Change, Progress, RunBody, RunJson, RunPage
    from tidegate.transport import Http

MOST_RESULT_BYTES = 8 * 1024 * 1024
MOST_CHECKPOINT_BYTES = 1024 * 1024


class Stored(NamedTuple):
    """A document that the web app keeps."""

    bytes: int
    sha256: str


class Connection:
    """No web app is installed: the operator runs alone."""

    stores = False
    """Whether results, checkpoints and children have a place to go."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def report(self, state: Progress) -> None:
        """Have progress reported, some time soon."""
        self._warn("progress is")

    def change_metadata(self, change: Change) -> None:
        """Have a change of the metadata reported, some time soon."""
        self._warn("metadata are")

    def save_checkpoint(self, data: bytes, *, seconds: Optional[float]) -> None:
        """Return when the checkpoint is committed."""
        raise NeedsApi("a checkpoint needs Tidegate's web app, which isn't installed")

    def load_checkpoint(self, *, seconds: Optional[float]) -> Optional[bytes]:
        """The last checkpoint of any attempt; None without one."""
        raise NeedsApi("a checkpoint needs Tidegate's web app, which isn't installed")

    def store_result(self, data: bytes, *, seconds: Optional[float]) -> Stored:
        """Return when a result that is too large for the termination log is committed."""
        raise NeedsApi("a larger result needs Tidegate's web app, which isn't installed")

    def create_child(self, body: RunBody, *, seconds: Optional[float]) -> RunJson:
        """Return when the child is made, with it as the API describes runs."""
        raise NeedsApi("to start runs in a run needs Tidegate's web app, which isn't installed")

    def children(self, *, after: Optional[str], seconds: Optional[float]) -> RunPage:
        """A page of the run's children: ``items``, and ``after`` for the next page."""
        raise NeedsApi("to wait for runs in a run needs Tidegate's web app, which isn't installed")

    def get_run(self, uid: str, *, seconds: Optional[float]) -> RunJson:
        """A run that another client has created, and that an idempotency key of this run refers to."""
        raise NeedsApi("to wait for runs in a run needs Tidegate's web app, which isn't installed")

    def child_result(self, uid: str, *, seconds: Optional[float]) -> object:
        """The result of a child that is too large for its status."""
        raise NeedsApi("to read runs in a run needs Tidegate's web app, which isn't installed")

    def cancel_child(self, uid: str, *, seconds: Optional[float]) -> None:
        """Ask for a child's end; nothing happens to one that has ended."""
        raise NeedsApi("to cancel runs in a run needs Tidegate's web app, which isn't installed")

    def close(self) -> None:
        """Let what is still on its way go out, within a bound of time."""

    def _warn(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            streams.say(f"no web app is installed: {what} not reported")


class PodConnection(Connection):
    """The web app, asked with the token of the pod, for its run alone."""

    stores = True

    def __init__(self, *, url: str, run_uid: str, token_file: str, ca_file: Optional[str] = None) -> None:
        super().__init__()
        self._url, self._uid, self._token_file, self._ca_file = url, run_uid, token_file, ca_file
        self._http: Optional[Http] = None
        self._reporter: Optional[Reporter] = None
        self._reporter_pid = 0

    def http(self) -> Http:
        """The way to ``/internal/v1/runs/<uid>``."""
        if self._http is None:
            # Imported here: a task that reports nothing pays nothing.
            from tidegate.transport import Http

            # A proxy for the outer world knows no addresses of the cluster.
            self._http = Http(
                f"{self._url.rstrip('/')}/internal/v1/runs/{self._uid}",
                authorization=self._bearer,
                proxies=False,
                context=self._context(),
            )
        return self._http

    def _context(self) -> Optional[ssl.SSLContext]:
        """Trust of the web app's own authority, where it has one."""
        if not self._ca_file:
            return None
        import ssl

        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ApiError(f"no certificates can be read from {self._ca_file}: {error}") from None

    def report(self, state: Progress) -> None:
        self._running_reporter().report(state)

    def change_metadata(self, change: Change) -> None:
        self._running_reporter().change(change)

    def save_checkpoint(self, data: bytes, *, seconds: Optional[float]) -> None:
        _check_size("checkpoint", data, MOST_CHECKPOINT_BYTES)
        self.http().call("PUT", "/checkpoint", data, seconds=seconds)

    def load_checkpoint(self, *, seconds: Optional[float]) -> Optional[bytes]:
        try:
            return self.http().call("GET", "/checkpoint", seconds=seconds).body
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def store_result(self, data: bytes, *, seconds: Optional[float]) -> Stored:
        _check_size("result", data, MOST_RESULT_BYTES)
        stored = self.http().call("PUT", "/result", data, seconds=seconds).json()
        return Stored(stored["bytes"], stored["sha256"])

    def create_child(self, body: RunBody, *, seconds: Optional[float]) -> RunJson:
        from tidegate.run_json import encoded

        try:
            made: RunJson = self.http().call("POST", "/children", encoded(body), seconds=seconds).json()
        except ApiError as error:
            # Its first request was lost on the way back, and did make the run.
            if error.status != 409 or error.tries == 1 or "name" not in body:
                raise
            return self._child_named(body["name"], seconds=seconds)
        return made

    def children(self, *, after: Optional[str], seconds: Optional[float]) -> RunPage:
        from urllib.parse import quote

        query = "?limit=500" if after is None else f"?limit=500&after={quote(after)}"
        page: RunPage = self.http().call("GET", f"/children{query}", seconds=seconds).json()
        return page

    def get_run(self, uid: str, *, seconds: Optional[float]) -> RunJson:
        found: RunJson = self.http().call("GET", f"/children/{uid}", seconds=seconds).json()
        return found

    def child_result(self, uid: str, *, seconds: Optional[float]) -> object:
        return self.http().call("GET", f"/children/{uid}/result", seconds=seconds).json()

    def cancel_child(self, uid: str, *, seconds: Optional[float]) -> None:
        try:
            self.http().call("POST", f"/children/{uid}:cancel", b"{}", seconds=seconds)
        except ApiError as error:
            if error.status != 409:  # it has ended
                raise

    def _child_named(self, name: str, *, seconds: Optional[float]) -> RunJson:
        after: Optional[str] = None
        while True:
            page = self.children(after=after, seconds=seconds)
            for child in page["items"]:
                if child["name"] == name:
                    return child
            after = page["after"]
            if after is None:
                raise ApiError(f"there is a run {name} already, and it isn't a child of this one", status=409)

    def close(self) -> None:
        if self._reporter is not None and self._reporter_pid == os.getpid():
            self._reporter.close()

    def _running_reporter(self) -> Reporter:
        # A forked child has neither the thread nor a lock that it could trust.
        if self._reporter is None or self._reporter_pid != os.getpid():
            from tidegate.reporting import Reporter

            # Its imports are made here: a child that is forked while a thread makes them has half a module.
            with contextlib.suppress(ApiError):
                self.http()
            self._reporter, self._reporter_pid = Reporter(self.http), os.getpid()
            atexit.register(self.close)
            util = sys.modules.get("multiprocessing.util")
            if util is not None:  # its processes end without exit handlers
                util.Finalize(None, self.close, exitpriority=-100)
        return self._reporter

    def _bearer(self) -> str:
        try:
            with open(self._token_file, encoding="ascii") as file:  # the kubelet renews it
                return f"Bearer {file.read().strip()}"
        except (OSError, ValueError) as error:
            raise ApiError(f"can't read the run's token: {error}") from None


def _check_size(what: str, data: bytes, most: int) -> None:
    # Looked at here: a server that refuses in the middle of a large body is hard to distinguish from one that is away.
    if len(data) > most:
        raise ApiError(f"the {what} has {len(data)} bytes, at most {most} are kept", status=413)


def from_environment() -> Connection:
    """The connection of this pod."""
    url, uid = os.environ.get("TIDEGATE_API_URL"), os.environ.get("TIDEGATE_RUN_UID")
    token_file = os.environ.get("TIDEGATE_TOKEN_FILE")
    if url and uid and token_file:
        ca_file = os.environ.get("TIDEGATE_API_CA_FILE")
        return PodConnection(url=url, run_uid=uid, token_file=token_file, ca_file=ca_file)
    return Connection()
