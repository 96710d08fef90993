"""YAML as people write manifests, read as JSON, and the line at which each field stands. Pure.

It is read event by event, so that no nesting ends the process. What JSON has not is refused: anchors and aliases, which can make a
gigabyte of a kilobyte, tags, and a key that is there twice. Times stay text, as kubectl reads them.
"""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Final

import yaml

from tidegate_web.shared import json_text
from tidegate_web.shared.json_types import JsonObject, is_object

MOST_VALUES: Final = 20_000
MOST_DEPTH: Final = 100
_TAG: Final = "tag:yaml.org,2002:"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PART = re.compile(r"[^.\[\]]+")

Place = tuple[str, ...]


class YamlError(ValueError):
    """It can't be read; ``line`` is where, from 1 on, or 0."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, kw_only=True)
class Document:
    """What was written."""

    value: JsonObject
    lines: dict[Place, int]

    def line_of(self, name: str) -> int:
        """The line of a field such as ``spec.env[0].name``, or of what it would be in; 0 for none."""
        place = tuple(_PART.findall(name))
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)


@dataclass(slots=True)
class _Open:
    """An object or a list that has begun."""

    value: JsonObject | list[object]
    place: Place
    key: str | None = None


@dataclass(slots=True)
class _Reader:
    resolver: yaml.SafeLoader = field(default_factory=lambda: yaml.SafeLoader(""))
    stack: list[_Open] = field(default_factory=list)
    lines: dict[Place, int] = field(default_factory=dict)
    top: object = None
    documents: int = 0
    values: int = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlError("anchors and aliases are not taken here", line=line)
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise YamlError("there must be one document", line=line)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            if event.tag not in (None, "!", f"{_TAG}map", f"{_TAG}seq"):
                raise YamlError(f"the tag {event.tag} is not taken here", line=line)
            is_map = isinstance(event, yaml.MappingStartEvent)
            made: JsonObject | list[object] = {} if is_map else []
            place = self._put(made, line)
            self.stack.append(_Open(made, place))
            if len(self.stack) > MOST_DEPTH:
                raise YamlError(f"nested deeper than {MOST_DEPTH} levels", line=line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        at = self.stack[-1] if self.stack else None
        if at is not None and is_object(at.value) and at.key is None:
            if event.value in at.value:
                raise YamlError(f"the key {event.value!r} is there twice", line=line)
            if event.value == "<<" and event.implicit[0]:
                raise YamlError("merge keys are not taken here", line=line)
            at.key = event.value
            self.lines[(*at.place, event.value)] = line
            return
        self._put(self._value(event, line), line)

    def _put(self, value: object, line: int) -> Place:
        self.values += 1
        if self.values > MOST_VALUES:
            raise YamlError(f"there are more than {MOST_VALUES} values", line=line)
        if not self.stack:
            self.top = value
            return ()
        at = self.stack[-1]
        if isinstance(at.value, list):
            at.value.append(value)
            place = (*at.place, str(len(at.value) - 1))
            self.lines[place] = line
            return place
        if at.key is None:
            raise YamlError("a key must be a text", line=line)
        place = (*at.place, at.key)
        at.value[at.key] = value
        at.key = None
        return place

    def _value(self, event: yaml.ScalarEvent, line: int) -> object:
        text, tag = event.value, event.tag
        if tag in (None, "!"):
            plain = tag is None and event.implicit[0]
            tag = str(self.resolver.resolve(yaml.ScalarNode, text, (True, False)) if plain else f"{_TAG}str")  # type: ignore[no-untyped-call]
        kind = tag.removeprefix(_TAG)
        if kind == "null":
            return None
        # "12:30" is a number of minutes to YAML 1.1, and a text to kubectl.
        if kind in ("str", "timestamp", "value", "merge") or (kind in ("int", "float") and ":" in text):
            return text
        if kind not in ("bool", "int", "float"):
            raise YamlError(f"the tag {tag} is not taken here", line=line)
        try:
            value: object = self.resolver.construct_object(yaml.ScalarNode(tag, text))
        except (ValueError, KeyError) as error:
            raise YamlError(f"{text[:40]!r} is no {kind}", line=line) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise YamlError(f"{text} is no number of JSON", line=line)
        return value


def read(text: str) -> Document:
    """The object that a text has. Raises YamlError.

    What is JSON is read as JSON: some of its texts are others in YAML, which folds lines also at U+2028.
    """
    if text.lstrip().startswith("{") and not json_text.is_too_deep(text, most=MOST_DEPTH):
        try:
            return Document(value=json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant), lines={})
        except json.JSONDecodeError:
            pass  # YAML has objects in braces too
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=_Loader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(error.problem or "it is no YAML", line=mark.line + 1 if mark else 0) from None
    except yaml.YAMLError as error:
        raise YamlError(f"it is no YAML: {str(error)[:200]}") from None
    if not is_object(reader.top):
        raise YamlError("it must be an object, with apiVersion, kind, metadata and spec", line=1)
    return Document(value=reader.top, lines=reader.lines)


def _once(pairs: list[tuple[str, object]]) -> JsonObject:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise YamlError("a key is there twice")
    return found


def _no_constant(name: str) -> object:
    raise YamlError(f"{name} is no number of JSON")
