"""What is written down of a cluster, and how its processes are known again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.processes import Process
from tidegate_cluster.records import Options, Record, Store, check_name
from tidegate_cluster.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Settings(cache=tmp_path / "cache", state=tmp_path / "state", first_network=200))


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        yield child
        child.kill()


def test_a_record_is_read_as_it_was_written(store: Store) -> None:
    record = Record(name="demo", provider="native", number=203, boot="b", ready=True, nodes={"node-1": 1})
    store.save(record)
    assert store.load("demo") == record
    assert store.names() == ["demo"]


def test_a_record_says_what_its_cluster_was_asked_for(store: Store) -> None:
    options = Options(family="ipv6", network_policies=True)
    store.save(Record(name="demo", provider="native", number=203, boot="b", family="ipv6", network_policies=True))
    found = store.load("demo")
    assert found is not None
    assert found.options == options
    assert found.addresses.first.is_ipv6


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "demo"}', '{"unknown": 1}'])
def test_a_damaged_record_is_no_record(store: Store, text: str) -> None:
    store.directory("demo").mkdir(parents=True)
    (store.directory("demo") / "cluster.json").write_text(text)
    assert store.load("demo") is None


@pytest.mark.parametrize("name", ["", "Demo", "-demo", "demo-", "a/b", "..", "x" * 21, "1st"])
def test_names_that_are_no_names_are_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="is no name"):
        check_name(name)


def test_a_running_process_is_known_again(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    process = Process.of(child.pid)
    assert process is not None
    process.write(tmp_path / "record")
    assert Process.read(tmp_path / "record") == process
    assert process.alive
    assert process in (Process.of(os.getpid()) or process).children()


def test_another_process_with_the_same_pid_is_not_taken_for_it(child: subprocess.Popen[bytes]) -> None:
    process = Process.of(child.pid)
    assert process is not None
    assert not Process(pid=process.pid, started=process.started - 1).alive


def test_an_ended_process_is_gone_before_it_is_reaped(child: subprocess.Popen[bytes]) -> None:
    process = Process.of(child.pid)
    assert process is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive
