"""A JSON Schema (2020-12) of what a task's arguments take, from its annotations: the same rules as ``tidegate.arguments``, written
in advance, so that a payload that doesn't fit is refused before any pod.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import typing
from typing import Any, Callable

from tidegate.arguments import MAPPINGS, NAMES, SEQUENCES, UNIONS, is_model, is_typed_dict
from tidegate.errors import PayloadError
from tidegate.hints import Hint, of_keys, of_parameter, resolved, signature

Schema = typing.Dict[str, Any]


def payload_schema(function: Callable[..., object]) -> Schema:
    """The schema of a payload for this function. Raises TypeError for an annotation that a payload can't fill."""
    types = _Types()
    schema = types.arguments(function, "argument ")
    if types.definitions:
        schema["$defs"] = {name: types.definitions[name] for name in sorted(types.definitions)}
    return schema


class _Types:
    """Schemas of types; classes stand in ``$defs``, so that one may hold itself."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._names: dict[Hint, str] = {}

    def arguments(self, function: Callable[..., object], where: str) -> Schema:
        """An object with what a function, or a dataclass, is called with."""
        properties: Schema = {}
        required: list[str] = []
        rest: object = False
        for name, parameter in signature(function).parameters.items():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                continue
            schema = self._parameter(function, parameter, f"{where}{name}")
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                rest = schema or True
                continue
            properties[name] = schema
            if parameter.default is inspect.Parameter.empty:
                required.append(name)
            elif "$ref" not in schema and _is_json(parameter.default):
                properties[name] = {**schema, "default": parameter.default}
        whole: Schema = {"type": "object", "properties": properties}
        if required:
            whole["required"] = required
        if rest is not True:
            whole["additionalProperties"] = rest
        return whole

    def _parameter(self, function: Callable[..., object], parameter: inspect.Parameter, where: str) -> Schema:
        required = parameter.default is inspect.Parameter.empty
        schema = self._known(lambda: of_parameter(function, parameter), where, required=required)
        if parameter.default is None and schema and not _takes_null(schema):
            return {"anyOf": [schema, {"type": "null"}]}
        return schema

    def _known(self, hint: Callable[[], Hint], where: str, *, required: bool) -> Schema:
        """Anything, where the annotation can't be read and may be left out: the pod says whether it can be filled."""
        try:
            return self.of(hint(), where)
        except PayloadError:
            if required:
                raise
            return {}

    def of(self, hint: Hint, where: str) -> Schema:
        """What an annotation takes."""
        if type(hint).__name__ == "TypeAliasType":  # it may hold itself
            return self._defined(hint, lambda: self.of(resolved(hint), where))
        hint = resolved(hint)
        if hint in (Any, object, inspect.Parameter.empty) or isinstance(hint, typing.TypeVar):
            return {}
        if hint is None:
            return {"type": "null"}
        origin: Hint = typing.get_origin(hint)
        inner = typing.get_args(hint)
        if origin in UNIONS:
            return {"anyOf": [self.of(choice, where) for choice in inner]}
        if origin is typing.Literal:
            return {"enum": list(inner)}
        kind = origin or hint
        if kind is tuple:
            return self._tuple(inner, where)
        if kind in SEQUENCES:
            return self._array(inner[0] if inner else Any, where)
        if kind in MAPPINGS:
            values = self.of(inner[1], where) if inner else {}
            return {"type": "object", **({"additionalProperties": values} if values else {})}
        return self._plain(kind, where)

    def _plain(self, kind: Hint, where: str) -> Schema:
        if kind in NAMES:
            return {"type": NAMES[kind]}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        if is_typed_dict(kind):
            return self._defined(kind, lambda: self._typed_dict(kind, where))
        if dataclasses.is_dataclass(kind):
            return self._defined(kind, lambda: self.arguments(kind, f"{where}."))  # type: ignore[arg-type]
        if is_model(kind):
            return self._defined(kind, lambda: self._model(kind))
        name = getattr(kind, "__name__", repr(kind))
        raise TypeError(f"{where} has the type {name}, which a payload can't fill")

    def _tuple(self, inner: tuple[Hint, ...], where: str) -> Schema:
        if not inner or (len(inner) == 2 and inner[1] is Ellipsis):
            return self._array(inner[0] if inner else Any, where)
        size = len(inner)
        return {
            "type": "array",
            "prefixItems": [self.of(item, where) for item in inner],
            "minItems": size,
            "maxItems": size,
        }

    def _array(self, item: Hint, where: str) -> Schema:
        items = self.of(item, where)
        return {"type": "array", **({"items": items} if items else {})}

    def _typed_dict(self, kind: Hint, where: str) -> Schema:
        hints = of_keys(kind)
        required = sorted(getattr(kind, "__required_keys__", hints))
        whole: Schema = {
            "type": "object",
            "properties": {
                name: self._known(hint, f"{where}.{name}", required=name in required) for name, hint in hints.items()
            },
        }
        return {**whole, "required": required} if required else whole

    def _model(self, kind: Hint) -> Schema:
        schema: Schema = kind.model_json_schema(ref_template="#/$defs/{model}")
        for name, definition in schema.pop("$defs", {}).items():
            if self.definitions.setdefault(name, definition) != definition:
                raise TypeError(f"two types of the payload are called {name}: give one another name")
        return schema

    def _defined(self, kind: Hint, make: Callable[[], Schema]) -> Schema:
        if kind not in self._names:
            name = kind.__name__
            if name in self._names.values():
                raise TypeError(f"two types of the payload are called {name}: give one another name")
            self._names[kind] = name
            try:
                self.definitions[name] = make()
            except PayloadError:
                del self._names[kind]
                raise
        return {"$ref": f"#/$defs/{self._names[kind]}"}


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _takes_null(schema: Schema) -> bool:
    return schema.get("type") == "null" or any(map(_takes_null, schema.get("anyOf", ())))
