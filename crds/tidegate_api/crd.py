"""From types to CustomResourceDefinitions.

pydantic speaks JSON Schema 2020-12 with references; the apiserver wants a *structural* schema: no references, one type a
node, `nullable` instead of a null type. This module is that translation, and nothing else knows it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tidegate_api.base import ApiModel, rule
from tidegate_api.names import CATEGORY, DNS_LABEL, GROUP, VERSION
from tidegate_api.pool import WorkerPool
from tidegate_api.queue import Queue
from tidegate_api.schedule import Schedule
from tidegate_api.task import Task
from tidegate_api.taskrun import TaskRun

Schema = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of `kubectl get`. `priority` 1 shows it with `-o wide` only."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What a CRD says beside the schema."""

    model: type[ApiModel]
    plural: str
    short: str
    columns: Sequence[Column]
    name_length: int = 63
    selectable: Sequence[str] = ()
    scale: Mapping[str, str] | None = None
    """The scale subresource, where the kind has one."""

    @property
    def name(self) -> str:
        """The kind, such as TaskRun."""
        return self.model.__name__


AGE: Final = Column(name="Age", json_path=".metadata.creationTimestamp", type="date")

KINDS: Final[Sequence[Kind]] = (
    Kind(
        model=TaskRun,
        plural="taskruns",
        short="tgr",
        columns=(
            Column(name="Task", json_path=".spec.taskRef.name"),
            Column(name="Queue", json_path=".status.queue"),
            Column(name="Phase", json_path=".status.phase"),
            Column(name="Reason", json_path=".status.reason"),
            Column(
                name="Attempts",
                json_path=".status.attempts[-1:].number",
                type="integer",
                description="Number of the last attempt.",
            ),
            Column(name="Duration", json_path=".status.duration"),
            AGE,
            Column(name="Message", json_path=".status.message", priority=1),
        ),
        selectable=(".status.phase", ".spec.taskRef.name"),
    ),
    Kind(
        model=Task,
        plural="tasks",
        short="tgt",
        columns=(
            Column(name="Image", json_path=".spec.image"),
            Column(name="Pool", json_path=".spec.pool"),
            Column(name="Entrypoint", json_path=".spec.entrypoint"),
            Column(name="Queue", json_path=".spec.queue"),
            AGE,
            Column(name="Description", json_path=".spec.description", priority=1),
        ),
    ),
    Kind(
        model=Queue,
        plural="queues",
        short="tgq",
        columns=(
            Column(name="Limit", json_path=".spec.concurrencyLimit", type="integer"),
            Column(name="Paused", json_path=".spec.paused", type="boolean"),
            Column(name="Pending", json_path=".status.pending", type="integer"),
            Column(name="Running", json_path=".status.running", type="integer"),
            AGE,
        ),
    ),
    Kind(
        model=Schedule,
        plural="schedules",
        short="tgs",
        name_length=48,
        columns=(
            Column(name="Cron", json_path=".spec.cron"),
            Column(name="Zone", json_path=".spec.timeZone"),
            Column(name="Suspend", json_path=".spec.suspend", type="boolean"),
            Column(name="Last", json_path=".status.lastScheduleTime", type="date"),
            Column(name="Next", json_path=".status.nextScheduleTime"),
            AGE,
        ),
    ),
    Kind(
        model=WorkerPool,
        plural="workerpools",
        short="tgw",
        columns=(
            Column(name="Ready", json_path=".status.readyReplicas", type="integer"),
            Column(name="Slots", json_path=".status.slots", type="integer"),
            Column(name="Busy", json_path=".status.busy", type="integer"),
            Column(name="Waiting", json_path=".status.waiting", type="integer"),
            Column(name="Image", json_path=".spec.image"),
            AGE,
            Column(name="Message", json_path='.status.conditions[?(@.type=="Ready")].message', priority=1),
        ),
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    ),
)


def build_crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of one kind, as a manifest."""
    lower = kind.name.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            # `helm uninstall` must not take every run of the cluster with it.
            "annotations": {"helm.sh/resource-policy": "keep"},
            "labels": {"app.kubernetes.io/name": "tidegate", "app.kubernetes.io/component": "crds"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": lower,
                "shortNames": [kind.short],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}, **({"scale": dict(kind.scale)} if kind.scale else {})},
                    "additionalPrinterColumns": [_column(c) for c in kind.columns],
                    **({"selectableFields": [{"jsonPath": p} for p in kind.selectable]} if kind.selectable else {}),
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                }
            ],
        },
    }


def structural_schema(model: type[ApiModel]) -> Schema:
    """The structural schema of a type, every reference inlined."""
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def _column(column: Column) -> Schema:
    made: Schema = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.priority:
        made["priority"] = column.priority
    if column.description:
        made["description"] = column.description
    return made


def _root_schema(kind: Kind) -> Schema:
    schema = structural_schema(kind.model)
    schema["properties"] = {
        "apiVersion": {"type": "string", "description": "Version of the schema of this representation."},
        "kind": {"type": "string", "description": "Kind of the object."},
        "metadata": {"type": "object"},
        **schema["properties"],
    }
    schema["x-kubernetes-validations"] = [
        rule(
            f"self.metadata.name.size() <= {kind.name_length} && self.metadata.name.matches('{DNS_LABEL}')",
            f"a {kind.name}'s name is a DNS label of at most {kind.name_length} characters",
        )
    ]
    return schema


def _structural(node: Schema, defs: Mapping[str, Schema]) -> Schema:
    if "$ref" in node:
        target = defs[node["$ref"].rsplit("/", 1)[1]]
        beside = {k: v for k, v in node.items() if k != "$ref"}
        return _structural({**target, **beside}, defs)
    if "anyOf" in node and not node.get("x-kubernetes-int-or-string"):
        # Optional fields: X | None. Absence is how an absent value is written, so null is not accepted.
        options = [o for o in node["anyOf"] if o.get("type") != "null"]
        if len(options) != 1:
            raise TypeError(f"a structural schema has one type a node, not {options}")
        beside = {k: v for k, v in node.items() if k != "anyOf"}
        return _structural({**options[0], **beside}, defs)
    made: Schema = {}
    for key, value in node.items():
        if key in {"title", "$defs", "additionalProperties"}:
            continue
        if key == "default" and value is None:
            continue
        if key == "properties":
            made[key] = {name: _structural(field, defs) for name, field in value.items()}
        elif key == "items":
            made[key] = _structural(value, defs)
        else:
            made[key] = value
    extra = node.get("additionalProperties")
    if isinstance(extra, dict):
        made["additionalProperties"] = _structural(extra, defs)
    if "type" not in made and made.get("x-kubernetes-preserve-unknown-fields"):
        made["nullable"] = True
    return made
