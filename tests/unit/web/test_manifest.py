"""The manifest of a run, and what to type."""

import json
import shlex
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from tidegate_web.pages.manifest import MOST_AS_YAML, kubectl_commands, manifest

ODD: list[Any] = [
    "no",
    "1e3",
    "007",
    "a: b",
    "# c",
    "two\nlines",
    "\x01",
    "\u202e",
    "{{ x }}",
    "<b>",
    "",
    None,
    1.5,
    True,
    {"=": []},
]


def run(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "name": "r",
        "project": "p",
        "uid": "u",
        "labels": {},
        "phase": "Running",
        "deleted_at": None,
        "status": {},
    }
    return SimpleNamespace(**(values | changes))


@pytest.mark.parametrize("value", ODD)
def test_what_is_read_from_it_is_what_the_run_has(value: Any) -> None:
    spec = {"taskRef": {"name": "t"}, "payload": {"value": value, "again": value}}
    text = manifest(run(labels={"team": "no", "tidegate.dev/x": "ours"}), spec | {"cancel": True})
    read = yaml.safe_load(text)
    assert read["spec"] == spec
    assert (read["kind"], read["metadata"]) == ("TaskRun", {"name": "r", "namespace": "p", "labels": {"team": "no"}})


def test_a_large_or_deep_one_is_json() -> None:
    large = {"payload": {"text": "x" * MOST_AS_YAML}}
    assert json.loads(manifest(run(), large))["spec"] == large
    deep: dict[str, Any] = {}
    for _ in range(480):
        deep = {"a": deep}
    assert json.loads(manifest(run(), {"payload": deep}))["spec"]["payload"] == deep


def test_commands_fit_what_the_run_is() -> None:
    labels = [label for label, _ in kubectl_commands("p", run())]
    assert labels == ["The run", "Its Jobs and pods", "Its logs", "Stop it"]
    assert "Stop it" not in dict(kubectl_commands("p", run(phase="Failed")))
    assert kubectl_commands("p", run(deleted_at="then")) == []
    cancel = shlex.split(dict(kubectl_commands("p", run()))["Stop it"])
    assert cancel == ["kubectl", "-n", "p", "patch", "tgr", "r", "--type=merge", "-p", '{"spec":{"cancel":true}}']
    hand_over = {"attempts": [{"number": 1, "podName": "w-1", "handover": "h"}]}
    assert dict(kubectl_commands("p", run(status=hand_over)))["Its logs"].startswith(
        "kubectl -n p logs w-1 -c worker | grep"
    )
