"""A Postgres that is killed, stands still in the middle of a statement, or has no room left."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.callers import SignedIn
from support.servers import Postgres, Redis, wait_until
from support.stacks import made_stack, make_template
from support.web import Parts, Process, Stack, until
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.store.engine import GRACE_SECONDS, REQUEST_STATEMENT_SECONDS

BODY = {"taskRef": {"name": "nightly"}}
ROOM_MIB = 160


def headers_of(me: SignedIn) -> dict[str, str]:
    return {"Cookie": me.cookie(), "X-CSRFToken": me.csrf}


def ask(process: Process, project: str, me: SignedIn, *, method: str = "GET", body: object = None) -> int:
    """The status of a request to the runs of the project."""
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            method,
            f"http://127.0.0.1:{process.port}/api/v1/projects/{project}/runs",
            headers=headers_of(me),
            json=body,
            retries=False,
            timeout=REQUEST_STATEMENT_SECONDS + GRACE_SECONDS + 30,
        )
        return int(answer.status)


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    """A server as in production: what it has answered is on disk."""
    with Postgres(durable=True) as server:
        yield server


@pytest.fixture
def stack(
    durable: Postgres, redis_server: Redis, plane: ControlPlane, numbers: Iterator[int], templates: dict[str, str]
) -> Iterator[Stack]:
    """The stack of this file, on that server."""
    durable.start()
    template = templates.setdefault("durable", "") or make_template(durable)
    templates["durable"] = template
    with made_stack(durable, redis_server, plane, template, next(numbers)) as made:
        yield made


@pytest.fixture(scope="module")
def templates() -> dict[str, str]:
    return {}


def test_what_was_answered_is_there_after_a_kill(stack: Stack, parts: Parts) -> None:
    me = parts.sign_in()
    for turn in range(3):
        answered = []
        for number in range(10):
            headers = {"Idempotency-Key": f"night-{turn}-{number}"}
            answer: Any = me.post("runs", BODY, headers=headers)
            assert answer.status_code == 201
            answered.append(answer.json["uid"])
        stack.postgres.kill()
        stack.postgres.start()
        stored = {row.uid for row in parts.rows("SELECT CAST(uid AS text) FROM runs")}
        assert set(answered) <= stored
        used = parts.rows("SELECT run_uid FROM idempotency_keys WHERE key LIKE :turn", turn=f"night-{turn}-%")
        assert {str(row.run_uid) for row in used} == set(answered)
        assert len(parts.rows("SELECT 1 FROM audit WHERE action = 'run.create'")) == 10 * (turn + 1)


def test_a_postgres_that_stands_still_holds_no_request_for_ever(stack: Stack, parts: Parts, tmp_path: Path) -> None:
    me = parts.sign_in()
    stack.runs.create("there")
    with stack.process("all", actor="web", log=tmp_path / "log") as web:
        assert ask(web, stack.project, me) == 200
        with stack.postgres.standing_still():
            # The first one finds out; the others are answered from what the cluster and Redis have.
            assert [ask(web, stack.project, me) for _ in range(3)] == [200, 200, 200]
            assert ask(web, stack.project, me, method="POST", body=BODY) == 201
        assert ask(web, stack.project, me) == 200
        found = parts.sign_in().get("runs").json
        assert found is not None


def test_a_mirror_over_a_postgres_that_stood_still_has_lost_nothing(stack: Stack, parts: Parts, tmp_path: Path) -> None:
    with stack.process("mirror", actor="mirror", log=tmp_path / "log", namespaces=[stack.project]):
        stack.runs.create("before")
        until(parts, "before", lambda found: True)
        with stack.postgres.standing_still():
            for number in range(5):
                stack.runs.create(f"meanwhile-{number}")
            stack.runs.delete("before")
        for number in range(5):
            until(parts, f"meanwhile-{number}", lambda found: True)
        until(parts, "before", lambda found: found.deleted_at is not None)


class SmallPostgres(Postgres):
    """A server whose disk is small. It needs root, who may mount one."""

    def __init__(self, *, mib: int) -> None:
        super().__init__(durable=True)
        self._mib = mib

    def prepare(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self._mib}m", "tmpfs", self.folder], check=True)
        super().prepare()

    def __exit__(self, *error: Any) -> None:
        self.stop()
        subprocess.run(["umount", "--lazy", self.folder], check=False)
        super().__exit__(*error)

    @contextmanager
    def without_room(self) -> Iterator[None]:
        """Its disk is full."""
        ballast = self.folder / "ballast"
        with ballast.open("wb") as file:
            room = os.statvfs(self.folder)
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)
        try:
            yield
        finally:
            ballast.unlink()


def test_without_room_on_its_disk_runs_go_on_and_the_archive_follows_later(
    redis_server: Redis, plane: ControlPlane, numbers: Iterator[int], tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small disk needs root, who may mount one")
    with (
        SmallPostgres(mib=ROOM_MIB) as small,
        made_stack(small, redis_server, plane, make_template(small), next(numbers)) as stack,
    ):
        parts = stack.parts("web")
        me = parts.sign_in()
        payload = {"taskRef": {"name": "nightly"}, "payload": {"text": os.urandom(30_000).hex()}}
        with (
            stack.process("all", actor="web", log=tmp_path / "web.log") as web,
            stack.process("mirror", actor="mirror", log=tmp_path / "mirror.log", namespaces=[stack.project]) as mirror,
        ):
            assert ask(web, stack.project, me, method="POST", body=payload) == 201
            with small.without_room():
                said = "No space left on device"
                statuses: set[int] = set()

                def full() -> bool:
                    statuses.add(ask(web, stack.project, me, method="POST", body=payload))
                    return said in small.log.read_text(errors="replace")

                wait_until(full, what="the disk to be full")
                statuses |= {ask(web, stack.project, me, method="POST", body=payload) for _ in range(5)}
                assert statuses <= {201, 503}
                assert mirror.process.poll() is None
            wait_until(lambda: ask(web, stack.project, me) == 200, what="Postgres")
            names = stack.runs.kube.names("taskruns.tidegate.dev")
            wait_until(lambda: stored(parts) == set(names), what="all runs of the cluster in the archive")


def stored(parts: Parts) -> set[str]:
    return {row.name for row in parts.rows("SELECT name FROM runs")}
