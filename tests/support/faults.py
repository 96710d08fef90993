"""What tests of faults do again and again."""

from typing import Any

from support.builders import RunBuilder, a_run
from support.operator import Runs
from support.servers import wait_until

QUICK_LEASE = {"lease_duration_seconds": "3", "lease_renew_deadline_seconds": "2", "lease_retry_seconds": "0.3"}


def held(name: str, **spec: Any) -> RunBuilder:
    """A run whose pod goes on until it is asked to end."""
    return a_run(name).pod(hold="1").spec(**spec)


def job_of(runs: Runs, name: str) -> str:
    """The name of the run's newest Job."""
    made: str = runs.jobs(name)[-1]["metadata"]["name"]
    return made


def end(runs: Runs, name: str, *, exit_code: int = 0) -> None:
    """Have the run's newest pod end."""
    job = job_of(runs, name)
    wait_until(lambda: bool(runs.listed("pods", f"job-name={job}")), what=f"the pod of {job}")
    runs.kube.annotate_all("pods", f"job-name={job}", {"fake.tidegate.dev/exit-code": str(exit_code)})


def started(runs: Runs, *names: str) -> list[str]:
    """Those of the runs that have a Job."""
    jobs = {j["metadata"]["labels"]["tidegate.dev/run"] for j in runs.listed("jobs", "tidegate.dev/run")}
    return [name for name in names if name in jobs]


def live_pods(runs: Runs, selector: str) -> list[str]:
    """Pods that have not ended."""
    return [
        p["metadata"]["name"] for p in runs.listed("pods", selector) if p["status"]["phase"] in ("Pending", "Running")
    ]


def reported(runs: Runs, queue: str, *, running: int, pending: int) -> None:
    """Until the Queue's status says so."""

    def seen() -> bool:
        status = runs.get(queue, kind="queues.tidegate.dev").get("status") or {}
        return (status.get("running"), status.get("pending")) == (running, pending)

    wait_until(seen, what=f"Queue {queue} to run {running} and hold {pending}")
