"""Hundreds of runs in limited queues, while the operator is killed again and again: nothing is lost, doubled or let in too early."""

import json
import random
import ssl
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

from support.builders import a_queue, a_run
from support.kube import Kube
from support.operator import OperatorProcess, Runs
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

Json = dict[str, Any]
RUNS = 300
KILLS = 10
NAMESPACE = "chaos"
LIMITS: dict[str, Json] = {
    "wide": {"concurrencyLimit": 8},
    "keyed": {"concurrencyLimit": 6, "concurrencyLimitPerKey": 2},
    "narrow": {"concurrencyLimit": 4},
}


class Witness:
    """Follows every pod of the namespace, in the order in which things happened, and notes what must never be."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._alive: dict[str, tuple[str, str, str]] = {}
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.ended = 0
        """Pods that have ended."""
        self.violations: list[str] = []
        self.most: Counter[str] = Counter()
        """The largest number of pods at once, by queue."""

    def __enter__(self) -> Self:
        self._answer = self._watch("0")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The stream stays open until its control plane ends; it is not waited for."""

    def _watch(self, version: str) -> Any:
        context = ssl.create_default_context(cafile=str(self._plane.ca_file))
        url = f"{self._plane.url}/api/v1/namespaces/{NAMESPACE}/pods?watch=1&resourceVersion={version}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._plane.token()}"})  # noqa: S310
        return urllib.request.urlopen(request, context=context)  # noqa: S310

    def _follow(self) -> None:
        version = "0"
        # An apiserver ends the watch of a reader that a busy machine has made too slow.
        with suppress(OSError):  # the control plane has ended
            while True:
                with suppress(HTTPException):
                    for line in self._answer:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            self.violations.append(f"the witness saw no more: {event['object'].get('message')}")
                            return
                        version = event["object"]["metadata"]["resourceVersion"]
                        self._note(event["type"], event["object"])
                self._answer = self._watch(version)

    def _note(self, kind: str, pod: Json) -> None:
        uid, labels = pod["metadata"]["uid"], pod["metadata"]["labels"]
        if kind == "DELETED" or pod["status"]["phase"] in ("Succeeded", "Failed"):
            self.ended += self._alive.pop(uid, None) is not None
            return
        key = pod["metadata"].get("annotations", {}).get("tidegate.dev/concurrency-key", "")
        self._alive[uid] = (labels["tidegate.dev/queue"], key, labels["tidegate.dev/run"])
        queues = Counter(queue for queue, _, _ in self._alive.values())
        keys = Counter((queue, key) for queue, key, _ in self._alive.values())
        runs = Counter(run for _, _, run in self._alive.values())
        self.most |= queues
        self.violations += [f"{n} pods in {q}" for q, n in queues.items() if n > LIMITS[q]["concurrencyLimit"]]
        self.violations += [
            f"{n} pods of key {k} in {q}"
            for (q, k), n in keys.items()
            if n > LIMITS[q].get("concurrencyLimitPerKey", RUNS)
        ]
        self.violations += [f"{n} pods of {run}" for run, n in runs.items() if n > 1]


def manifest(number: int, chance: random.Random) -> Json:
    """A run: one in ten fails, twice and for good."""
    run = a_run(f"chaos-{number:03}").namespace(NAMESPACE)
    if number % 10 == 0:
        run.pod(exit_code="1").task(retry={"maxAttempts": 2, "initialDelaySeconds": 1})
    spec = {"queue": chance.choice(list(LIMITS)), "priority": chance.randint(-5, 5)}
    return run.spec(**spec, concurrencyKey=chance.choice("abcdef")).built


def test_an_operator_killed_again_and_again_loses_doubles_and_oversteps_nothing(
    plane: ControlPlane, runs: Runs, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311 - no secret
    kube = runs.kube.create_namespace(NAMESPACE)
    for name, limits in LIMITS.items():
        queue = a_queue(name, **limits)
        queue["metadata"]["namespace"] = NAMESPACE
        runs.create(queue)
    items = [manifest(number, chance) for number in range(RUNS)]
    # The lease names a pod, whose container is started again: it leads at once.
    operator = OperatorProcess(plane, log=tmp_path / "log", identity="chaos")
    # All are there before the first starts, so that there is always something to kill it in the middle of.
    kube.create_all(items)
    with Witness(plane) as witness, operator, told_when_it_fails(plane, operator):
        for point in sorted(chance.sample(range(RUNS // 10, RUNS), KILLS)):
            wait_until(partial(has_ended, witness, operator, point), what=f"pod {point} to end")
            operator.kill()
            operator.start()
        wait_until(lambda: unfinished(kube) == 0, what="all runs to end")
    assert witness.violations == []
    assert witness.most == {name: limits["concurrencyLimit"] for name, limits in LIMITS.items()}
    jobs = Counter(item["metadata"]["labels"]["tidegate.dev/run"] for item in kube.listed("jobs"))
    ended = kube.listed("taskruns.tidegate.dev")
    assert len(ended) == RUNS
    for run in ended:
        name, status = run["metadata"]["name"], run["status"]
        fails = int(name[-3:]) % 10 == 0
        assert (name, status["phase"]) == (name, "Failed" if fails else "Succeeded")
        assert [a["number"] for a in status["attempts"]] == list(range(1, jobs[name] + 1))
        assert (name, jobs[name]) == (name, 2 if fails else 1)
    assert witness.ended == sum(jobs.values())


@contextmanager
def told_when_it_fails(plane: ControlPlane, operator: OperatorProcess) -> Iterator[None]:
    """What there is to see where chance found something: it may not find it again."""
    try:
        yield
    except AssertionError:
        print(operator.log[-20_000:])
        print(plane.kubectl("get", "tgr,tgq,jobs,pods", "-n", NAMESPACE))
        raise


def has_ended(witness: Witness, operator: OperatorProcess, pods: int) -> bool:
    """Whether so many pods have ended. An operator that ends by itself is reported at once."""
    assert operator.exit_code is None, f"the operator ended with {operator.exit_code}: {operator.log[-5000:]}"
    assert witness.violations == []
    return witness.ended >= pods


def unfinished(kube: Kube) -> int:
    """Runs that go on."""
    live = "status.phase!=Succeeded,status.phase!=Failed"
    return len(kube.names("taskruns.tidegate.dev", fields=live))
