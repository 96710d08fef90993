"""What commands can ask of either way to Tidegate."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from tidegate_cli.deadlines import Deadline

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to be made."""

    spec: Json
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Which runs a list shall have; what is None or empty isn't looked at."""

    phases: Sequence[str] = ()
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    batch: str | None = None
    schedule: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of the three kinds of definitions."""

    name: str
    plural: str


TASKS: Final = Kind(name="Task", plural="tasks")
QUEUES: Final = Kind(name="Queue", plural="queues")
SCHEDULES: Final = Kind(name="Schedule", plural="schedules")


class Backend(Protocol):
    """A way to Tidegate, in one project. Every method raises CommandError, AwayError where asking again may help."""

    @property
    def project(self) -> str:
        """The namespace."""

    @property
    def dashboard(self) -> str | None:
        """The address of the web app, where it is known."""

    def create_run(self, wanted: NewRun) -> Json:
        """Make a run; the same one for the same idempotency key."""

    def list_runs(self, wanted: RunFilter, *, limit: int) -> list[Json]:
        """Runs, newest first."""

    def run_names(self, beginning: str, *, going_on: bool) -> Iterator[str]:
        """Names that begin so, as they come and cheaply: not necessarily all, and maybe others. ``going_on``: of runs that
        haven't ended."""

    def get_run(self, reference: str) -> Json:
        """A run, by name or uid."""

    def why(self, run: Json) -> Json:
        """What a run waits for: `reason` and `message`."""

    def result(self, run: Json) -> Any:
        """What a run gave back."""

    def changes(self, run: Json, deadline: Deadline) -> Iterator[Json]:
        """The run as it is, then each time it changes, until the stream of changes ends for whatever reason."""

    def logs(self, run: Json, *, attempt: int | None, follow: bool) -> Iterator[str]:
        """What its pods wrote, in pieces; with `follow` until the run has ended."""

    def cancel(self, run: Json) -> Json:
        """Ask for its end."""

    def suspend_run(self, run: Json, *, suspend: bool) -> Json:
        """Hold it, of one that has started the next attempt; or release it."""

    def replay(self, run: Json, *, payload: Json | None, name: str | None) -> Json:
        """A new run of the same spec."""

    def list_definitions(self, kind: Kind) -> list[Json]:
        """All of a kind, by name."""

    def get_definition(self, kind: Kind, name: str) -> Json:
        """One."""

    def put_definition(
        self, kind: Kind, name: str, *, spec: Json, labels: Mapping[str, str] | None
    ) -> tuple[Json, bool]:
        """Create it or replace its spec as a whole; and whether it is new."""

    def pause_queue(self, name: str, *, paused: bool) -> Json:
        """Let no further run start, or take it back."""

    def suspend_schedule(self, name: str, *, suspend: bool) -> Json:
        """Let no further tick make a run, or take it back."""

    def trigger(self, schedule: str, *, payload: Json | None) -> Json:
        """A run of a Schedule's template, now."""
