"""What the operator does grows with what is in the cluster, and no faster.

Counted at 3,000 and 6,000 waiting runs. Work that each object causes for every other (an index of kopf that wakes every
waiter, a list searched for each run) is four times as much at twice the size, and at these sizes all that counts. Making more
runs, or a third step, would take minutes and say nothing new.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from support.builders import a_queue, a_run
from support.kube import Kube
from support.many import create_runs
from support.operator import OperatorProcess, install_crds
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

SIZES = (3_000, 6_000)
ENDED = 100
TURNS = 3
PATIENCE = 300
IN_FLIGHT = 64
"""What the operator may have sent and not counted yet."""

pytestmark = pytest.mark.timeout(1200)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an operator has done since it began."""

    events: int
    """Calls of the handler of TaskRuns."""
    lists: int
    """Lists of TaskRuns from which a watch began. A slow apiserver may ask for a second one."""
    decisions: int
    reported: int
    """Statuses written. Each comes back as an event."""
    sweeps: int
    waiting: int
    """Runs that stand in the queue's line."""
    undecided: int
    cpu_seconds: float

    @classmethod
    def of(cls, operator: OperatorProcess) -> Self:
        """Until now."""
        page = operator.metrics()
        patches = 'tidegate_kube_requests_total{code="200",resource="taskruns/status",verb="patch"}'
        return cls(
            events=int(page.get('tidegate_watch_events_total{kind="taskruns"}', 0)),
            lists=int(page.get('tidegate_watch_lists_total{kind="taskruns"}', 0)),
            decisions=int(page.get("tidegate_decide_seconds_count", 0)),
            reported=int(page.get(patches, 0)),
            sweeps=int(page.get('tidegate_sweeps_total{outcome="ok"}', 0)),
            waiting=int(page.get('tidegate_queue_pending{namespace="default",queue="closed"}', 0)),
            undecided=int(page.get("tidegate_dirty_keys", 0)),
            cpu_seconds=page.get("process_cpu_seconds_total", math.inf),
        )

    def has_read(self, size: int) -> bool:
        """Whether it has seen and judged so many runs: listed by the sweep and by kopf, and swept once more after that."""
        return self.events >= size and self.waiting >= size and self.sweeps >= 2 and not self.undecided


@pytest.fixture(scope="module")
def lone_plane() -> Iterator[ControlPlane]:
    """A control plane of its own: the operators of all other tests would list what waits here."""
    with ControlPlane(actors=("admin", "operator")) as made:
        install_crds(made)
        Kube(made.kubeconfig()).create(a_queue("closed", concurrencyLimit=0))
        yield made


@pytest.fixture(scope="module")
def operator(lone_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator under one name: it leads at once when it is started again."""
    made = OperatorProcess(lone_plane, log=Path(tmp_path_factory.mktemp("operator")) / "log", identity="operator")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def grown(lone_plane: ControlPlane, operator: OperatorProcess) -> dict[int, Work]:
    """The work of an operator that is started among so many waiting runs. The last one is left to go on."""
    found: dict[int, Work] = {}
    before = 0
    for size in SIZES:
        operator.stop()
        create_runs(lone_plane, (a_run(f"waiting-{i}").spec(queue="closed").built for i in range(before, size)))
        before = size
        operator.start()
        wait_until(lambda size=size: Work.of(operator).has_read(size), seconds=PATIENCE, what=f"{size} runs to be read")  # type: ignore[misc]
        found[size] = Work.of(operator)
    return found


@pytest.mark.parametrize("size", SIZES)
def test_each_object_is_handed_over_once_a_list_and_once_more_for_each_change(
    grown: dict[int, Work], size: int
) -> None:
    work = grown[size]
    assert work.lists >= 1
    assert work.events <= work.lists * size + work.reported + IN_FLIGHT


@pytest.mark.parametrize("size", SIZES)
def test_a_run_is_decided_on_a_few_times_however_many_others_there_are(grown: dict[int, Work], size: int) -> None:
    work = grown[size]
    assert size <= work.decisions <= 4 * (work.lists * size + work.reported)


def test_the_cpu_of_reading_the_cluster_grows_as_what_is_in_it(grown: dict[int, Work]) -> None:
    small, large = (grown[size].cpu_seconds for size in SIZES)
    # Twice as many runs: twice as much where it grows linearly, four times where it grows with the square.
    assert large <= 3 * small


def test_a_run_that_comes_and_ends_wakes_none_of_those_that_wait(
    lone_plane: ControlPlane, operator: OperatorProcess, grown: dict[int, Work]
) -> None:
    for turn in range(TURNS):
        before = Work.of(operator)
        end_runs(lone_plane, operator, (f"ended-{turn}-{i}" for i in range(ENDED)))
        after = Work.of(operator)
        if after.lists == before.lists:
            break
    assert after.lists == before.lists, "the apiserver asked for a list each time"
    # Beside, each waiting run gets a status that says so.
    reported = after.reported - before.reported
    assert after.events - before.events <= ENDED + reported + IN_FLIGHT
    assert after.decisions - before.decisions <= 4 * (ENDED + reported + IN_FLIGHT)


def end_runs(plane: ControlPlane, operator: OperatorProcess, names: Iterable[str]) -> None:
    """Create runs that are cancelled before they start, and wait until they have ended."""
    before = operator.total("tidegate_runs_finished_total", reason="Cancelled")
    create_runs(plane, (a_run(name).spec(queue="closed", cancel=True).built for name in names))
    wait_until(
        lambda: operator.total("tidegate_runs_finished_total", reason="Cancelled") >= before + ENDED,
        seconds=PATIENCE,
        what="the runs to end",
    )
