"""A project may keep so many bytes and no more, however many write at once, and harms no other project by it."""

import random
import threading
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.archive import recounted_just_now
from support.kubelet import Kubelet
from support.pods import Pod
from support.servers import wait_until
from support.web import Parts, Stack, finish, make_quarantine, until
from tidegate_api.job_names import job_name
from tidegate_web.mirror.logs.writer import BATCH, BATCH_BYTES, LogCutError, LogWriter
from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.store.queries.logs import Chunk, End, Place

BOUND = 200_000


def noise(size: int, *, seed: int = 1) -> bytes:
    """Lines that no compression makes much smaller than half."""
    made = random.Random(seed)  # noqa: S311 - the same each time
    lines = "".join(f"{made.randbytes(40).hex()}\n" for _ in range(size // 81))
    return lines.encode()


def document(size: int, *, seed: int = 1) -> bytes:
    """A JSON string that takes about so many bytes in the archive."""
    return b'"' + noise(2 * size, seed=seed).replace(b"\n", b" ") + b'"'


def used(parts: Parts, project: str) -> int:
    """Bytes, as they are counted."""
    return int(
        parts.rows("SELECT coalesce(sum(bytes), 0) AS n FROM project_bytes WHERE project = :project", project=project)[
            0
        ].n
    )


def stored(parts: Parts, project: str) -> int:
    """Bytes of logs and results in Postgres itself, without their rows' own."""
    wanted = "SELECT coalesce(sum(octet_length(data)), 0) AS n FROM {} JOIN run_keys ON uid = run_uid WHERE project = :project"
    return sum(int(parts.rows(wanted.format(table), project=project)[0].n) for table in ("log_chunks", "results"))


@pytest.fixture
def kubelet(stack: Stack, tmp_path: Path) -> Iterator[Kubelet]:
    with Kubelet(stack.runs.kube, name=f"node-{stack.project}", folder=tmp_path / "pki") as made:
        yield made


@pytest.fixture
def other(stack: Stack) -> Stack:
    """Another project of the same installation."""
    return replace(stack, project=f"{stack.project}-other")


def start(stack: Stack, kubelet: Kubelet, name: str) -> str:
    """A run with a pod that runs; the pod's name."""
    run = stack.runs.create(name)
    uid = run["metadata"]["uid"]
    pod = f"{job_name(name, uid, 1)}-pod"
    stack.runs.pod(pod, owner=stack.runs.job(run), run_uid=uid, node=kubelet.name)
    stack.runs.pod_state(pod)
    return pod


def marks(parts: Parts) -> dict[str, tuple[str, str | None]]:
    """How logs have ended, by run."""
    rows = parts.rows("SELECT name, mark, reason FROM log_ends JOIN run_keys ON uid = run_uid")
    return {row.name: (row.mark, row.reason) for row in rows}


def log_of(parts: Parts, run: str) -> str:
    return str(parts.sign_in().get(f"runs/{run}/logs", headers={"Accept": "text/plain"}).text)


def test_logs_that_fill_the_bound_are_cut_and_say_so_and_another_projects_are_not(
    stack: Stack, other: Stack, parts: Parts, kubelet: Kubelet
) -> None:
    recounted_just_now(parts.engine)
    stack.mirror(project_bytes=BOUND, namespaces=[stack.project, other.project])
    pods = [start(stack, kubelet, name) for name in ("greedy", "second")]
    neighbour = start(other, kubelet, "neighbour")
    said = noise(600_000)
    for pod in pods:
        kubelet.log(pod).write(said)
    wait_until(lambda: {"greedy", "second"} <= marks(parts).keys(), what="the end marks")
    why = f"The archive keeps at most {BOUND} bytes for a project, and this one has used them."
    assert marks(parts) == {"greedy": ("truncated", why), "second": ("truncated", why)}
    # Both end with a mark, which is all that there is beyond the bound.
    assert BOUND // 2 < used(parts, stack.project) <= BOUND + 2 * 1000
    assert stored(parts, stack.project) < used(parts, stack.project)
    shown, _, mark = log_of(parts, "greedy").partition("\n[Tidegate: ")
    assert said.decode().startswith(shown)
    assert mark == f"the log is cut here, the archive keeps at most {BOUND} bytes for this project]\n"
    # What comes later is cut at once; the run itself goes on to its end.
    kubelet.log(pods[0]).write(b"more\n", close=True)
    late = start(stack, kubelet, "late")
    kubelet.log(late).write(said, close=True)
    stack.runs.pod_state(late, exit_code=0)
    wait_until(lambda: "late" in marks(parts), what="the third end mark")
    assert marks(parts)["late"] == ("truncated", why)
    finish(stack, "late")
    until(parts, "late", lambda row: row.phase == "Succeeded")
    assert "more\n" not in log_of(parts, "greedy")
    assert used(parts, stack.project) <= BOUND + 3 * 1000
    kubelet.log(neighbour).write(b"one\ntwo\n", close=True)
    other.runs.pod_state(neighbour, exit_code=0)
    wait_until(lambda: marks(parts).get("neighbour") == ("complete", None), what="the other project's log")


def test_what_was_handed_over_behind_the_cut_is_not_stored(stack: Stack, parts: Parts) -> None:
    ends: list[str] = []
    stop = threading.Event()
    writer = LogWriter(
        engine=parts.engine,
        redis=parts.services.redis,
        quarantine=make_quarantine(),
        bound=ArchiveBound(most=20_000),
        again=ends.append,
        ended=lambda _: None,
        stop=stop,
        room=5 * BATCH,
    )
    where: Any = {"run_uid": str(uuid.uuid4()), "project": "p", "attempt": 1, "pod_uid": "pod", "pod_name": "pod"}
    at = datetime.now(UTC)
    piece = 2048
    for number in range(3 * BATCH):
        chunk = Chunk(
            **where,
            run_created=at,
            data=noise(piece, seed=number)[:piece].ljust(piece),
            place=Place(position=(number + 1) * piece),
        )
        assert writer.put(chunk)
    assert writer.put(End(**where, mark="complete"))
    other = where | {"pod_uid": "other", "project": "q"}
    assert writer.put(End(**other, mark="complete"))
    writer.start()
    wait_until(lambda: len(parts.rows("SELECT * FROM log_ends")) == 2, what="both ends")
    with pytest.raises(LogCutError):
        writer.put(End(**where, mark="complete"))
    stop.set()
    writer.join()
    assert {row.pod_uid: row.mark for row in parts.rows("SELECT * FROM log_ends")} == {
        "pod": "truncated",
        "other": "complete",
    }
    chunks = parts.rows("SELECT data FROM log_chunks ORDER BY position")
    texts = [zlib.decompress(row.data) for row in chunks]
    assert [text.startswith(b"\n[Tidegate: ") for text in texts] == [False] * (len(texts) - 1) + [True]


def test_what_has_no_room_is_refused_with_the_bound_and_what_takes_no_more_is_kept(stack: Stack, other: Stack) -> None:
    parts = stack.parts("web", project_bytes=BOUND)
    pod = Pod(stack, parts)
    assert pod.send("checkpoint", document(60_000)).status_code == 204
    assert pod.send("result", document(100_000)).status_code == 200
    before = used(parts, stack.project)
    late = Pod(stack, parts, "late")
    for what, data in (
        ("result", document(100_000, seed=2)),
        ("checkpoint", document(100_000, seed=2)),
    ):
        answer: Any = late.send(what, data)
        assert answer.status_code == 413
        assert answer.content_type == "application/problem+json"
        assert answer.json["detail"] == (
            f"The {what} doesn't fit: the archive keeps at most {BOUND} bytes for the project {stack.project}, and {before} are used."
        )
    big = {"set": {"big": "x" * 60_000}}
    assert late.call("POST", "metadata", json=big).status_code == 413
    assert used(parts, stack.project) == before
    assert parts.rows("SELECT * FROM results WHERE run_uid = :uid", uid=late.uid) == []
    assert parts.rows("SELECT * FROM run_metadata WHERE run_uid = :uid", uid=late.uid) == []
    # In the place of what is there, and small enough.
    assert pod.send("result", document(100_000, seed=3)).status_code == 200
    assert pod.send("checkpoint", b"1").status_code == 204
    assert used(parts, stack.project) < before
    assert Pod(other, parts, "works").send("result", document(100_000)).status_code == 200


def test_two_processes_and_a_mirror_that_write_at_once_stay_within_the_bound(
    stack: Stack, parts: Parts, kubelet: Kubelet, tmp_path: Path
) -> None:
    bound = 40 * 100_000
    pods = [Pod(stack, parts, f"works-{number}") for number in range(64)]
    data = [document(100_000, seed=number) for number in range(8)]
    recounted_just_now(parts.engine)
    stack.mirror(project_bytes=bound)
    chatty = start(stack, kubelet, "chatty")
    with ExitStack() as running:
        processes = [
            running.enter_context(
                stack.process(
                    "serve", actor="web", log=tmp_path / f"web-{number}.log", project_bytes=bound, threads=16,
                    namespaces=[stack.project],
                )
            )
            for number in range(2)
        ]  # fmt: skip
        web = running.enter_context(urllib3.PoolManager(maxsize=64))

        def send(number: int) -> int:
            port, pod = processes[number % 2].internal_port, pods[number]
            headers = {"Authorization": f"Bearer {pod.token}", "Content-Type": "application/json"}
            address = f"http://127.0.0.1:{port}/internal/v1/runs/{pod.uid}/result"
            return web.request("PUT", address, body=data[number % 8], headers=headers, retries=False).status

        kubelet.log(chatty).write(noise(400_000), close=True)
        with ThreadPoolExecutor(max_workers=32) as pool:
            statuses = list(pool.map(send, range(len(pods))))
    stack.runs.pod_state(chatty, exit_code=0)
    wait_until(lambda: "chatty" in marks(parts), what="the end of the log")
    assert set(statuses) == {200, 413}
    log = int(parts.rows("SELECT sum(octet_length(data) + 400) AS n FROM log_chunks")[0].n)
    results = int(parts.rows("SELECT sum(octet_length(data) + 400) AS n FROM results")[0].n)
    assert used(parts, stack.project) == log + results
    # Results take turns; a log that is being written just then passes the bound by what is in one transaction.
    assert 35 * 100_000 < results + log <= bound + min(log, BATCH_BYTES)
    assert results <= bound


def test_a_run_that_is_archived_beyond_the_bound_leaves_its_large_fields_behind(stack: Stack, parts: Parts) -> None:
    recounted_just_now(parts.engine)
    stack.mirror(project_bytes=20_000)
    task = {"image": "busybox"}
    assert Pod(stack, parts, "before").send("result", document(18_000)).status_code == 200
    before = used(parts, stack.project)
    for name in ("large", "small"):
        payload = {"x": noise(20_000).decode()} if name == "large" else {"x": 1}
        stack.runs.create(name, task=task, payload=payload)
        finish(stack, name)
    until(parts, "large", lambda row: row.phase == "Succeeded" and len(row.spec["payload"]["x"]) > 10_000)
    for name in ("large", "small"):
        stack.runs.delete(name)
        until(parts, name, lambda row: row.deleted_at is not None)
    found = until(parts, "large", lambda row: True)
    marker = "the archive keeps at most 20000 bytes for a project, and this one has used them"
    assert found.spec["payload"] == {"tidegate.dev/not-stored": marker}
    assert found.spec["task"]["image"] == "busybox"
    assert (found.phase, found.status["phase"]) == ("Succeeded", "Succeeded")
    assert until(parts, "small", lambda row: True).spec["payload"] == {"x": 1}
    me = parts.sign_in()
    answer: Any = me.post("runs/large:replay", {})
    assert answer.status_code == 422
    assert marker in answer.text
    assert me.get(f"/projects/{stack.project}/runs/large").status_code == 200
    assert before + 2 * 2000 < used(parts, stack.project) < before + 2 * 4000
