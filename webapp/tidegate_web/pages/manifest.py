"""A run, a Task, a Queue, a Schedule or a WorkerPool as one writes it for kubectl: its manifest, and what to type. Pure."""

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
    return _manifest("TaskRun", run.name, run.project, run.labels, replayed_spec(spec))


def definition_manifest(kind: str, item: Definition) -> str:
    """What makes such a Task, Queue, Schedule or WorkerPool, with its spec as the user may see it."""
    return _manifest(kind, item["name"], item["project"], item["labels"], item["spec"])


def draft_of_schedule(project: str, run_spec: Mapping[str, object]) -> str:
    """The manifest of a Schedule of such runs to begin with. It has no name yet."""
    spec = {"cron": "30 2 * * *", "timeZone": "UTC", "template": {"spec": run_spec}}
    return _manifest("Schedule", "", project, {}, spec)


def _manifest(kind: str, name: str, project: str, labels: Mapping[str, str], spec: Mapping[str, object]) -> str:
    metadata: dict[str, object] = {"name": name, "namespace": project}
    if kept := replayed_labels(labels):
        metadata["labels"] = kept
    made = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
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
