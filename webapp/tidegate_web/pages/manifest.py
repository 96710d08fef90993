"""A run, or a Task, Queue or Schedule, as one writes it for kubectl: its manifest, and what to type. Pure."""

import json
import shlex
from collections.abc import Mapping

import yaml
from tidegate_api.names import API_VERSION
from tidegate_api.replay import replayed_labels, replayed_spec

from tidegate_web.api.response_types import Definition
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.run_status import attempts_of
from tidegate_web.store.run_rows import RunRow

MOST_AS_YAML = 64 * 1024
"""Characters of JSON: more is shown as JSON, which is YAML too and faster to write."""
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def manifest(run: RunRow, spec: Mapping[str, object]) -> str:
    """What makes such a run, with ``spec`` as the user may see it. It is what a replay takes over: without what the cluster
    has added, and without what was about that one run, such as the wish to cancel it."""
    metadata: dict[str, object] = {"name": run.name, "namespace": run.project}
    if labels := replayed_labels(run.labels):
        metadata["labels"] = labels
    made = {
        "apiVersion": API_VERSION,
        "kind": "TaskRun",
        "metadata": metadata,
        "spec": replayed_spec(spec),
    }
    return _written(made)


def definition_manifest(kind: str, item: Definition) -> str:
    """What makes such a Task, Queue or Schedule, with its spec as the user may see it."""
    metadata: dict[str, object] = {"name": item["name"], "namespace": item["project"]}
    if labels := replayed_labels(item["labels"]):
        metadata["labels"] = labels
    return _written({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": item["spec"]})


def _written(made: Mapping[str, object]) -> str:
    text = json.dumps(made, indent=2, ensure_ascii=False)
    if len(text) > MOST_AS_YAML:
        return text
    try:
        return str(yaml.dump(made, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))
    except RecursionError:  # nested deeper than the writer of YAML goes
        return text


def kubectl_commands(project: str, row: RunRow) -> list[tuple[str, str]]:
    """What to type for the same in a terminal."""
    if row.deleted_at is not None:
        return []
    where, selector = f"kubectl -n {shlex.quote(project)}", f"-l tidegate.dev/run-uid={row.uid}"
    commands = [("The run", f"{where} get tgr {row.name} -o yaml")]
    last = next(iter(reversed(attempts_of(row.status))), None)
    if last is not None and last.handover is not None:
        # In a pool: its lines are among those of its worker.
        worker, mine = shlex.quote(last.pod_name or ""), shlex.quote(f'"uid": "{row.uid}"')
        commands.append(("Its worker", f"{where} get pod {worker}"))
        commands.append(("Its logs", f"{where} logs {worker} -c worker | grep {mine}"))
    else:
        commands.append(("Its Jobs and pods", f"{where} get jobs,pods {selector}"))
        commands.append(("Its logs", f"{where} logs {selector} -c task --tail=-1"))
    if row.phase not in TERMINAL_PHASES:
        patch = shlex.quote('{"spec":{"cancel":true}}')
        commands.append(("Stop it", f"{where} patch tgr {row.name} --type=merge -p {patch}"))
    return commands
