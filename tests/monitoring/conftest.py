"""An installation of real parts, and a real Prometheus that scrapes it."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.builders import a_pool, a_queue, a_run, a_task
from support.monitoring import evaluated_at_once
from support.operator import OperatorProcess, OwnRuns
from support.pools import pooled_operator, with_secret
from support.prometheus import Prometheus
from support.proxy import FaultyProxy
from support.rights import granted_plane
from support.servers import Postgres, Redis, ensure_servers, free_port, wait_until
from support.stacks import made_stack, make_template
from support.web import Parts, Process, Stack, finish
from tidegate_cluster.control_plane import ControlPlane

AT_ONCE = {
    # A fault shows within seconds; the alerts' own limits are minutes.
    "TidegateMirrorLags": ("> 60", "> 1"),
    "TidegateOutboxGrows": ("> 120", "> 1"),
    "TidegateRunsWaitTooLong": ("> 3600", "> 2"),
    "TidegateOperatorWatchIsStale": ("> 300", "> 80"),
    "TidegateMirrorWatchIsStale": ("> 300", "> 80"),
    "TidegateOperatorFallsBehind": ("> 5", "> 1"),
    "TidegateDatabasePoolIsExhausted": ("[1m]", "[2s]"),
    "TidegateWebAnswersWithErrors": ("> 0.05", "> 0.02"),
}
"""What is put in place of an alert's own limit here. A watch says something each minute, so its limit is longer than that."""
LOOPBACK = ["127.0.0.0/8"]
BROKEN = """
from tidegate_operator.control import schedules

decide = schedules.decide
def break_if_odd(schedule, *arguments):
    if schedule.name == "odd":
        raise ArithmeticError("a fault on purpose")
    return decide(schedule, *arguments)
schedules.decide = break_if_odd
"""


@dataclass(kw_only=True)
class Installation:
    """All processes, with the Prometheus that scrapes them."""

    stack: Stack
    parts: Parts
    runs: OwnRuns
    operator: OperatorProcess
    web: Process
    proxy: FaultyProxy
    """The way of operator and mirror to the apiserver."""
    ports: dict[str, int]
    prometheus: Prometheus

    def ask(self, path: str) -> int:
        """A request of the web process; its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.web.port, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def fires(self, alert: str, *, seconds: float = 60, meanwhile: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Wait until an alert fires; its labels. ``meanwhile`` is called before each look."""

        def firing() -> bool:
            meanwhile()
            return bool(self.prometheus.firing(alert))

        wait_until(firing, seconds=seconds, what=alert)
        found = self.prometheus.firing(alert)[0]
        for text in found["annotations"].values():
            assert "<no value>" not in text, text
            assert "<error" not in text, text
        labels: dict[str, str] = found["labels"]
        return labels

    def is_quiet(self, alert: str, *, seconds: float = 60) -> None:
        """Wait until it doesn't fire any more."""
        wait_until(lambda: not self.prometheus.firing(alert), seconds=seconds, what=f"the end of {alert}")


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with granted_plane(pods="complete") as made:
        yield made


@pytest.fixture(scope="session")
def installation(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    ensure_servers()
    folder = tmp_path_factory.mktemp("installation")
    with ExitStack() as parts:
        postgres, redis = parts.enter_context(Postgres()), parts.enter_context(Redis())
        stack = parts.enter_context(made_stack(postgres, redis, plane, make_template(postgres), 1))
        yield parts.enter_context(started(stack, folder))


@contextmanager
def started(stack: Stack, folder: Path) -> Iterator[Installation]:
    """All processes."""
    with ExitStack() as parts:
        begin = parts.enter_context
        runs = OwnRuns(stack.plane, "team")
        with_secret(runs)
        log = folder / "operator.log"
        (folder / "proxy").mkdir()
        proxy = begin(FaultyProxy(stack.plane, folder=folder / "proxy"))
        operator = begin(
            pooled_operator(
                proxy, log=log, port=free_port(), identity="operator", broken=BROKEN, concurrent_actions="4"
            )
        ).wait_leading()
        web = begin(stack.process("serve", actor="web", log=folder / "web.log", database_pool_size=4))
        live = begin(stack.process("live", actor="web", log=folder / "live.log"))
        mirror = begin(
            stack.process(
                "mirror",
                actor="mirror",
                log=folder / "mirror.log",
                namespaces=[stack.project],
                webhook_allow=LOOPBACK,
                project_bytes=1_000_000,
                kubeconfig=proxy.kubeconfig("mirror"),
            )
        )
        ports = {"operator": operator.health_port, "web": web.probes, "live": live.probes, "mirror": mirror.probes}
        prometheus = begin(Prometheus(evaluated_at_once(AT_ONCE)))
        made = Installation(
            stack=stack,
            parts=stack.parts("web", webhook_allow=LOOPBACK),
            runs=runs,
            operator=operator,
            web=web,
            proxy=proxy,
            ports=ports,
            prometheus=prometheus,
        )
        _work(made)
        prometheus.scrape(ports)
        wait_until(lambda: len(prometheus.query("up == 1")) == len(ports), what="all to be scraped")
        yield made


def _work(made: Installation) -> None:
    """One success, one failure and one retry, a queue with limits, a pool, an archived run, a request."""
    runs = made.runs
    runs.create(a_queue("mail", concurrencyLimit=3, concurrencyLimitPerKey=2, rateLimit={"runs": 60, "perSeconds": 1}))
    runs.create(a_task("send", queue="mail"))
    runs.create(a_pool("idle", replicas=0))
    runs.create(a_run("good").task_ref("send").built)
    runs.create(a_run("bad").task_ref("send").pod(exit_code="1").retry(maxAttempts=1).built)
    runs.create(a_run("again").task_ref("send").pod(exit_code="1").retry(maxAttempts=2, initialDelaySeconds=0).built)
    for name, phase in (("good", "Succeeded"), ("bad", "Failed"), ("again", "Failed")):
        runs.wait(name, phase)
    made.stack.runs.create("archived")
    finish(made.stack, "archived", ttl=0)
    wait_until(
        lambda: bool(made.parts.rows("SELECT 1 FROM runs WHERE deleted_at IS NOT NULL")), what="the archived run"
    )
    assert made.ask("/login") == 200
