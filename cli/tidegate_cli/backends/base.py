"""What commands can ask of either way to Tidegate."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypedDict

from tidegate_api.bodies import JsonObject, TaskRunSpecBody
from tidegate_api.run_json import Definition, ListedRun, RunJson, Why

from tidegate_cli.deadlines import Deadline


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to be made."""

    spec: TaskRunSpecBody
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
    """One of the kinds of definitions."""

    name: str
    plural: str
    called: str
    """What the HTTP API calls them."""


TASKS: Final = Kind(name="Task", plural="tasks", called="tasks")
QUEUES: Final = Kind(name="Queue", plural="queues", called="queues")
SCHEDULES: Final = Kind(name="Schedule", plural="schedules", called="schedules")
POOLS: Final = Kind(name="WorkerPool", plural="workerpools", called="pools")


class Backfill(TypedDict):
    """What a backfill would do, or has done."""

    until: str
    """Earlier than what was asked for where the operator deals with what comes after."""
    ticks: list[str]
    """Those without a run."""
    there: int
    """Ticks that have one."""
    started: int
    batch: str | None
    problems: list[str]


class Backend(Protocol):
    """A way to Tidegate, in one project. Every method raises CommandError, AwayError where asking again may help."""

    @property
    def project(self) -> str:
        """The namespace."""

    @property
    def dashboard(self) -> str | None:
        """The address of the web app, where it is known."""

    def create_run(self, wanted: NewRun) -> RunJson:
        """Make a run; the same one for the same idempotency key."""

    def list_runs(self, wanted: RunFilter, *, limit: int) -> Sequence[ListedRun]:
        """Runs, newest first."""

    def run_names(self, beginning: str, *, active: bool) -> Iterator[str]:
        """Names that begin so, as they come and cheaply: not necessarily all, and maybe others. ``active``: of runs that
        haven't ended."""

    def get_run(self, reference: str) -> RunJson:
        """A run, by name or uid."""

    def why(self, run: RunJson) -> Why:
        """What a run waits for: `reason` and `message`."""

    def result(self, run: RunJson) -> object:
        """What a run gave back."""

    def changes(self, run: RunJson, deadline: Deadline) -> Iterator[RunJson]:
        """The run as it is, then each time it changes, until the stream of changes ends for whatever reason."""

    def logs(self, run: RunJson, *, attempt: int | None, follow: bool) -> Iterator[str]:
        """What its pods wrote, in pieces; with `follow` until the run has ended."""

    def cancel(self, run: RunJson) -> RunJson:
        """Ask for its end."""

    def suspend_run(self, run: RunJson, *, suspend: bool) -> RunJson:
        """Hold it, of one that has started the next attempt; or release it."""

    def replay(self, run: RunJson, *, payload: JsonObject | None, name: str | None) -> RunJson:
        """A new run of the same spec."""

    def list_definitions(self, kind: Kind) -> Sequence[Definition]:
        """All of a kind, by name."""

    def get_definition(self, kind: Kind, name: str) -> Definition:
        """One."""

    def put_definition(
        self, kind: Kind, name: str, *, spec: JsonObject, labels: Mapping[str, str] | None
    ) -> tuple[Definition, bool]:
        """Create it or replace its spec as a whole; and whether it is new."""

    def pause_queue(self, name: str, *, paused: bool) -> Definition:
        """Let no further run start, or take it back."""

    def suspend_schedule(self, name: str, *, suspend: bool) -> Definition:
        """Let no further tick make a run, or take it back."""

    def backfill(self, schedule: str, *, since: datetime, until: datetime, dry_run: bool) -> Backfill:
        """A run for each tick in a time, both ends included, that has none; or, of a dry run, which these are."""

    def trigger(self, schedule: str, *, payload: JsonObject | None) -> RunJson:
        """A run of a Schedule's template, now."""
