"""Formatting, cursors, log chunks, event text: small pure functions."""

from datetime import UTC, datetime, timedelta

import pytest
from tidegate_web.auth.paths import local_path
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.events.channels import public_event
from tidegate_web.events.messages import event_text
from tidegate_web.mirror.logs.writer import CHUNK_BYTES, merged
from tidegate_web.mirror.pods import reduce_pod
from tidegate_web.pages import formatting
from tidegate_web.store.queries.logs import Chunk, End, Place
from tidegate_web.store.queries.run_list import BadCursorError, decode_cursor, encode_cursor
from tidegate_web.store.queries.runs import is_uid

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
UID = "4f5cfb6e-8a53-4c6d-9d4c-0f6a3d7f7a11"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "< 1 s"), (0.94, "< 1 s"), (7.0, "7 s"), (4.25, "4.2 s"), (9.96, "10 s"), (12.7, "12 s"), (187, "3 m 07 s"), (7500, "2 h 05 m"), (273600, "3 d 4 h"),
     (None, ""), (-1, "")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("ago", "text"), [(0, "just now"), (30, "30 s ago"), (90, "1 min ago"), (7200, "2 h ago"), (-60, "in 1 min")]
)
def test_relative_times(ago: int, text: str) -> None:
    assert formatting.ago(NOW - timedelta(seconds=ago), NOW) == text


def test_a_moment_has_the_absolute_time_behind_it() -> None:
    assert 'title="2026-11-24 12:00:00 UTC"' in formatting.moment(NOW, NOW)


def test_every_phase_has_its_colour() -> None:
    phases = ("Pending", "Starting", "Running", "Retrying", "Succeeded", "Failed", "Cancelled", "Expired", "Skipped")
    assert all(formatting.tone(phase) in {"waiting", "starting", "running", "retrying", "good", "bad", "muted", "odd"}
               for phase in phases)  # fmt: skip


def test_cursors_there_and_back() -> None:
    assert decode_cursor(encode_cursor(NOW, UID)) == (NOW, UID)


@pytest.mark.parametrize("cursor", ["", "x", "é", "bnVsbA", "WzEsIDJd", "WyIyMDI2LTAxLTAxIiwgIngiXQ"])
def test_other_cursors(cursor: str) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(cursor)


def test_uids() -> None:
    assert is_uid(UID)
    assert is_uid(UID.upper())
    assert not is_uid("resize")
    assert not is_uid(UID.replace("-", ""))


def chunk(pod: str, position: int, data: bytes) -> Chunk:
    return Chunk(
        run_uid="u",
        run_created=NOW,
        project="p",
        attempt=1,
        pod_uid=pod,
        pod_name=pod,
        data=data,
        place=Place(position=position + len(data)),
    )


def test_neighbouring_chunks_are_put_together() -> None:
    end = End(run_uid="u", project="p", attempt=1, pod_uid="a", pod_name="a", mark="complete")
    items: list[Chunk | End] = [
        chunk("a", 0, b"1"),
        chunk("b", 0, b"x"),
        chunk("a", 1, b"2"),
        chunk("a", 5, b"3"),
        chunk("b", 1, b"y"),
        end,
    ]
    assert merged(items) == [chunk("a", 0, b"12"), chunk("b", 0, b"xy"), chunk("a", 5, b"3"), end]


def test_chunks_stay_within_their_size() -> None:
    half = b"x" * (CHUNK_BYTES // 2 + 1)
    items: list[Chunk | End] = [chunk("a", 0, half), chunk("a", len(half), half)]
    assert merged(list(items)) == items


@pytest.mark.parametrize(
    ("target", "result"),
    [
        ("/a?b=c", "/a?b=c"),
        ("//x", None),
        ("https://x", None),
        ("/\\x", None),
        ("/a\nb", None),
        ("", None),
        (None, None),
    ],
)
def test_local_paths(target: str | None, result: str | None) -> None:
    assert local_path(target) == result


def test_events_as_readers_get_them() -> None:
    event = {"uid": "u", "name": "n", "phase": "Running", "reason": None, "attempt": 1, "progress": None, "tags": ["x"]}
    seen = public_event(7, event)
    assert seen == {
        "uid": "u",
        "name": "n",
        "phase": "Running",
        "reason": None,
        "attempt": 1,
        "progress": None,
        "seq": 7,
    }
    assert event_text(data={"a": "x\ny"}, event="run", number=7) == 'event: run\nid: 7\ndata: {"a":"x\\ny"}\n\n'


def pod_with(state: dict[str, object], *, phase: str = "Running") -> KubeObject:
    containers = [{"name": "sidecar", "state": {"running": {}}}, {"name": "task", "state": state}]
    return {
        "metadata": {
            "uid": "u",
            "name": "n",
            "namespace": "p",
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-25T12:00:00Z",
        },
        "status": {"phase": phase, "containerStatuses": containers},
    }


@pytest.mark.parametrize(
    ("state", "phase", "started", "ended"),
    [
        ({"waiting": {}}, "Pending", False, False),
        ({"running": {}}, "Running", True, False),
        ({"terminated": {}}, "Running", True, True),
        ({"waiting": {}}, "Failed", False, True),
    ],
)
def test_what_is_kept_of_a_pod(state: dict[str, object], phase: str, started: bool, ended: bool) -> None:
    pod = reduce_pod(pod_with(state, phase=phase))
    assert (pod.started, pod.ended) == (started, ended)
    assert pod.job is None
