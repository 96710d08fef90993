"""Tasks: listed, applied from files, and written from functions."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Final, TypedDict, cast

import click
import yaml
from tidegate_api.bodies import JsonObject
from tidegate_api.names import API_VERSION
from tidegate_api.run_json import Definition

from tidegate_cli import output
from tidegate_cli.backends.base import TASKS, Backend
from tidegate_cli.commands.listing import list_command
from tidegate_cli.errors import MISUSED, CommandError
from tidegate_cli.library import find_python, module_of, python_option, search_path
from tidegate_cli.options import connected
from tidegate_cli.output import Column


def _runs_what(task: Definition) -> str:
    spec = task["spec"]
    return str(spec.get("entrypoint") or " ".join(spec.get("command") or []) or "(the image's own)")


def _where(task: Definition) -> str:
    spec = task["spec"]
    return f"(pool {spec['pool']})" if spec.get("pool") else str(spec.get("image") or "")


_EXPORT: Final = """
import json, sys
sys.path.insert(0, "")
try:
    from tidegate.manifests import export
except ImportError:
    sys.exit("the library tidegate is too old to write Tasks: update it")
print(json.dumps(export(sys.argv[1], image=sys.argv[2] or None)))
"""
"""In the project's own Python. The last line is ours: a module may print while it is imported."""

COLUMNS: Final[Sequence[Column[Definition]]] = (
    Column(head="NAME", cell=lambda task: task["name"]),
    Column(head="QUEUE", cell=lambda task: task["spec"].get("queue", "default")),
    Column(head="IMAGE", cell=_where),
    Column(head="RUNS", cell=_runs_what),
    Column(head="AGE", cell=lambda task: output.age(task["createdAt"])),
    Column(head="DESCRIPTION", cell=lambda task: task["spec"].get("description"), wide=True),
)


@click.group("tasks")
def tasks() -> None:
    """Tasks: what runs refer to."""


tasks.add_command(list_command(TASKS, COLUMNS, hint=": tidegate tasks apply -f FILE"))


@tasks.command("apply")
@click.option("-f", "--filename", "files", multiple=True, required=True, type=click.File(encoding="utf-8"), metavar="FILE", help="YAML or JSON with Tasks, - for stdin. May be repeated.")  # fmt: skip
@connected
def apply(backend: Backend, *, files: Sequence[IO[str]]) -> None:
    """Create the Tasks of each FILE, or replace the specs of those that are there."""
    # All are read before the first is sent: a mistake in the last file leaves everything as it is.
    wanted = [manifest for file in files for manifest in _manifests(file, project=backend.project)]
    for manifest in wanted:
        metadata = manifest["metadata"]
        made, new = backend.put_definition(
            TASKS, metadata["name"], spec=manifest["spec"], labels=metadata.get("labels")
        )
        output.console().print(f"{made['name']} {'created' if new else 'replaced'}")


@tasks.command("export")
@click.argument("module")
@click.option("--image", metavar="IMAGE", help="The image that the functions are in. Tasks of a pool need none.")
@python_option
@click.option("-o", "--output", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def export(module: str, *, image: str | None, python: str | None, form: str) -> None:
    """Write a Task for each function of MODULE that is marked with @task: tasks.py, or package.module.

    It is imported for that. What is written is for tidegate tasks apply -f -, or for a repository.
    """
    name, folder = module_of(module)
    program = find_python(python, os.environ, folder=folder)
    environment = {**os.environ, **search_path(os.environ, folder)}
    command = [program, "-c", _EXPORT, name, image or ""]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"{module}: {(done.stderr.strip().splitlines() or ['it ended without a word'])[-1]}")
    sys.stderr.write(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    if not found:
        raise CommandError(f"{module} has no function marked with @task")
    if form == "json":
        output.show_data({"apiVersion": "v1", "kind": "List", "items": found}, "json")
        return
    output.console().out(yaml.safe_dump_all(found, sort_keys=False, allow_unicode=True), end="", highlight=False)


class _Metadata(TypedDict, total=False):
    name: str
    namespace: str
    labels: dict[str, str]


class _Manifest(TypedDict):
    """A Task of a file."""

    metadata: _Metadata
    spec: JsonObject


def _manifests(file: IO[str], *, project: str) -> Iterator[_Manifest]:
    try:
        found = [document for document in yaml.safe_load_all(file) if document is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{file.name} is not YAML: {error}", code=MISUSED) from error
    if not found:
        raise CommandError(f"{file.name} has no Task", code=MISUSED)
    for document in found:
        _check(document, file.name, project)
        yield cast("_Manifest", document)


def _check(document: object, file: str, project: str) -> None:
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (
        API_VERSION,
        TASKS.name,
    ):
        raise CommandError(f"{file}: only Tasks of {API_VERSION} are applied here; use kubectl for anything else", code=MISUSED)  # fmt: skip
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise CommandError(f"{file}: a Task has no metadata.name", code=MISUSED)
    if not isinstance(document.get("spec"), dict):
        raise CommandError(f"{file}: Task {metadata['name']} has no spec", code=MISUSED)
    if metadata.get("namespace", project) != project:
        raise CommandError(f"{file}: Task {metadata['name']} is for {metadata['namespace']}, not {project}: use -n", code=MISUSED)  # fmt: skip
