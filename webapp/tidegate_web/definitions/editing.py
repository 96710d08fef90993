"""A Task, Queue, Schedule or WorkerPool as a manifest that is edited: read, checked by the apiserver without being stored, and stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_api.names import API_VERSION

from tidegate_web.auth.actor import Actor
from tidegate_web.cluster.definitions import Definition, Kind
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.definitions import actions
from tidegate_web.runs.new_run import check_labels
from tidegate_web.services import Services
from tidegate_web.shared import unstorable
from tidegate_web.shared.json_types import JsonObject, as_object, is_object
from tidegate_web.shared.problems import FieldError, Problem
from tidegate_web.shared.yaml_json import Document, YamlError, read

SERVER_FIELDS: Final = frozenset(
    {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid", "annotations"}
)
"""Of metadata: they come along with what `kubectl get -o yaml` prints, and are the apiserver's."""

TOP: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
KEPT_ANNOTATIONS: Final = ("tidegate.dev/", "kubectl.kubernetes.io/")


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something that is wrong with a manifest. ``line`` is 0 where it is about all of it."""

    line: int
    excerpt: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A manifest that can be read."""

    name: str
    definition: Definition


class MistakesError(Exception):
    """What is wrong with a manifest, in the order of its lines."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("; ".join(each.message for each in mistakes))
        self.mistakes = sorted(mistakes, key=lambda each: each.line)


class Manifest:
    """The text of a manifest."""

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            self._document: Document = read(text)
        except YamlError as error:
            raise MistakesError([self._mistake(error.line, str(error))]) from error
        try:
            unstorable.check_json(text, self._document.value)
        except Problem as problem:
            raise self.refused(problem) from problem

    def edited(self, kind: Kind, project: str, *, name: str | None) -> Edited:
        """What it says; of the object ``name``, where one is edited. Raises MistakesError."""
        value = self._document.value
        metadata, spec = as_object(value.get("metadata")), value.get("spec")
        found = metadata.get("name")
        wrong = list(_wrong(value, metadata, kind, project))
        if name is not None and found != name:
            wrong.append({"field": "metadata.name", "message": f"must be {name}: a name can't be changed"})
        if not is_object(spec):
            wrong.append({"field": "spec", "message": "must be an object"})
        if wrong or not is_object(spec):
            raise self.mistakes(wrong)
        try:
            labels = check_labels(metadata.get("labels") or {})
        except Problem as problem:
            raise self.refused(problem, within="metadata.") from problem
        return Edited(name=str(found or ""), definition=Definition(spec=spec, labels=labels))

    def refused(self, problem: Problem, *, within: str = "") -> MistakesError:
        """A refusal, each part at the line of its field."""
        errors: list[FieldError] = []
        for each in problem.errors or [FieldError(field="", message=problem.detail)]:
            field = "metadata.name" if each["field"] == "name" else each["field"]
            errors.append({"field": within + field if field else "", "message": each["message"]})
        return self.mistakes(errors)

    def mistakes(self, errors: list[FieldError]) -> MistakesError:
        """Each at the line of its field."""
        return MistakesError(
            [
                self._mistake(
                    self._document.line_of(each["field"]),
                    f"{each['field']}: {each['message']}" if each["field"] else each["message"],
                )
                for each in errors
            ]
        )

    def _mistake(self, line: int, message: str) -> Mistake:
        lines = self._text.splitlines()
        return Mistake(
            line=line, excerpt=lines[line - 1].strip()[:80] if 0 < line <= len(lines) else "", message=message
        )


def _wrong(value: JsonObject, metadata: JsonObject, kind: Kind, project: str) -> list[FieldError]:
    wanted = (("apiVersion", value.get("apiVersion"), API_VERSION), ("kind", value.get("kind"), kind.name))
    wrong: list[FieldError] = [
        {"field": field, "message": f"must be {right}"} for field, has, right in wanted if has != right
    ]
    wrong += [{"field": each, "message": "unknown field"} for each in value.keys() - TOP]
    if metadata.get("namespace") not in (None, project):
        wrong.append({"field": "metadata.namespace", "message": f"must be {project}, or left out"})
    if not isinstance(metadata.get("name"), str) or not metadata["name"]:
        wrong.append({"field": "metadata.name", "message": "must be a name"})
    known = SERVER_FIELDS | {"name", "namespace", "labels"}
    wrong += [{"field": f"metadata.{each}", "message": "can't be set here"} for each in metadata.keys() - known]
    wrong += [
        {"field": "metadata.annotations", "message": f"{each} can't be set here: apply it with kubectl"}
        for each in as_object(metadata.get("annotations"))
        if not each.startswith(KEPT_ANNOTATIONS)
    ]
    if not isinstance(metadata.get("labels", {}), dict):
        wrong.append({"field": "metadata.labels", "message": "must be an object"})
    return wrong


def read_draft(kind: Kind, project: str, text: str, *, name: str | None) -> Mapping[str, object]:
    """The spec of a manifest that can be read. Raises MistakesError."""
    return Manifest(text).edited(kind, project, name=name).definition.spec


def check(
    made: Services, actor: Actor, kind: Kind, project: str, text: str, *, name: str | None, seen: str
) -> KubeObject:
    """What the object would be, as the apiserver says, which stores nothing. Raises MistakesError, and Problem for what isn't the text's."""
    return _put(made, actor, kind, project, text, name=name, seen=seen, dry_run=True)


def save(
    made: Services, actor: Actor, kind: Kind, project: str, text: str, *, name: str | None, seen: str
) -> KubeObject:
    """Store it, where it is still in the version that was ``seen``, "" for none. Raises as ``check`` does."""
    return _put(made, actor, kind, project, text, name=name, seen=seen, dry_run=False)


def _put(
    made: Services, actor: Actor, kind: Kind, project: str, text: str, *, name: str | None, seen: str, dry_run: bool
) -> KubeObject:
    manifest = Manifest(text)
    edited = manifest.edited(kind, project, name=name)
    try:
        return actions.put(made, actor, kind, project, edited.name, edited.definition, seen=seen, dry_run=dry_run)[0]
    except Problem as problem:
        if problem.status != 422:
            raise
        raise manifest.refused(problem) from problem
