"""The part of a form that holds a payload: fields made from the Task's ``payloadSchema``, or JSON, and a check of either."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from flask import render_template, request
from tidegate_api.payload_mistakes import Mistake, json_path

from tidegate_web.cluster.errors import ClusterError
from tidegate_web.pages.forms import json_object
from tidegate_web.pages.schema_fields import FieldSet, field_set, payload_of, texts_of
from tidegate_web.runs.new_run import check_payload
from tidegate_web.services import Services
from tidegate_web.shared import unstorable
from tidegate_web.shared.json_types import JsonObject, as_object
from tidegate_web.shared.problems import Problem, invalid

Way = Literal["fields", "json"]


@dataclass(frozen=True, kw_only=True)
class PayloadForm:
    """What the form shows."""

    fields: FieldSet | None
    """None where the schema names no property, or there is none."""
    way: Way
    texts: Mapping[str, str]
    """What stands in the fields, by their names."""
    json: str
    not_by_fields: bool = False
    """Whether the payload that it begins with can't be shown by fields."""
    mistakes: list[Mistake] | None = None
    """Found in what was sent; None where nothing was checked."""

    def ids(self) -> dict[str, str]:
        """The id of each field, by its place in the payload."""
        return {} if self.fields is None else {each.at: f"field-{n}" for n, each in enumerate(self.fields.fields)}


def shown_form(made: Services, task: Mapping[str, object], start: JsonObject) -> PayloadForm:
    """The form as it was sent, or in the other way with what was sent; or with the payload that it begins with."""
    schema = as_object(task.get("payloadSchema"))
    fields = field_set(schema)
    if request.method != "POST":
        return _begun(fields, start, "json" if _way(fields) == "json" else "fields")
    other = request.form.get("to")
    try:
        if other is not None:
            return _begun(fields, sent_payload(task), "json" if other == "json" else "fields")
    except Problem:
        pass  # the form stays as it is, and says why
    return PayloadForm(
        fields=fields,
        way=_way(fields),
        texts=dict(request.form),
        json=request.form.get("payload", ""),
        mistakes=checked(made, schema),
    )


def check_fragment(made: Services, task: Mapping[str, object]) -> str:
    """What is wrong with what was sent, rendered alone."""
    return render_template("_payload_check.html", form=shown_form(made, task, {}))


def task_of(made: Services, project: str, run_spec: JsonObject) -> JsonObject:
    """The inline task of a run's spec, or its Task, a few seconds old at most. Empty where it isn't known."""
    try:
        return made.runs.queues.task_spec(project, run_spec)
    except ClusterError:
        return {}


def _begun(fields: FieldSet | None, payload: JsonObject, way: Way) -> PayloadForm:
    texts = None if fields is None else texts_of(fields, payload)
    return PayloadForm(
        fields=fields,
        way="json" if texts is None else way,
        texts=texts or {},
        json=json.dumps(payload, indent=2, ensure_ascii=False),
        not_by_fields=fields is not None and texts is None,
    )


def sent_payload(task: Mapping[str, object]) -> JsonObject:
    """The payload that was sent; 422 says what can't be read of it. Whether it matches the schema is said at creation."""
    fields = _fields(as_object(task.get("payloadSchema")))
    if _way(fields) == "json" or fields is None:
        return json_object("payload")
    payload, mistakes = payload_of(fields, request.form)
    if mistakes:
        raise invalid(mistakes[0].at or "payload", mistakes[0].message)
    unstorable.check_json(json.dumps(payload), payload)
    return payload


def checked(made: Services, schema: JsonObject) -> list[Mistake] | None:
    """What is wrong with the payload that was sent. None where it can't be checked now."""
    mistakes: list[Mistake] = []
    try:
        fields = _fields(schema)
        if _way(fields) == "json" or fields is None:
            payload = json_object("payload")
        else:
            payload, mistakes = payload_of(fields, request.form)
        check_payload(payload)
    except Problem as problem:
        return [Mistake("", problem.detail)]
    if not schema:
        return mistakes
    found = made.runs.schemas.mistakes(schema, payload)
    if found is None:
        return mistakes or None
    wrong = {each.at for each in mistakes}
    return mistakes + [each for each in map(partial(_at_its_field, fields), found) if each.at not in wrong]


def _fields(schema: JsonObject) -> FieldSet | None:
    """The fields that were filled in. 409 where one of them is not known any more: what was sent by it would be left out."""
    found = field_set(schema)
    if request.form.get("by") == "fields":
        known = {each.at for each in found.fields} if found else set()
        lost = any(name.startswith("$") and text.strip() and name not in known for name, text in request.form.items())
        if found is None or lost:
            raise Problem(409, "The payload schema has changed, or can't be read now. Write the payload as JSON.")
    return found


def _at_its_field(fields: FieldSet | None, mistake: Mistake) -> Mistake:
    """The validator names a property that is missing at the object that lacks it."""
    for each in fields.fields if fields else ():
        missing = f"{json.dumps(each.path[-1])} is a required property"
        if (mistake.at, mistake.message) == (json_path(each.path[:-1]), missing):
            return Mistake(each.at, "is required")
    return mistake


def _way(fields: FieldSet | None) -> Way:
    asked = request.form.get("by") or request.args.get("by")
    return "json" if asked == "json" or fields is None else "fields"
