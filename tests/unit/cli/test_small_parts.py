"""What the command reads and writes: durations, payloads, filters, tables, streams of events. Pure, but for the output."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
import urllib3
from tidegate_cli import output, run_watch, times
from tidegate_cli.backends.base import RunFilter
from tidegate_cli.backends.filtering import fits
from tidegate_cli.backends.http import Stream
from tidegate_cli.backends.responses import run_of
from tidegate_cli.backends.sse import Event, events
from tidegate_cli.deadlines import Deadline, Duration
from tidegate_cli.errors import CommandError
from tidegate_cli.names import checked
from tidegate_cli.options import read_payload

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def a_run(**fields: object) -> Any:
    """A run as both ways report one."""
    resource: Any = {
        "metadata": {"uid": "u", "name": "r", "namespace": "work", "creationTimestamp": "2026-11-25T11:00:00Z"},
        "spec": {"taskRef": {"name": "resize"}, "tags": ["red"]},
        "status": {"phase": "Running"},
    }
    return run_of(resource) | fields


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("0.5s", 0.5)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 m", "5w", "-5", "5m!", "m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no duration"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0, "0s"), (119, "119s"), (312, "5m12s"), (300, "5m"), (1900, "31m"), (11_220, "3h7m"), (90_000, "25h"),
     (180_000, "2d2h"), (2_000_000, "23d")],
)  # fmt: skip
def test_ages_are_brief(seconds: float, text: str) -> None:
    assert times.brief(timedelta(seconds=seconds)) == text


def test_a_deadline_that_is_past_is_no_word_to_a_socket_not_to_wait() -> None:
    assert Deadline(0).past
    assert 0 < Deadline(0).at_most(10) < 0.1
    assert (Deadline(None).past, Deadline(None).at_most(10), Deadline(100).at_most(10)) == (False, 10, 10)


def test_fields_of_a_payload_are_json_where_they_are() -> None:
    assert read_payload(None) is None
    assert read_payload('{"a": 1, "b": 2}', ["b=[3]", "c=three", "d=a=b", "e=", "f=NaN"]) == {
        "a": 1, "b": [3], "c": "three", "d": "a=b", "e": "", "f": "NaN",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "..", "a\n", "x" * 64])
def test_no_name_leads_out_of_its_place_in_a_path(name: str) -> None:
    with pytest.raises(CommandError, match="can't be a name"):
        checked(name)


@pytest.mark.parametrize(
    ("wanted", "fitting"),
    [
        (RunFilter(), True),
        (RunFilter(phases=("Running", "Failed")), True),
        (RunFilter(phases=("Failed",)), False),
        (RunFilter(task="resize", tag="red"), True),
        (RunFilter(task="other"), False),
        (RunFilter(tag="blue"), False),
        (RunFilter(queue="q"), False),
        (RunFilter(text="RESI"), True),
        (RunFilter(text="nothing"), False),
        (RunFilter(since=NOW - timedelta(hours=1)), True),
        (RunFilter(since=NOW), False),
        (RunFilter(until=NOW), True),
        (RunFilter(until=NOW - timedelta(hours=1)), False),
    ],
)
def test_a_filter_lets_through_what_it_says(wanted: RunFilter, fitting: bool) -> None:
    assert fits(a_run(), wanted) is fitting


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "Running"),
        ({"progress": 0.42, "progressMessage": "harbour.jpg"}, "Running 42% harbour.jpg"),
        ({"attempt": 2, "progress": 0.0}, "Running attempt 2 0%"),
        ({"phase": "Pending", "reason": "Queued", "message": "waits"}, "Pending (Queued) waits"),
        ({"phase": "Failed", "reason": "Error", "message": "a\nb", "progress": 0.5}, "Failed (Error) a b"),
        ({"phase": "Cancelled", "reason": "Cancelled"}, "Cancelled"),
    ],
)
def test_a_run_is_one_line(fields: dict[str, Any], text: str) -> None:
    assert run_watch.summary(a_run(**fields)) == text


def test_what_a_run_says_cant_steer_the_terminal() -> None:
    assert times.one_line("a\x1b[2Jb\r\nc\x9bd") == "a [2Jb c d"
    assert "\x1b" not in run_watch.summary(a_run(phase="Failed", message="\x1b]0;title\x07"))


def test_a_table_outside_of_a_terminal_is_neither_cut_nor_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    columns: tuple[output.Column[dict[str, object]], ...] = (
        output.Column(head="NAME", cell=lambda item: item["name"]),
        output.Column(head="MESSAGE", cell=lambda item: item["said"]),
        output.Column(head="MORE", cell=lambda item: "more", wide=True),
    )
    items: list[dict[str, object]] = [{"name": "a", "said": "x" * 500}, {"name": "long", "said": None}]
    output.show_list(items, columns, form=None, none="")
    assert capsys.readouterr().out == f"NAME   MESSAGE\na      {'x' * 500}\nlong\n"


@pytest.mark.parametrize(("form", "written"), [("name", "a\n"), ("json", '"items"'), ("yaml", "items:\n- name: a\n")])
def test_lists_in_other_forms(capsys: pytest.CaptureFixture[str], form: str, written: str) -> None:
    output.show_list([{"name": "a", "said": "[red]ä[/red]" + "x" * 300}], (), form=form, none="")
    assert written in capsys.readouterr().out


def read(data: bytes) -> Iterator[Event]:
    response = urllib3.HTTPResponse(io.BytesIO(data), preload_content=False)
    return events(Stream(response, Deadline(None), quiet=1))


def test_events_and_heartbeats_are_read_from_a_stream() -> None:
    data = b'retry: 2000\n: welcome\n\nevent: run\nid: 7\ndata: {"uid": "u"}\n\n: still here\n\nevent: cut\ndata: {"un'
    heartbeat = Event(name="", id="", data=None)
    assert list(read(data)) == [heartbeat, Event(name="run", id="7", data={"uid": "u"}), heartbeat]


@pytest.mark.parametrize(
    "text",
    ["7e45310", "12e4", "1.10", "1.0", "007", "-0", "0.0", "1e999", "-1e999", "NaN", "Infinity", "18446744073709551616",
     "9223372036854775808", "1" * 5000, "1e5", "+1", "0x10", " 7", "1_000", "0.1234567890123456789", "1e-999", "five"],
)  # fmt: skip
def test_a_field_that_json_would_change_is_text(text: str) -> None:
    assert read_payload(None, [f"sha={text}"]) == {"sha": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("-7", -7), ("0", 0), ("1.5", 1.5), ("9223372036854775807", 2**63 - 1), ('"7"', "7"), ("true", True),
     ("null", None), ("[1.10, 12e4]", [1.1, 120000.0]), ('{"a": 1.0}', {"a": 1.0})],
)  # fmt: skip
def test_a_field_that_stays_as_it_is_written_is_json(text: str, value: object) -> None:
    assert read_payload(None, [f"n={text}"]) == {"n": value}


@pytest.mark.parametrize("number", ["7e45310", "18446744073709551616", "-1e999", "1e-999"])
def test_a_number_within_json_that_would_change_is_refused_with_how_to_quote(number: str) -> None:
    arguments: list[tuple[str | None, list[str]]] = [(f'{{"sha": {number}}}', []), (None, [f"sha=[{number}]"])]
    for payload, fields in arguments:
        with pytest.raises(CommandError, match="would become another number: quote it") as raised:
            read_payload(payload, fields)
        assert f'"{number}"' in str(raised.value)
