"""The fields of a form for a payload, from its Task's ``payloadSchema``; and the payload from what the form sent. Pure.

A schema is any user's text. What has no field of its own (lists, unions, patterns of keys) is written as JSON, within bounds on
fields, depth and choices, so that every payload can be sent by a form. Whether it matches is said by the schema's own validator.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tidegate_api.payload_mistakes import Mistake, json_path

from tidegate_web.pages.schema_values import UnreadableError, read_json, read_number, text_of
from tidegate_web.shared.json_types import JsonObject, as_object, as_text, is_object

MOST_FIELDS: Final = 60
MOST_DEPTH: Final = 3
MOST_SECTIONS: Final = 20
MOST_CHOICES: Final = 100
MOST_REFERENCES: Final = 20
LONGEST_KEY: Final = 100
LONGEST_WORDS: Final = 400
LONG_TEXT: Final = 200
"""Characters from which on a text gets several lines."""
REST: Final = "rest"
"""The name of the field with the keys that have no field."""


DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class FieldKind(StrEnum):
    """How a field is drawn and read."""

    TEXT = "text"
    LONG_TEXT = "longText"
    DATE = "date"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    JSON = "json"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One value that a field may have."""

    value: str
    """As JSON."""
    label: str


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field."""

    path: tuple[str, ...]
    kind: FieldKind
    label: str
    description: str = ""
    required: bool = False
    default: str = ""
    """What is taken where it is left out, as text."""
    choices: tuple[Choice, ...] = ()
    least: float | None = None
    most: float | None = None
    longest: int | None = None

    @property
    def at(self) -> str:
        """Its place in the payload, and its name in the form."""
        return json_path(self.path)

    def read(self, sent: str) -> object:
        """The value that was sent; raises UnreadableError."""
        match self.kind:
            case FieldKind.NUMBER | FieldKind.INTEGER:
                return read_number(sent, whole=self.kind == FieldKind.INTEGER)
            case FieldKind.BOOLEAN | FieldKind.CHOICE:
                if sent not in {each.value for each in self.choices}:
                    raise UnreadableError("is not one of the choices")
                return read_json(sent)
            case FieldKind.JSON:
                return read_json(sent)
            case FieldKind.DATE:
                if not DATE.fullmatch(sent):
                    raise UnreadableError("must be a date: 2026-12-31")
                return sent
            case _:
                # A browser sends each end of a line as both characters.
                return sent.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True, kw_only=True)
class Section:
    """The fields of one object of the payload; the first section is the payload itself."""

    path: tuple[str, ...]
    label: str
    description: str
    required: bool
    fields: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True)
class FieldSet:
    """The form of a schema."""

    sections: tuple[Section, ...]
    has_rest: bool
    """Whether the payload may have keys that have no field."""

    @property
    def fields(self) -> Iterator[Field]:
        return (each for section in self.sections for each in section.fields)


BOOLEANS: Final = (Choice(value="true", label="yes"), Choice(value="false", label="no"))


def field_set(schema: Mapping[str, object]) -> FieldSet | None:
    """The fields of a schema; None where it names no property."""
    walk = _Walk(root=schema)
    whole = walk.resolved(schema)
    if not as_object(whole.get("properties")):
        return None
    walk.visit(whole, path=(), label="", required=True)
    return FieldSet(sections=tuple(walk.sections), has_rest=walk.has_rest)


def payload_of(found: FieldSet, sent: Mapping[str, str]) -> tuple[JsonObject, list[Mistake]]:
    """The payload that a form sent, and what could not be read of it. A field that is left empty is left out."""
    payload: JsonObject = {}
    mistakes: list[Mistake] = []
    try:
        rest = read_json(sent.get(REST, "").strip() or "{}")
        payload = dict(rest) if is_object(rest) else {}
        if not is_object(rest):
            mistakes.append(Mistake("", "Further keys: must be a JSON object"))
    except UnreadableError as error:
        mistakes.append(Mistake("", f"Further keys: {error}"))
    for section in found.sections:
        for each in section.fields:
            text = sent.get(each.at, "")
            if not text.strip():
                continue
            try:
                _put(payload, each.path, each.read(text))
            except UnreadableError as error:
                mistakes.append(Mistake(each.at, str(error)))
    _put_required(found, payload)
    return payload, mistakes


def texts_of(found: FieldSet, payload: Mapping[str, object]) -> dict[str, str] | None:
    """What stands in the fields for a payload; None where the fields can't hold it."""
    rest: JsonObject = json.loads(json.dumps(payload))
    texts: dict[str, str] = {}
    for each in found.fields:
        holder = _holder(rest, each.path)
        if holder is None or each.path[-1] not in holder:
            continue
        value = holder.pop(each.path[-1])
        text = text_of(value, as_json=each.kind in (FieldKind.JSON, FieldKind.CHOICE, FieldKind.BOOLEAN))
        if text is None:
            return None
        texts[each.at] = text
    for section in reversed(found.sections):
        _drop_empty(rest, section)
    if rest:
        if not found.has_rest:
            return None
        texts[REST] = json.dumps(rest, indent=2, ensure_ascii=False)
    wanted: JsonObject = json.loads(json.dumps(payload))
    _put_required(found, wanted)
    return texts if payload_of(found, texts) == (wanted, []) else None


def _drop_empty(rest: JsonObject, section: Section) -> None:
    """Take out an object of which all keys have gone to fields."""
    if not section.path:
        return
    holder = _holder(rest, section.path)
    if holder is not None and holder.get(section.path[-1]) == {}:
        del holder[section.path[-1]]


def _holder(whole: JsonObject, path: Sequence[str]) -> JsonObject | None:
    """The object that has the last key of a path."""
    for key in path[:-1]:
        inner = whole.get(key)
        if not is_object(inner):
            return None
        whole = inner
    return whole


def _put(payload: JsonObject, path: Sequence[str], value: object) -> None:
    for key in path[:-1]:
        inner = payload.get(key)
        if not is_object(inner):
            inner = payload[key] = {}
        payload = inner
    payload[path[-1]] = value


def _put_required(found: FieldSet, payload: JsonObject) -> None:
    """Put an empty object where one is required of which no field was filled in."""
    for section in found.sections:
        if section.path and section.required:
            holder = _holder(payload, section.path)
            if holder is not None:
                holder.setdefault(section.path[-1], {})


@dataclass(kw_only=True)
class _Walk:
    """A walk over the objects of a schema, which may hold itself."""

    root: Mapping[str, object]
    sections: list[Section] = field(default_factory=list)
    count: int = 0
    has_rest: bool = False

    def resolved(self, schema: Mapping[str, object]) -> JsonObject:
        """A schema with its local reference followed, and without the ``null`` of what may be left out."""
        found = dict(schema)
        for _ in range(MOST_REFERENCES):
            inner = self._inner(found)
            if inner is None:
                return found
            words: JsonObject = {key: found[key] for key in ("title", "description", "default") if key in found}
            found = {**inner, **words}
        return {}

    def _inner(self, schema: JsonObject) -> JsonObject | None:
        if (reference := as_text(schema.get("$ref"))) is not None:
            return self._referred(reference)
        for key in ("allOf", "anyOf", "oneOf"):
            choices = schema.get(key)
            if isinstance(choices, list):
                others = [each for each in choices if not (is_object(each) and each.get("type") == "null")]
                if len(others) == 1 and is_object(others[0]) and "properties" not in schema:
                    return others[0]
        return None

    def _referred(self, reference: str) -> JsonObject:
        if not reference.startswith("#"):
            return {}
        found: object = self.root
        for part in reference[1:].split("/")[1:MOST_REFERENCES]:
            found = as_object(found).get(part.replace("~1", "/").replace("~0", "~"))
        return dict(as_object(found))

    def visit(self, schema: JsonObject, *, path: tuple[str, ...], label: str, required: bool) -> None:
        """Make the section of an object, and after it those of the objects in it."""
        properties, needed = as_object(schema.get("properties")), schema.get("required")
        names = {each for each in needed if isinstance(each, str)} if isinstance(needed, list) else set()
        fields: list[Field] = []
        inner: list[tuple[str, JsonObject]] = []
        if schema.get("additionalProperties") is not False:
            self.has_rest = True
        for key, raw in properties.items():
            found = self.resolved(as_object(raw))
            if len(key) > LONGEST_KEY or not key.isprintable() or self.count >= MOST_FIELDS:
                self.has_rest = True
            elif as_object(found.get("properties")) and len(path) + 1 < MOST_DEPTH and len(inner) < MOST_SECTIONS:
                inner.append((key, found))
            else:
                self.count += 1
                fields.append(_field(found, (*path, key), required=required and key in names))
        fields.sort(key=lambda each: not each.required)  # the apiserver keeps no order of keys
        described = _words(schema.get("description"))
        made = Section(path=path, label=label, description=described, required=required, fields=tuple(fields))
        self.sections.append(made)
        for key, found in inner:
            if len(self.sections) >= MOST_SECTIONS:
                self.has_rest = True
                break
            name = _words(found.get("title")) or key
            self.visit(
                found,
                path=(*path, key),
                label=f"{label} › {name}" if label else name,
                required=required and key in names,
            )


def _field(schema: JsonObject, path: tuple[str, ...], *, required: bool) -> Field:
    choices = _choices(schema)
    default = schema.get("default")
    longest = _number(schema.get("maxLength"))
    return Field(
        path=path,
        kind=FieldKind.CHOICE if choices else _kind(schema),
        label=_words(schema.get("title")) or path[-1],
        description=_words(schema.get("description")),
        required=required,
        default="" if default is None else _words(text_of(default, as_json=False) or json.dumps(default)),
        choices=choices or (BOOLEANS if _kind(schema) == FieldKind.BOOLEAN else ()),
        least=_number(schema.get("minimum")),
        most=_number(schema.get("maximum")),
        longest=int(longest) if longest is not None and 0 < longest < 1_000_000 else None,
    )


def _kind(schema: JsonObject) -> FieldKind:
    types = schema.get("type")
    if isinstance(types, list):
        types = next((each for each in types if each != "null"), None) if len(types) == 2 and "null" in types else None
    if types == "string":
        if schema.get("format") == "date":
            return FieldKind.DATE
        longest = _number(schema.get("maxLength"))
        several = "contentMediaType" in schema or (longest is not None and longest > LONG_TEXT)
        return FieldKind.LONG_TEXT if several else FieldKind.TEXT
    return {"number": FieldKind.NUMBER, "integer": FieldKind.INTEGER, "boolean": FieldKind.BOOLEAN}.get(
        types if isinstance(types, str) else "", FieldKind.JSON
    )


def _choices(schema: JsonObject) -> tuple[Choice, ...]:
    """Of ``enum``, or of a union of constants with titles."""
    listed: list[tuple[object, str]] = []
    if isinstance(values := schema.get("enum"), list):
        listed = [(value, "") for value in values if value is not None]
    else:
        for key in ("oneOf", "anyOf"):
            union = schema.get(key)
            if isinstance(union, list) and union and all(is_object(each) and "const" in each for each in union):
                listed = [(each["const"], _words(each.get("title"))) for each in union]
    if not 0 < len(listed) <= MOST_CHOICES:
        return ()
    return tuple(
        Choice(value=json.dumps(value), label=label or _words(text_of(value, as_json=False) or json.dumps(value)))
        for value, label in listed
    )


def _words(value: object) -> str:
    """A title or a description, in one line."""
    return " ".join(value.split())[:LONGEST_WORDS] if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 else None
