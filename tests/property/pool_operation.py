"""The same with pools: the pool executor beside the Job executor, and workers that crash, freeze, lose their connection, and
answer late, twice or never.
"""

from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from support.builders import a_queue, a_run, a_task
from support.fake_apiserver import Json
from support.fake_network import Network
from support.fake_workers import ModelWorker, Process, Wire

from property.clock_offsets import AHEAD, set_clocks
from property.operation import INDEX, QUEUE, Operation, pick
from property.operator_process import OperatorProcess
from property.pool_process import PoolProcess
from property.pool_promises import NAMESPACE, SLOTS, PoolCluster, leftovers_in_workers, problems_of_processes
from property.promises import leftovers

POOL = "warm"
TASK = "work"
RESTART_SECONDS = 2.0
"""From the end of a container to the start of the next: no kubelet is quicker."""
LEADER_SECONDS = 15.0


class PoolOperation(Operation):
    """Also workers, what goes between them and the operator, and leaders that are only cut off."""

    cluster: PoolCluster

    def __init__(self) -> None:
        super().__init__()
        self.cluster = PoolCluster(self.clocks)
        self.network = Network(self.cluster, self.clock)
        self.idents = count(1)
        self.wires: list[tuple[Wire, ModelWorker, PoolProcess]] = []
        self.deposed: list[PoolProcess] = []
        """Processes that have led, and are cut off from the apiserver."""
        self.unreported: list[ModelWorker] = []
        """Containers of which their node has not reported the present state."""
        self.fresh_process: OperatorProcess | None = None

    @initialize(
        attempts=st.lists(st.integers(1, 3), min_size=1, max_size=4),
        limit=st.integers(1, 3),
        per_key=st.sampled_from([None, 1]),
        lagging=st.sets(st.sampled_from(["watches", "lines", "reports"]), max_size=1),
        ahead=AHEAD,
    )
    def create(
        self,
        attempts: list[int],
        limit: int,
        lagging: set[str],
        per_key: int | None = None,
        ahead: dict[str, float] | None = None,
    ) -> None:
        set_clocks(self.clocks, ahead or {})
        self.limit, self.per_key, self.lagging = limit, per_key, set(lagging)
        limits = {"concurrencyLimit": limit, **({"concurrencyLimitPerKey": per_key} if per_key else {})}
        self.cluster.add("queues", a_queue(QUEUE, **limits))
        self.cluster.make_pool(POOL)
        self.cluster.add("tasks", a_task(TASK) | {"spec": _spec(pooled=True)})
        for max_attempts in attempts:
            self.create_run(max_attempts)
        self.process = self.begin_process()
        self.pass_time(0.5)  # for workers to connect

    # What people do

    @rule(pooled=st.booleans())
    def change_task(self, pooled: bool) -> None:
        task = self.cluster.objects["tasks"][NAMESPACE, TASK]
        self.cluster.put("tasks", {**task, "spec": _spec(pooled=pooled)})
        self.work()

    @rule()
    def delete_pool(self) -> None:
        self.cluster.drop_pool(POOL)
        self.work()

    @rule()
    def make_pool(self) -> None:
        if (NAMESPACE, POOL) not in self.cluster.objects["workerpools"]:
            self.cluster.make_pool(POOL)
        self.work()

    # What becomes of workers

    @rule(who=st.sampled_from(["lines", "reports"]), lags=st.booleans())
    def lag_of_pools(self, who: str, lags: bool) -> None:
        self.lagging = self.lagging | {who} if lags else self.lagging - {who}
        self.work()

    @rule(index=INDEX, code=st.sampled_from([0, 0, 1, 1, 64]))
    def end_task(self, index: int, code: int) -> None:
        if (found := pick(self.processes(), index)) is not None:
            worker, process = found
            worker.end(process, code=code)
        self.work()

    @rule(index=INDEX)
    def stop_task(self, index: int) -> None:
        """What was asked to stop does."""
        stopping = [(w, p) for w, p in self.processes() if p.stopping is not None]
        if (found := pick(stopping, index)) is not None:
            found[0].end(found[1])
        self.work()

    @rule(index=INDEX)
    def crash_worker(self, index: int) -> None:
        """Its container ends, and the next one starts."""
        if (worker := pick(self.live_workers(), index)) is not None:
            self.disturb()
            worker.die()
            following = self.cluster.start_container(worker.pod["metadata"]["uid"], delay=RESTART_SECONDS)
            self.unreported += [worker, following]
        self.work()

    @rule(index=INDEX, ended=st.booleans())
    def remove_worker(self, index: int, ended: bool) -> None:
        """Its pod goes."""
        if (worker := pick(self.live_workers(), index)) is not None:
            self.disturb()
            worker.die()
            pod = self.cluster.by_uid("workers", worker.pod["metadata"]["uid"])
            assert pod is not None
            if ended:
                pod["status"] = {**pod["status"], "phase": "Failed"}
                self.cluster.put("workers", pod)
            self.cluster.remove("workers", pod)
        self.work()

    @rule(index=INDEX, frozen=st.booleans())
    def freeze(self, index: int, frozen: bool) -> None:
        if (worker := pick(self.live_workers(), index)) is not None:
            self.disturb()
            worker.frozen = frozen
            if not frozen:
                worker.report_again()
        self.work()

    @rule(index=INDEX, slots=st.integers(0, SLOTS))
    def change_slots(self, index: int, slots: int) -> None:
        """It comes back with others."""
        if (worker := pick(self.live_workers(), index)) is not None:
            self.disturb()
            worker.slots = slots
            worker.disconnect()
        self.work()

    @rule(index=INDEX, how=st.sampled_from(["drain", "refuse", "mute", "again", "slow", "slow"]))
    def misbehave(self, index: int, how: str) -> None:
        if (worker := pick(self.live_workers(), index)) is not None:
            self.disturb()
            if how == "drain":
                self.drain(worker)
            elif how == "refuse":
                worker.refuses = True
            elif how == "mute":
                worker.mute = True
            elif how == "slow" and worker.slow and worker.welcomed:
                worker.say_all()
            elif how == "slow":
                worker.disconnect()
                worker.slow = True
                self.pass_time(6.0)
            else:
                worker.report_again()
        self.work()

    @rule(index=INDEX, away=st.booleans(), side=st.sampled_from(["worker", "leader", "both"]), unread=st.booleans())
    def lose_connection(self, index: int, away: bool, side: str, unread: bool) -> None:
        """It is gone as one end sees it or both; `unread`: what was on its way may still be read."""
        if (worker := pick(self.live_workers(), index)) is not None:
            self.disturb()
            worker.away = away
            for wire, _, process in [w for w in self.wires if w[1] is worker]:
                if not unread:
                    wire.to_leader.clear()
                    wire.to_worker.clear()
                if side in ("leader", "both"):
                    process.lose(wire)
                if side in ("worker", "both") and worker.wire is wire:
                    worker.disconnect()
        self.work()

    @precondition(lambda self: self.unreported)
    @rule(index=INDEX)
    def report_container(self, index: int) -> None:
        worker = self.unreported[index % len(self.unreported)]
        self.cluster.report(worker)
        if self.clock.now >= worker.started:
            self.unreported.remove(worker)
        self.work()

    @precondition(lambda self: "lines" in self.lagging)
    @rule(index=INDEX, to_worker=st.booleans())
    def deliver_line(self, index: int, to_worker: bool) -> None:
        found = [w for w in self.wires if (w[0].to_worker if to_worker else w[0].to_leader)]
        if (one := pick(found, index)) is not None:
            wire, worker, process = one
            if not to_worker:
                process.receive(wire, wire.to_leader.popleft())
            elif worker.alive and not worker.frozen:
                worker.hear(wire.to_worker.popleft())
        self.work()

    # What becomes of the operator

    @rule()
    def depose(self) -> None:
        """It is cut off from the apiserver alone, and another leads."""
        self.disturb()
        before = self.running
        assert isinstance(before, PoolProcess)
        before.fenced, before.session.dead = True, True
        self.deposed.append(before)
        self.network.calls.clear()
        self.network.held = False
        self.process = self.begin_process()
        self.work()

    def begin_process(self) -> OperatorProcess:
        self.disturb()
        live = {p.uid for p in self.cluster.live_processes()}
        self.cluster.unknown |= {uid for uid in live if self.cluster.by_uid("taskruns", uid) is None}
        return PoolProcess(self.cluster, self.network, self.clocks, self.next_replica(), idents=self.idents)

    def end_process(self) -> None:
        for process in self.deposed:
            process.kill()
        self.deposed.clear()
        super().end_process()

    # How it goes on

    def others_work(self) -> bool:
        if self.lagging or self.network.faults or self.network.creation_faults or self.network.held:
            self.disturb()
        if self.running.fenced:
            self.disturb()
        version = self.cluster.version
        moved = self.cluster.keep_workers()
        if "reports" not in self.lagging:
            due = [w for w in self.unreported if self.clock.now >= w.started]
            self.unreported = [w for w in self.unreported if w not in due]
            for worker in due:
                self.cluster.report(worker)
        for worker in list(self.live_workers()):
            moved |= worker.work()
            wire = worker.connect()
            if wire is not None:
                leader = self.running
                assert isinstance(leader, PoolProcess)
                leader.connect(wire)
                self.wires.append((wire, worker, leader))
                moved = True
        for wire, worker, process in self.wires:
            moved |= self.move(wire, worker, process)
        self.wires = [w for w in self.wires if not w[0].is_over]
        for process in self.deposed:
            process.run()
        self.running.run()
        return moved or version != self.cluster.version

    def move(self, wire: Wire, worker: ModelWorker, process: PoolProcess) -> bool:
        """Lines come to their ends, and so does the news that the other end is closed."""
        moved = False
        lags = "lines" in self.lagging
        while wire.to_worker and wire.worker_open and not worker.frozen and not lags:
            worker.hear(wire.to_worker.popleft())
            moved = True
        if not wire.leader_open and wire.worker_open and not wire.to_worker and not worker.frozen:
            worker.disconnect()
            moved = True
        while wire.to_leader and wire.leader_open and not lags:
            process.receive(wire, wire.to_leader.popleft())
            moved = True
        if not wire.worker_open and wire.leader_open and not wire.to_leader:
            process.lose(wire)
            moved = True
        return moved

    @property
    def wakes_at(self) -> float | None:
        processes = [self.running, *self.deposed]
        found = [p.wakes_at for p in processes] + [w.wakes_at for w in self.live_workers()]
        found += [w.started for w in self.unreported if w.started > self.clock.now]
        return min((at for at in found if at is not None), default=None)

    def drain(self, worker: ModelWorker) -> None:
        """Its pod is deleted: it takes no more, and goes once it is removed."""
        worker.drain()
        pod = self.cluster.by_uid("workers", worker.pod["metadata"]["uid"])
        if pod is not None and "deletionTimestamp" not in pod["metadata"]:
            pod["metadata"]["deletionTimestamp"] = self.cluster.time_text()
            self.cluster.put("workers", pod)

    def disturb(self) -> None:
        """What goes on now costs its runs other writes than is usual."""
        self.cluster.disturbed.update(run["metadata"]["uid"] for run in self.cluster.all("taskruns"))

    def change(self, index: int, **spec: bool) -> None:
        self.disturb()
        super().change(index, **spec)

    def live_workers(self) -> list[ModelWorker]:
        return [w for w in self.cluster.workers if w.alive]

    def processes(self) -> list[tuple[ModelWorker, Process]]:
        return [(w, p) for w in self.live_workers() for p in w.running]

    def create_run(self, max_attempts: int, **spec: object) -> None:
        name = f"run-{len(self.cluster.finished) + len(self.cluster.objects['taskruns'])}"
        retry = {"maxAttempts": max_attempts, "initialDelaySeconds": 2}
        run = a_run(name).task_ref(TASK).spec(queue=QUEUE, dependencyTimeoutSeconds=100, retry=retry, **spec)
        if (NAMESPACE, name) not in self.cluster.objects["taskruns"]:
            self.cluster.create_run(run.built)

    # What must hold

    def check_now(self) -> None:
        super().check_now()
        uids = [p.uid for p in self.cluster.live_processes()]
        assert len(uids) == len(set(uids)), "two processes of one run live"
        for uid in uids:
            assert len(self.cluster.live_pods(uid)) == 1, "a process and a pod of one run live"

    def recover(self) -> None:
        for process in self.deposed:
            process.kill()
        self.deposed.clear()
        self.lagging = set()
        for worker in self.live_workers():
            worker.frozen, worker.away, worker.slots, worker.refuses, worker.slow = False, False, SLOTS, False, False
            worker.disconnect()
        self.make_pool()
        self.pass_time(LEADER_SECONDS)
        super().recover()

    def end_what_runs(self) -> None:
        super().end_what_runs()
        for worker, process in self.processes():
            worker.end(process, code=0)
        for worker in [w for w in self.live_workers() if w.draining and not w.processes]:
            worker.die()
            pod = self.cluster.by_uid("workers", worker.pod["metadata"]["uid"])
            assert pod is not None
            self.cluster.remove("workers", pod)

    def check_ends(self) -> None:
        super().check_ends()
        problems = [p for run in self.cluster.all("taskruns") for p in problems_of_processes(self.cluster, run)]
        problems += leftovers_in_workers(self.cluster) + leftovers(self.cluster)
        busy = self.running.cache.admission.pools.count((NAMESPACE, POOL)).busy
        problems += [f"{busy} slots of the pool are held"] if busy else []
        assert not problems, problems


def _spec(*, pooled: bool) -> Json:
    where: Json = {"pool": POOL, "entrypoint": "work:run"} if pooled else {"image": "busybox", "command": ["true"]}
    return {**where, "timeoutSeconds": 50}
