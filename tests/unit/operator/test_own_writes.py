"""Which lines of a watch only repeat what we wrote ourselves."""

import json

import pytest
from tidegate_operator.kube.own_writes import MOST_NOTED, OwnWrites


def event(version: int, *, kind: str = "MODIFIED", **annotations: str) -> bytes:
    """As the apiserver writes it: keys sorted, no spaces."""
    metadata = {"annotations": annotations, "name": "r", "resourceVersion": str(version), "uid": "u"}
    spec = {"payload": {"resourceVersion": "7"}}
    body = {"type": kind, "object": {"apiVersion": "v", "kind": "TaskRun", "metadata": metadata, "spec": spec}}
    return json.dumps(body, separators=(",", ":")).encode()


def test_our_own_write_is_an_echo_once() -> None:
    own = OwnWrites()
    own.note("10")
    assert own.is_echo(event(10))
    assert not own.is_echo(event(10))


def test_the_writes_of_others_are_none() -> None:
    own = OwnWrites()
    own.note("10")
    assert not own.is_echo(event(11))


@pytest.mark.parametrize("kind", ["ADDED", "DELETED", "BOOKMARK", "ERROR"])
def test_what_appears_or_goes_is_none(kind: str) -> None:
    own = OwnWrites()
    own.note("10")
    assert not own.is_echo(event(10, kind=kind))


def test_a_version_in_what_users_write_is_none() -> None:
    own = OwnWrites()
    own.note("7")  # in the payload of each
    own.note("8")
    assert not own.is_echo(event(10, last='{"resourceVersion":"8"}'))


def test_events_that_never_come_are_not_remembered_for_ever() -> None:
    own = OwnWrites()
    for version in range(MOST_NOTED + 1):
        own.note(str(version))
    assert not own.is_echo(event(0))
    assert own.is_echo(event(MOST_NOTED))
