"""The worker's talk with the leader: what it says of itself, what it keeps, and what it does when the connection breaks."""

import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers import wait_until
from support.worker import FakeLeader, PoolWorker, Session, Trust, result_of, start_message
from tidegate_cluster.pki import Authority

Start = Callable[..., tuple[PoolWorker, Session]]
MakeWorker = Callable[..., PoolWorker]

TASKS = """
import os, time
def quick(): return 1
def touch(path): open(path, "w").close()
def until(path):
    while not os.path.exists(path): time.sleep(0.01)
    return "done"
"""


def test_hello_says_who_it_is_and_the_same_after_a_reconnect(make_worker: MakeWorker, leader: FakeLeader) -> None:
    worker = make_worker()
    session = leader.accept()
    hello = session.welcome()
    assert {name: hello[name] for name in ("protocol", "token", "slots", "draining")} == {
        "protocol": 1,
        "token": "pod-token-1",
        "slots": 4,
        "draining": False,
    }
    assert (len(bytes.fromhex(hello["secret"])), len(bytes.fromhex(hello["instance"]))) == (16, 8)
    (worker.folder / "pod-token").write_text("pod-token-2")
    session.close()
    assert leader.accept().welcome() == {**hello, "token": "pod-token-2"}


def test_a_new_leader_gets_what_runs_what_ended_and_then_ready(start: Start, leader: FakeLeader) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:until", {"path": str(worker.folder / "go")}, handover="h1")
    session.receive_only("started")
    for handover in ("h2", "h3"):
        session.run("tasks:quick", handover=handover)
    session.send("written", handover="h2")
    session.send("ping")
    session.receive_only("pong")
    session.close()
    again = leader.accept()
    again.welcome()
    assert [(message["type"], message["handover"]) for message in again.greeting] == [("held", "h1"), ("ended", "h3")]
    assert again.greeting[0]["run"] == start_message("", {}, handover="h1")["run"]
    # What the old leader may not have heard.
    started = again.receive_only("started")
    assert (started["handover"], started["age"] > 0) == ("h1", True)
    (worker.folder / "go").touch()
    assert result_of(again.ended()) == "done"
    again.send("written", handover="h1")
    again.send("written", handover="h3")
    again.send("ping")
    again.receive_only("pong")
    again.close()
    third = leader.accept()
    third.welcome()
    assert third.greeting == []


def test_many_large_outcomes_reach_a_new_leader(start: Start, leader: FakeLeader) -> None:
    count = 60
    _, session = start(tasks="def large(): return 'x' * 131000\n", TIDEGATE_POOL_SLOTS=str(count // 2))
    for number in range(count):
        session.run("tasks:large", handover=f"h{number}")
    session.close()
    again = leader.accept()
    again.welcome()
    assert [message["handover"] for message in again.greeting] == [f"h{number}" for number in range(count)]
    assert {len(result_of(message)) for message in again.greeting} == {131000}


def test_a_run_that_ends_while_no_leader_is_there_is_reported_to_the_next(start: Start, leader: FakeLeader) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:until", {"path": str(worker.folder / "go")})
    session.receive_only("started")
    session.close()
    standby = leader.accept()
    standby.receive_only("hello")
    (worker.folder / "go").touch()
    wait_until(lambda: worker.end_of("h1") is not None, what="the run's end")
    standby.close()
    again = leader.accept()
    again.welcome()
    assert [(message["type"], result_of(message)) for message in again.greeting] == [("ended", "done")]


def test_a_hand_over_that_is_known_is_refused(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:until", {"path": str(worker.folder / "go")})
    session.receive_only("started")
    session.start("tasks:until", {"path": str(worker.folder / "go")})
    assert session.receive_only("refused") == {
        "type": "refused",
        "handover": "h1",
        "message": "this hand-over is known",
    }
    (worker.folder / "go").touch()
    session.ended()
    session.start("tasks:quick")
    assert session.receive_only("refused")["handover"] == "h1"


def test_more_runs_than_slots_and_more_outcomes_than_can_be_kept_are_refused(start: Start) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_POOL_SLOTS="1")
    session.start("tasks:until", {"path": str(worker.folder / "go")}, handover="h1")
    session.start("tasks:quick", handover="h2")
    kinds = {message["type"]: message for message in (session.receive(), session.receive())}
    assert (kinds["refused"]["handover"], kinds["refused"]["message"]) == ("h2", "no slot is free")
    (worker.folder / "go").touch()
    session.ended()
    session.run("tasks:quick", handover="h3")
    session.start("tasks:quick", handover="h4")
    assert session.receive_only("refused")["message"] == "too many outcomes are not written"
    session.send("written", handover="h1")
    assert session.run("tasks:quick", handover="h5")["handover"] == "h5"


def test_a_start_that_is_none_is_refused_and_the_connection_stays(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    for field, value in (("env", {"A": 1}), ("timeout", "soon"), ("entrypoint", ""), ("run", None), ("payload", [])):
        session.send("start", **{**start_message("tasks:quick", {}, handover="h1"), field: value})
        refused = session.receive_only("refused")
        assert refused["handover"] == "h1"
        assert field in refused["message"]
    assert result_of(session.run("tasks:quick")) == 1
    wait_until(lambda: not list(worker.runs.iterdir()), what="an empty directory of runs")


def test_unknown_types_and_fields_are_ignored(start: Start) -> None:
    _, session = start(tasks=TASKS)
    session.send("weather", rain=True)
    session.send("ping", more=1)
    session.receive_only("pong")


@pytest.mark.parametrize("garbage", [b"nonsense\n", b"[]\n", b'{"type": 1}\n', b"x" * (1024 * 1024 + 70_000)])
def test_what_is_no_message_ends_the_connection_and_another_is_made(
    start: Start, leader: FakeLeader, garbage: bytes
) -> None:
    _, session = start(tasks=TASKS)
    session.send_raw(garbage)
    assert session.is_closed()
    assert result_of(leader.welcome().run("tasks:quick")) == 1


@pytest.mark.parametrize("kind", ["stop", "written", "token", "start"])
def test_a_message_without_a_hand_over_that_names_a_directory_ends_the_connection(
    start: Start, leader: FakeLeader, kind: str
) -> None:
    worker, session = start(tasks=TASKS)
    session.send(kind, handover="../outside", why="x", token="x")
    assert session.is_closed()
    leader.welcome()
    assert not (worker.folder / "outside").exists()


def test_anything_before_the_welcome_ends_the_connection(make_worker: MakeWorker, leader: FakeLeader) -> None:
    worker = make_worker(tasks=TASKS)
    session = leader.accept()
    session.receive_only("hello")
    session.start("tasks:touch", {"path": str(worker.folder / "touched")})
    assert session.is_closed()
    leader.welcome()
    assert not (worker.folder / "touched").exists()


def test_starts_that_were_not_read_when_the_connection_ended_are_never_run(start: Start, leader: FakeLeader) -> None:
    worker, session = start(tasks=TASKS)
    worker.signal(signal.SIGSTOP)
    session.start("tasks:touch", {"path": str(worker.folder / "touched")})
    session.close()
    worker.signal(signal.SIGCONT)
    again = leader.accept()
    again.welcome()
    assert again.greeting == []
    assert result_of(again.run("tasks:quick", handover="h2")) == 1
    assert not (worker.folder / "touched").exists()


def test_a_leader_that_is_silent_for_three_pings_is_given_up(make_worker: MakeWorker, leader: FakeLeader) -> None:
    make_worker(tasks=TASKS)
    session = leader.accept()
    session.welcome(ping_seconds=0.1)
    assert session.is_closed()
    assert result_of(leader.welcome().run("tasks:quick")) == 1


def test_a_leader_that_pings_is_kept(make_worker: MakeWorker, leader: FakeLeader) -> None:
    make_worker(tasks=TASKS)
    session = leader.accept()
    session.welcome(ping_seconds=1)
    for _ in range(8):
        session.send("ping")
        session.receive_only("pong")
    assert result_of(session.run("tasks:quick")) == 1


def test_a_renewed_pod_token_is_shown(start: Start) -> None:
    worker, session = start()
    (worker.folder / "new").write_text("pod-token-2\n")
    (worker.folder / "new").rename(worker.folder / "pod-token")
    assert session.receive_only("token")["token"] == "pod-token-2"


def test_a_connection_without_tls_a_reset_one_and_a_foreign_certificate_are_tried_again(
    make_worker: MakeWorker, leader: FakeLeader, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path / "foreign")
    foreign.create()
    issued = foreign.issue(name="x", subject="/CN=x", names=["DNS:dispatch.test"])
    worker = make_worker(tasks=TASKS)
    plain = leader.accept_raw()
    plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    plain.close()
    reset = leader.accept_raw()
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.close()
    with (
        FakeLeader(Trust(foreign.ca, issued.certificate, issued.key)) as impostor,
        pytest.raises(OSError, match=r"(?i)unknown ca|reset|eof"),
    ):
        impostor.wrap(leader.accept_raw())
    assert result_of(leader.welcome().run("tasks:quick")) == 1
    assert any("isn't trusted" in str(entry.get("message")) for entry in worker.log())


def test_a_certificate_of_another_name_is_not_trusted(make_worker: MakeWorker, leader: FakeLeader) -> None:
    worker = make_worker(tasks=TASKS, TIDEGATE_DISPATCH_SERVER_NAME="other.test")
    with pytest.raises(OSError, match=r"(?i)alert|reset|eof"):
        leader.accept().receive()
    wait_until(lambda: any("isn't trusted" in str(e.get("message")) for e in worker.log()), what="the complaint")


def test_the_authorities_are_read_again_at_each_connection(
    make_worker: MakeWorker, leader: FakeLeader, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("")
    worker = make_worker(tasks=TASKS, TIDEGATE_DISPATCH_CA_FILE=str(bundle))
    wait_until(lambda: any("bundle.pem" in str(entry.get("message")) for entry in worker.log()), what="the complaint")
    bundle.write_text(leader.trust.ca.read_text())
    assert result_of(leader.welcome().run("tasks:quick")) == 1


def test_a_host_name_is_looked_up(make_worker: MakeWorker, leader: FakeLeader) -> None:
    make_worker(tasks=TASKS, TIDEGATE_DISPATCH_ADDRESS=f"localhost:{leader.port}")
    assert result_of(leader.welcome().run("tasks:quick")) == 1


def test_a_worker_that_stood_still_goes_on(start: Start, leader: FakeLeader) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:until", {"path": str(worker.folder / "go")})
    session.receive_only("started")
    worker.signal(signal.SIGSTOP)
    (worker.folder / "go").touch()
    session.send("ping")
    worker.signal(signal.SIGCONT)
    seen = {session.receive()["type"], session.receive()["type"]}
    assert seen == {"pong", "ended"}
