"""What all types share: camelCase on the wire, unknown fields refused, and the marks that only a CRD knows.

A pydantic model cannot say "this list is a map by `name`" or "keep what you don't know": those marks ride along in
`json_schema_extra` and come out in the CRD as they are.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tidegate_api.names import DNS_LABEL


class ApiModel(BaseModel):
    """A piece of a resource. Field names are snake_case here and camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


PRESERVE: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def list_map(*keys: str) -> dict[str, Any]:
    """Mark a list as a map by `keys`: server-side apply then merges it item by item."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def rule(expression: str, message: str, *, field_path: str | None = None) -> dict[str, Any]:
    """One CEL rule of `x-kubernetes-validations`."""
    made: dict[str, Any] = {"rule": expression, "message": message}
    if field_path is not None:
        made["fieldPath"] = field_path
    return made


def same(field: str) -> str:
    """CEL: `field` is absent on both sides or equal on both."""
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


FreeObject = Annotated[dict[str, Any], Field(json_schema_extra=PRESERVE)]
"""A JSON object kept as it is."""

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
Text = Annotated[str, Field(max_length=32768)]
YEARS = r"^(19[7-9][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-"
"""1970 to 9998: a time with any offset then lies between the epoch and the end of what programs can count."""

Time = Annotated[datetime, Field(json_schema_extra={"type": "string", "format": "date-time", "pattern": YEARS})]
"""RFC 3339, between the years 1970 and 9998."""

Quantity = Annotated[
    int | str,
    Field(json_schema_extra={"x-kubernetes-int-or-string": True}),
]


class EnvVar(ApiModel):
    """One environment variable, as in a container."""

    name: Annotated[str, Field(min_length=1, max_length=256, description="Name of the variable.")]
    value: Annotated[Text | None, Field(description="Its value; `$(OTHER)` is expanded as in a container.")] = None
    value_from: Annotated[
        FreeObject | None,
        Field(description="Source of the value: a key of a Secret or ConfigMap, or a field of the pod."),
    ] = None


class Resources(ApiModel):
    """Compute resources, as in a container."""

    requests: Annotated[
        dict[str, Quantity] | None, Field(description="What the scheduler sets aside for the container.")
    ] = None
    limits: Annotated[dict[str, Quantity] | None, Field(description="What the container may use at most.")] = None


class Condition(ApiModel):
    """A condition after the Kubernetes API conventions."""

    type: Annotated[str, Field(max_length=316, description="Name of the condition.")]
    status: Annotated[
        str, Field(description="True, False or Unknown.", json_schema_extra={"enum": ["True", "False", "Unknown"]})
    ]
    reason: Annotated[str | None, Field(max_length=1024, description="Why, in CamelCase.")] = None
    message: Annotated[Text | None, Field(description="Why, for a person.")] = None
    last_transition_time: Annotated[Time | None, Field(description="When the status last changed.")] = None
    observed_generation: Annotated[int | None, Field(ge=0, description="The generation this speaks of.")] = None


Conditions = Annotated[list[Condition], Field(max_length=16, json_schema_extra=list_map("type"))]
