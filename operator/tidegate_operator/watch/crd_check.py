"""Whether the cluster serves our kinds as this version knows them.

kopf warns once about a missing CRD and then idles for ever; an older CRD drops new fields in silence, which is worse. The
apiserver publishes what it serves to every signed-in client (OpenAPI), so no right to read CRDs is needed.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypedDict

from tidegate_api.crd import KINDS, Kind, structural_schema
from tidegate_api.names import GROUP

from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import UNREACHABLE, KubeError
from tidegate_operator.kube.paths import OWN_GROUP

Schema = Mapping[str, Any]
"""An OpenAPI schema: only the schema itself says what it may hold."""
FIELDS_NAMED: Final = 3


class _Resource(TypedDict):
    name: str


class _ResourceList(TypedDict):
    resources: list[_Resource]


class _Components(TypedDict):
    schemas: Mapping[str, Schema]


class _OpenApi(TypedDict):
    components: _Components


async def installation_problem(client: KubeClient) -> str | None:
    """Why the operator can't work with what is served, or None."""
    try:
        served = await client.get(OWN_GROUP, _ResourceList, resource="apis")
        names = {r["name"] for r in served["resources"]}
        if missing := sorted(kind.plural for kind in KINDS if kind.plural not in names):
            return f"the CRDs of {', '.join(missing)} are not installed"
        openapi = await client.get(f"/openapi/v3{OWN_GROUP}", _OpenApi, resource="openapi")
        schemas = openapi["components"]["schemas"]
    except KubeError as error:
        return f"the CRDs of {GROUP} are not installed" if error.code == 404 else str(error)
    except UNREACHABLE as error:
        return f"the apiserver does not answer: {error!r}"
    for kind in KINDS:
        if lacking := sorted(_fields_lacking(kind, schemas)):
            more = f" and {len(lacking) - FIELDS_NAMED} more" if len(lacking) > FIELDS_NAMED else ""
            return (
                f"the CRD of {kind.plural} is older than this version: it lacks {', '.join(lacking[:FIELDS_NAMED])}{more}; "
                "upgrade the CRDs"
            )
    return None


def _fields_lacking(kind: Kind, schemas: Mapping[str, Schema]) -> set[str]:
    served: Schema = next(
        (
            s
            for s in schemas.values()
            if any(g.get("kind") == kind.name for g in s.get("x-kubernetes-group-version-kind") or ())
        ),
        {},
    )
    return set(_fields(structural_schema(kind.model))) - set(_fields(served))


def _fields(schema: Schema, path: str = "") -> Iterator[str]:
    """Every field below `schema`, as a path."""
    for name, below in (schema.get("properties") or {}).items():
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        here = f"{path}.{name}" if path else name
        yield here
        yield from _fields(below, here)
    for inner in schema.get("allOf") or ():
        yield from _fields(inner, path)
    if isinstance(items := schema.get("items"), Mapping):
        yield from _fields(items, path)
