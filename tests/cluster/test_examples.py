"""Each example does what its page says, applied as its reader would and disturbed as life does."""

import itertools
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster import SECONDS, ClusterRuns
from support.outside import EXAMPLES
from support.servers import wait_until
from support.terminal import run_script, shell
from tidegate_demo.kubectl import Kubectl

CHECKOUT = EXAMPLES.parent
Json = dict[str, Any]


class Outside:
    """The bucket, the shop and the warehouse of the examples, and what is in them."""

    def __init__(self, runs: ClusterRuns) -> None:
        self._runs = runs

    def ask(self, path: str) -> Any:
        """What an address of the stand-in answers, by way of the apiserver."""
        service = f"/api/v1/namespaces/{self._runs.namespace}/services/outside:80/proxy"
        return json.loads(self._runs.kube.raw(f"{service}/{path}"))

    def sql(self, statement: str) -> list[list[str]]:
        """The rows that a statement gives in the warehouse."""
        psql = ("psql", "--username=postgres", "--tuples-only", "--no-align", "--quiet", f"--command={statement}")
        reported = self._runs.kubectl("exec", "deployment/warehouse", "--", *psql)
        return [line.split("|") for line in reported.splitlines()]


@pytest.fixture(scope="module")
def outside(runs: ClusterRuns) -> Iterator[Outside]:
    folder = str(EXAMPLES / "outside")
    runs.kubectl("apply", "-f", folder)
    for name in ("outside", "warehouse"):
        runs.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={SECONDS:.0f}s")
    yield Outside(runs)
    runs.kubectl("delete", "-f", folder, "--wait=false")


@pytest.fixture
def terminal(runs: ClusterRuns, kubectl: Kubectl, tmp_path: Path) -> dict[str, str]:
    return shell(kubectl, namespace=runs.namespace, folder=tmp_path)


def apply(runs: ClusterRuns, folder: str) -> None:
    """`kubectl apply -f` of an example."""
    runs.kubectl("apply", "-f", str(EXAMPLES / folder))


def in_batch(runs: ClusterRuns, batch: str) -> list[Json]:
    """The runs of a batch."""
    return [run for run in runs.listed("taskruns.tidegate.dev") if run["spec"].get("batch") == batch]


def of_schedule(runs: ClusterRuns, schedule: str) -> list[Json]:
    """The runs of a schedule."""
    return runs.listed("taskruns.tidegate.dev", f"tidegate.dev/schedule={schedule}")


def test_thumbnails_are_made_three_at_a_time_and_joined_when_all_are_there(runs: ClusterRuns, outside: Outside) -> None:
    apply(runs, "thumbnails")
    made = runs.wait("summer", "Succeeded")["result"]
    at_once = []

    def joined() -> bool:
        pods = runs.listed("pods", "tidegate.dev/queue=thumbnails")
        at_once.append(sum(pod["status"]["phase"] in {"Pending", "Running"} for pod in pods))
        return bool(runs.get(made["sheet"])["status"]["phase"] == "Succeeded")

    wait_until(joined, seconds=3 * SECONDS, what="the contact sheet")  # three rounds of pods
    assert 2 <= max(at_once) <= 3
    assert runs.get(made["sheet"])["status"]["result"] == {"file": "thumbnails/sheet.jpg", "size": [480, 360]}
    children = [runs.get(name) for name in made["thumbnails"]]
    assert {child["spec"]["parentRun"] for child in children} == {"summer"}
    assert {child["status"]["phase"] for child in children} == {"Succeeded"}
    begun = runs.get(made["sheet"])["status"]["startedAt"]
    assert all(child["status"]["finishedAt"] <= begun for child in children)
    assert len(outside.ask("files?prefix=thumbnails/")) == 9


def test_orders_are_copied_on_from_the_checkpoint_after_a_kill(runs: ClusterRuns, outside: Outside) -> None:
    apply(runs, "etl")
    wait_until(lambda: "orders 5" in outside.ask("asked"), seconds=SECONDS, what="the fifth page")
    (pod,) = runs.pods("copy-all-orders")
    runs.kube.delete("pods", pod["metadata"]["name"], grace=1)
    status = runs.wait("copy-all-orders", "Succeeded")
    assert [attempt.get("reason") for attempt in status["attempts"]] == ["PodDeleted", None], status["attempts"]
    assert status["result"]["started_at_page"] >= 5
    asked = {what: times for what, times in outside.ask("asked").items() if what.startswith("orders ")}
    assert (len(asked), asked["orders 1"]) == (30, 1)
    assert sum(asked.values()) <= 31  # at most the page that it was at
    assert outside.sql("SELECT count(*), min(number), max(number) FROM orders WHERE number < 600") == [
        ["600", "0", "599"]
    ]


def test_a_report_is_written_at_the_tick_of_its_schedule(runs: ClusterRuns, outside: Outside) -> None:
    outside.sql(
        "CREATE TABLE IF NOT EXISTS orders (number bigint PRIMARY KEY, day date NOT NULL, cents bigint NOT NULL)"
    )
    outside.sql("""
        INSERT INTO orders SELECT 1000000 + row_number() OVER (), day, 150
        FROM generate_series(current_date - 3, current_date + 1, '1 day') AS day, generate_series(1, 2)
    """)
    runs.kubectl("apply", "-f", str(EXAMPLES / "report/tasks.yaml"))
    schedule = yaml.safe_load((EXAMPLES / "report/report.yaml").read_text())
    schedule["spec"]["cron"] = "* * * * *"  # no night is waited for
    runs.kube.apply(schedule)
    try:
        wait_until(lambda: bool(of_schedule(runs, "nightly-report")), seconds=SECONDS, what="a tick")
    finally:
        runs.kube.delete("schedules.tidegate.dev", "nightly-report")
    (ticked, *_) = of_schedule(runs, "nightly-report")
    result = runs.wait(ticked["metadata"]["name"], "Succeeded")["result"]
    assert (result["orders"], result["cents"]) == (2, 300)
    assert [result["day"], "2", "300"] in outside.sql("SELECT day, orders, cents FROM reports")


def test_a_site_is_crawled_once_a_page_no_faster_than_the_queue_says(
    runs: ClusterRuns, outside: Outside, terminal: dict[str, str]
) -> None:
    apply(runs, "crawler")
    (command,) = re.findall(r"^# +(tidegate run .*)$", (EXAMPLES / "crawler/crawler.yaml").read_text(), re.MULTILINE)
    crawl = f"crawl-{time.time_ns()}"  # keys are remembered for longer than a cluster may be kept
    done = run_script(command.replace("monday", crawl), environment=terminal, folder=CHECKOUT)
    assert done.returncode == 0, done.stdout

    def crawled() -> bool:
        found = in_batch(runs, crawl)
        return len(found) == 7 and all(run["status"]["phase"] == "Succeeded" for run in found)

    wait_until(crawled, seconds=SECONDS, what="seven pages")
    asked = {what: times for what, times in outside.ask("asked").items() if what.startswith("page ")}
    # Once an attempt. Each has one, but for those that the machine was too slow for.
    attempts = {f"page {r['spec']['payload']['page']}": len(r["status"]["attempts"]) for r in in_batch(runs, crawl)}
    assert attempts.keys() == {f"page {name}" for name in ("home", "shoes", "hats", "boots", "sandals", "caps", "sale")}
    assert asked.keys() == attempts.keys()
    assert all(asked[page] <= attempts[page] for page in attempts), (asked, attempts)
    assert asked["page sale"] == 2
    assert len(outside.ask(f"files?prefix=crawls/{crawl}/")) == 7

    (sale,) = [run for run in in_batch(runs, crawl) if run["spec"]["payload"]["page"] == "sale"]
    refused, served = sale["status"]["attempts"]
    assert (refused["exitCode"], refused["message"]) == (65, "the site asks for patience")
    assert (at(served["startedAt"]) - at(refused["finishedAt"])) >= 2  # 3 s, less what times are rounded by

    firsts = sorted(
        at(job["metadata"]["creationTimestamp"])
        for job in runs.listed("jobs", "tidegate.dev/queue=shop,tidegate.dev/attempt=1")
    )
    for (i, one), (j, other) in itertools.combinations(enumerate(firsts), 2):
        assert j - i + 1 <= 2 + 2 * (other - one + 1), firsts


def steps() -> list[str]:
    """The shell of the pipeline's steps."""
    jobs = yaml.safe_load((EXAMPLES / "pipeline/deploy.yml").read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("step", steps(), ids=("kubectl", "tidegate"))
def test_a_pipeline_goes_on_after_a_migration(terminal: dict[str, str], outside: Outside, step: str) -> None:
    done = run_script(step, environment=terminal, folder=CHECKOUT)
    assert done.returncode == 0, done.stdout
    assert "Succeeded" in done.stdout
    columns = outside.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'orders'")
    assert ["currency"] in columns


@pytest.mark.parametrize("step", steps(), ids=("kubectl", "tidegate"))
def test_a_pipeline_ends_when_its_migration_fails(
    terminal: dict[str, str], outside: Outside, tmp_path: Path, step: str
) -> None:
    folder = tmp_path / "examples/pipeline"
    folder.mkdir(parents=True)
    written = (EXAMPLES / "pipeline/migrate.yaml").read_text()
    (folder / "migrate.yaml").write_text(written.replace("ADD COLUMN", "ADD COLUM").replace("Seconds: 5", "Seconds: 1"))
    done = run_script(step, environment=terminal, folder=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "syntax error" in done.stdout


def test_a_change_waits_for_its_approval(runs: ClusterRuns) -> None:
    apply(runs, "approval")
    assert runs.wait("prices-plan", "Succeeded")["result"] == {"boots": {"from": 9900, "to": 8900}}
    runs.wait("prices-change", "Pending", reason="Suspended")
    assert runs.jobs("prices-change") == []
    runs.kube.patch("taskruns.tidegate.dev", "prices-change", {"spec": {"suspend": False}})
    changed = runs.wait("prices-change", "Succeeded")
    assert changed["result"] == {"changed": 1}
    assert runs.wait("prices-announce", "Succeeded")["startedAt"] >= changed["finishedAt"]


def test_a_change_that_is_refused_is_not_announced(runs: ClusterRuns) -> None:
    written = (EXAMPLES / "approval/approval.yaml").read_text().replace("name: prices-", "name: refused-")
    runs.kubectl("apply", "-f", "-", stdin=written)
    runs.wait("refused-change", "Pending", reason="Suspended")
    runs.kube.patch("taskruns.tidegate.dev", "refused-change", {"spec": {"cancel": True}})
    runs.wait("refused-change", "Cancelled")
    runs.wait("refused-announce", "Skipped", reason="DependencyFailed")
    assert runs.jobs("refused-change") == []


def at(time: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(time).timestamp()
