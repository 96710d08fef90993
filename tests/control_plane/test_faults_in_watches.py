"""Watches that break, go back in time or lie: on a real apiserver, through a proxy that breaks them."""

from collections.abc import Iterator

import pytest
from support.builders import a_queue, a_run, a_task
from support.faults import QUICK_LEASE, end, held
from support.operator import OperatorProcess, Runs
from support.proxy import FaultyProxy
from support.servers import wait_until

OWN_KINDS = ("taskruns", "tasks", "queues", "schedules")
RESTARTS = "tidegate_watch_restarts_total"


@pytest.fixture(scope="module")
def operator(way: FaultyProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator behind the proxy, whose sweeps come too late to help."""
    log = tmp_path_factory.mktemp("operator") / "log"
    with OperatorProcess(way, log=log, **QUICK_LEASE) as made:
        yield made.wait_leading()


@pytest.mark.parametrize("mid_line", [False, True], ids=["broken", "ended in the middle of an event"])
def test_watches_that_break_in_the_middle_of_runs_are_taken_up_again(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy, mid_line: bool
) -> None:
    pid, name = operator.pid, f"cut-{mid_line:d}"
    runs.create(held(name).built)
    runs.wait(name, "Running")
    for kind in (*OWN_KINDS, "pods"):
        proxy.cut_watches(kind, mid_line=mid_line)
    end(runs, name)
    runs.create(a_run(f"{name}-later").built)
    for each in (name, f"{name}-later"):
        runs.wait(each, "Succeeded")
        assert len(runs.jobs(each)) == 1
    assert (operator.pid, operator.exit_code) == (pid, None)


@pytest.mark.parametrize("kind", [*OWN_KINDS, "pods"])
def test_a_version_that_is_too_old_to_watch_from_causes_a_new_list(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy, kind: str
) -> None:
    name = f"gone-{kind}"
    runs.create(held(name).built)
    runs.wait(name, "Running")
    with proxy.on(method="GET", path=f"/{kind}$", watch=False) as lists:
        proxy.gone(kind)
        lists.wait_hits()
    proxy.wait_watched(kind)
    end(runs, name)
    runs.create(a_run(f"{name}-later").built)
    for each in (name, f"{name}-later"):
        runs.wait(each, "Succeeded")


def known_to_the_operator(runs: Runs, kind: str) -> None:
    """Until it shows that it has seen the object `ghost`: what it never knew, it can't forget."""
    if kind == "taskruns":
        runs.wait("ghost", "Pending", reason="Suspended")
    elif kind == "tasks":
        runs.create(a_run("ghosts-user").task_ref("ghost").built)
        runs.wait("ghosts-user", "Succeeded")
    else:
        wait_until(
            lambda: bool((runs.get("ghost", kind=f"{kind}.tidegate.dev").get("status") or {}).get("conditions")),
            what=f"{kind} ghost to be reported on",
        )


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_what_was_deleted_while_a_kind_was_listed_again_is_forgotten(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy, kind: str
) -> None:
    made = {
        "taskruns": a_run("ghost").spec(suspend=True).built,
        "tasks": a_task("ghost"),
        "queues": a_queue("ghost", concurrencyLimit=1),
        "schedules": {
            **a_queue("ghost", cron="0 0 1 1 *", template={"spec": {"taskRef": {"name": "x"}}}),
            "kind": "Schedule",
        },
    }[kind]
    runs.create(made)
    known_to_the_operator(runs, kind)
    proxy.wait_watched(kind)
    corrected = operator.metric(f'tidegate_sweep_corrections_total{{kind="{kind}"}}')
    proxy.swallow_events(kind)
    runs.kube.delete(f"{kind}.tidegate.dev", "ghost")
    wait_until(lambda: proxy.swallowed(kind) > 0, what="the event that is lost")
    proxy.deliver_events(kind)
    proxy.gone(kind)
    wait_until(
        lambda: operator.metric(f'tidegate_sweep_corrections_total{{kind="{kind}"}}') > corrected, what="its end"
    )


def test_an_error_in_the_stream_restarts_the_watches_in_the_same_process(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy
) -> None:
    pid, restarts = operator.pid, operator.metric(RESTARTS)
    runs.create(held("through-error").built)
    runs.wait("through-error", "Running")
    proxy.error_event("taskruns", code=500)
    wait_until(lambda: operator.metric(RESTARTS) > restarts, what="new watches")
    runs.create(a_run("after-error").built)
    runs.wait("after-error", "Succeeded")
    runs.patch_spec("through-error", cancel=True)
    runs.wait("through-error", "Cancelled")
    assert (operator.pid, operator.exit_code) == (pid, None)


def test_new_watches_neither_wait_for_nor_cancel_what_is_under_way(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy
) -> None:
    restarts = operator.metric(RESTARTS)
    with proxy.on(method="POST", path="/jobs$", body="under-way").forward_then_hold() as post:
        runs.create(a_run("under-way").built)
        post.wait_hits()
        proxy.error_event("taskruns", code=500)
        wait_until(lambda: operator.metric(RESTARTS) > restarts, what="new watches")
        post.release()
        runs.wait("under-way", "Succeeded")
        assert post.hits == 1


@pytest.mark.parametrize("code", [403, 404, 429, 500])
@pytest.mark.parametrize("watch", [False, True], ids=["list", "watch"])
def test_a_refusal_for_a_moment_ends_nothing(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy, code: int, watch: bool
) -> None:
    pid, name = operator.pid, f"refused-{code}-{watch:d}"
    proxy.wait_watched("taskruns")  # again, after the test before
    with (
        proxy.on(method="GET", path="/taskruns$", watch=watch)
        .answer(code, retry_after=1 if code == 429 else None)
        .times(2) as rule
    ):
        if watch:
            proxy.cut_watches("taskruns")
        else:
            proxy.gone("taskruns")
        rule.wait_hits(2)
        runs.create(a_run(name).built)
        runs.wait(name, "Succeeded")
    assert (operator.pid, operator.exit_code) == (pid, None)


def test_a_page_that_is_no_json_ends_nothing(runs: Runs, operator: OperatorProcess, proxy: FaultyProxy) -> None:
    pid = operator.pid
    for kind in ("pods", "taskruns"):
        proxy.wait_watched(kind)
    rules = [
        proxy.on(method="GET", path="/leases/").garble().times(1),
        proxy.on(method="GET", path="/pods$", watch=True).garble().times(1),
        proxy.on(method="GET", path="/taskruns$", watch=True).garble().times(1),
        proxy.on(method="GET", path="/tasks$", watch=False).garble().times(1),
    ]
    proxy.cut_watches("pods")
    proxy.cut_watches("taskruns")
    for rule in rules:
        rule.wait_done()
    runs.create(a_run("after-garble").built)
    runs.wait("after-garble", "Succeeded")
    assert (operator.pid, operator.exit_code) == (pid, None)
