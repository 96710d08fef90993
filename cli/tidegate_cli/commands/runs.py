"""Runs: made, listed, looked at."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import click
from tidegate_api.bodies import AttemptBody, JsonObject, TaskRunSpecBody
from tidegate_api.names import Phase
from tidegate_api.run_json import ListedRun, RunJson
from tidegate_api.times import rfc3339

from tidegate_cli import completing, output, run_watch
from tidegate_cli.backends.base import TASKS, Backend, NewRun, RunFilter
from tidegate_cli.commands.watching import check_timeout, report_created, timeout_option, watch_option
from tidegate_cli.errors import MISUSED, AwayError, CommandError, MissingError
from tidegate_cli.names import checked
from tidegate_cli.options import Moment, connected, formatted, with_payload
from tidegate_cli.output import Column
from tidegate_cli.times import one_line

COLUMNS: Final[Sequence[Column[ListedRun]]] = (
    Column(head="NAME", cell=lambda run: run["name"]),
    Column(head="TASK", cell=lambda run: run["task"] or "(inline)"),
    Column(head="QUEUE", cell=lambda run: run["queue"] or "default"),
    Column(head="PHASE", cell=lambda run: run["phase"]),
    Column(head="REASON", cell=lambda run: run["reason"]),
    Column(head="ATTEMPT", cell=lambda run: run["attempt"]),
    Column(head="TOOK", cell=output.took),
    Column(head="AGE", cell=lambda run: output.age(run["createdAt"])),
    Column(head="UID", cell=lambda run: run["uid"], wide=True),
    Column(head="TAGS", cell=lambda run: ",".join(run["tags"]), wide=True),
    Column(head="MESSAGE", cell=lambda run: run["message"], wide=True),
)


@click.command("run")
@click.argument("task", shell_complete=completing.tasks)
@with_payload
@click.option("--name", metavar="NAME", help="The run's name; else one is made from the task's.")
@click.option("--queue", metavar="QUEUE", shell_complete=completing.queues, help="Another queue than the task's.")
@click.option("--priority", type=click.IntRange(-1000, 1000), help="Higher first.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to search by. May be repeated.")
@click.option("--batch", metavar="BATCH", help="The batch that it belongs to.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label. May be repeated.")
@click.option("--concurrency-key", metavar="KEY", help="Its share of the queue.")
@click.option("--idempotency-key", metavar="KEY", help="Make it once, however often this is called with the key.")
@click.option("--start-after", type=Moment(ahead=True), metavar="TIME", help="Not before: 10m from now, or a time.")
@click.option(
    "--depends-on",
    multiple=True,
    metavar="RUN",
    shell_complete=completing.runs,
    help="A run that has to succeed first. May be repeated.",
)
@watch_option
@timeout_option
@formatted
@connected
def run_task(
    backend: Backend, *, task: str, payload: JsonObject | None, name: str | None, labels: Sequence[str], watch: bool,
    timeout: float | None, form: str | None, **asked: Any,
) -> int:  # fmt: skip
    """Run TASK, a Task of the project.

    With --watch it waits for the end: exit code 0 when the run succeeded, 1 when it ended in another way, 124 when --timeout
    is over, 130 when you interrupt (the run goes on).
    """
    check_timeout(watch, timeout)
    _check_task(backend, task)
    spec: TaskRunSpecBody = {"taskRef": {"name": task}}
    if payload is not None:
        spec["payload"] = payload
    spec |= _spec(asked)
    run = backend.create_run(NewRun(spec=spec, name=name and checked(name), labels=_labels(labels)))
    return report_created(backend, run, watch=watch, timeout=timeout, form=form)


def _check_task(backend: Backend, task: str) -> None:
    """A run of a Task that isn't there would wait for it for a minute. A user who may not read Tasks learns it from the run."""
    checked(task)
    try:
        backend.get_definition(TASKS, task)
    except MissingError as error:
        raise CommandError(f"there is no Task {task} in {backend.project}: tidegate tasks ls tells which there are") from error  # fmt: skip
    except AwayError:
        raise
    except CommandError:
        return


def _spec(asked: Mapping[str, Any]) -> TaskRunSpecBody:
    fields = {
        "queue": asked["queue"],
        "priority": asked["priority"],
        "tags": list(asked["tags"]) or None,
        "batch": asked["batch"],
        "concurrencyKey": asked["concurrency_key"],
        "idempotencyKey": asked["idempotency_key"],
        "startAfter": rfc3339(asked["start_after"]) if asked["start_after"] else None,
        "dependsOn": [{"name": each} for each in asked["depends_on"]] or None,
    }
    return cast("TaskRunSpecBody", {name: value for name, value in fields.items() if value is not None})


def _labels(given: Sequence[str]) -> dict[str, str]:
    labels = {}
    for label in given:
        name, found, value = label.partition("=")
        if not found:
            raise CommandError(f"--label {label!r} must look like KEY=VALUE", code=MISUSED)
        labels[name] = value
    return labels


@click.command("ls")
@click.option("--phase", "phases", multiple=True, type=click.Choice(list(Phase), case_sensitive=False), help="May be repeated.")  # fmt: skip
@click.option("--task", metavar="TASK", shell_complete=completing.tasks)
@click.option("--queue", metavar="QUEUE", shell_complete=completing.queues)
@click.option("--tag", metavar="TAG")
@click.option("--batch", metavar="BATCH")
@click.option("--schedule", metavar="SCHEDULE", shell_complete=completing.schedules)
@click.option("-q", "--search", metavar="TEXT", help="In names and messages.")
@click.option("--since", type=Moment(), metavar="TIME", help="Created since: 2h ago, or a time.")
@click.option("--until", type=Moment(), metavar="TIME", help="Created before.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="So many at most.")
@formatted
@connected
def list_runs(
    backend: Backend, *, phases: Sequence[Phase], search: str | None, limit: int, form: str | None, **asked: Any
) -> None:
    """List runs, newest first."""
    wanted = RunFilter(phases=tuple(map(str, phases)), text=search, **asked)
    found = backend.list_runs(wanted, limit=limit)
    output.show_list(found, COLUMNS, form=form, none=f"no such runs in {backend.project}")


@click.command("show")
@click.argument("run", shell_complete=completing.runs)
@click.option("--result", "only_result", is_flag=True, help="Its result alone, as JSON.")
@formatted
@connected
def show_run(backend: Backend, *, run: str, only_result: bool, form: str | None) -> None:
    """Show RUN, a name or a uid: what was asked for and what became of it."""
    found = backend.get_run(run)
    if only_result:
        output.show_data(backend.result(found), "yaml" if form == "yaml" else "json")
        return
    output.show_item(found, form=form, text=lambda each: _description(backend, each))


def _description(backend: Backend, run: RunJson) -> str:
    lines = [
        ("Name", run["name"]),
        ("Uid", run["uid"]),
        ("Project", run["project"]),
        ("Task", run["task"] or "(inline)"),
        ("Queue", run["queue"] or "default"),
        ("Phase", run_watch.summary(run)),
        ("Waits for", _waits_for(backend, run)),
        ("Schedule", run["schedule"]),
        ("Batch", run["batch"]),
        ("Parent", run["parent"]),
        ("Tags", ", ".join(run["tags"])),
        ("Asked by", run["requestedBy"]["name"] if run["requestedBy"] is not None else None),
        ("Created", _moment(run["createdAt"])),
        ("Started", _moment(run["startedAt"])),
        ("Ended", _moment(run["finishedAt"])),
        ("Took", output.took(run)),
        ("Payload", json.dumps(run["spec"].get("payload") or {}, ensure_ascii=False)),
        ("Result", json.dumps(run["status"]["result"], ensure_ascii=False) if "result" in run["status"] else None),
    ]
    described = [f"{name + ':':<11}{one_line(value)}" for name, value in lines if value]
    attempts = [f"  {_attempt(each)}" for each in run["status"].get("attempts") or []]
    return "\n".join([*described, *(["Attempts:", *attempts] if attempts else [])])


def _waits_for(backend: Backend, run: RunJson) -> str | None:
    if run_watch.ended(run) or run["phase"] == Phase.RUNNING:
        return None
    why = backend.why(run)
    place = f", {why['position']} in line" if why.get("position") else ""
    return f"{why.get('reason') or ''}{place} {why.get('message') or ''}"


def _moment(text: str | None) -> str | None:
    return f"{text} ({output.age(text)} ago)" if text else None


def _attempt(attempt: AttemptBody) -> str:
    code, message = attempt.get("exitCode"), attempt.get("message") or ""
    said = (
        f"{attempt['number']}",
        attempt.get("outcome") or "goes on",
        attempt.get("reason") or "",
        f"exit code {code}" if code is not None and "exit code" not in message else "",
        message,
        f"on {attempt['nodeName']}" if attempt.get("nodeName") else "",
        attempt.get("podName") or "",
    )
    return one_line("  ".join(part for part in said if part))
