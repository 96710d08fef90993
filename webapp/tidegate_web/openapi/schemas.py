"""From Python types to the schemas of the description.

In the types of resources, ``tidegate_api``, an optional field is left out and never null, as the apiserver has it. In
everything else of the API null is a value.
"""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from tidegate_api.base import ApiModel

Schema = dict[str, Any]
"""A JSON schema, or a larger part of the description: what pydantic makes has no types."""

REFERENCE = "#/components/schemas/{model}"
OF_THE_CLUSTER = "x-kubernetes-"


class JsonOf:
    """Marks a dict that is the JSON of this type."""

    def __init__(self, model: object) -> None:
        self._model = model

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        del source
        return handler.generate_schema(self._model)


def or_null(schema: Schema) -> None:
    """For a field of a resource's type that may be null over HTTP."""
    kept = {name: schema.pop(name) for name in list(schema) if name not in ("default", "description")}
    schema["anyOf"] = [kept, {"type": "null"}]


class _Generator(GenerateJsonSchema):
    _of_resource = False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        outer, self._of_resource = self._of_resource, issubclass(schema["cls"], ApiModel)
        try:
            return super().model_schema(schema)
        finally:
            self._of_resource = outer

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"]) if self._of_resource else super().nullable_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(re.sub(r"^(\w+)\[(\w+)\]$", r"\2\1", name))  # Page[Run] is a RunPage


def schemas_of(types: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each type, and the named ones that they refer to."""
    inputs = [(number, "validation", TypeAdapter[object](one)) for number, one in enumerate(types)]
    found, definitions = TypeAdapter.json_schemas(
        inputs,  # type: ignore[arg-type]
        ref_template=REFERENCE,
        schema_generator=_Generator,
    )
    named = definitions.get("$defs", {})
    in_order = [_plain(found[(number, "validation")]) for number in range(len(types))]
    return in_order, {name: _plain(named[name]) for name in sorted(named)}


def _plain(node: Any) -> Any:
    """Without what only a CRD knows, titles that repeat a name, and defaults that mean absence."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {}
    for key, value in node.items():
        if key.startswith(OF_THE_CLUSTER) or (key == "title" and isinstance(value, str)):
            continue
        if key == "default" and value is None:
            continue
        if key == "properties":
            made[key] = {name: _plain(field) for name, field in value.items()}
        else:
            made[key] = value if key in ("default", "enum", "const") else _plain(value)
    return made
