"""The whole description: every route of the API with what its view declares, as one OpenAPI document."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from werkzeug.routing import Rule

from tidegate_web.openapi.operations import JSON, By, Operation, operation_of
from tidegate_web.openapi.parameters import Parameter
from tidegate_web.openapi.paths import Place, places
from tidegate_web.openapi.schemas import Schema, schemas_of
from tidegate_web.openapi.security import SCHEMES, permission_name, permission_text, refusals, security_of
from tidegate_web.shared.permissions import Permission, permission_of
from tidegate_web.shared.problems import MEDIA_TYPE, ProblemBody

INFO: Schema = {
    "title": "Tidegate",
    "version": "v1",
    "description": "Background work on your own Kubernetes: runs, what they are made from, and who may do what.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
PREFIXES = {"/api/v1/": None, "/internal/v1/": "pods", "/live/v1/": "live"}
"""What is described, and the tag of all of it; None: by what it is about."""
TAGS = {
    "pods": "What pods of runs call.",
    "live": "Streams of Server-Sent Events, resumable with `Last-Event-ID`.",
}
HEADERS: Schema = {
    "ETag": {"description": "Version of what is answered, for If-Match.", "schema": {"type": "string"}},
    "Location": {"description": "Where it is from now on.", "schema": {"type": "string", "format": "uri-reference"}},
    "Retry-After": {
        "description": "Seconds after which to ask again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "How to sign in.", "required": True, "schema": {"type": "string"}},
}
ON_PROBLEMS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A method of a path, and what is declared about it."""

    place: Place
    method: str
    view: Callable[..., object]
    permission: Permission
    declared: Operation

    @property
    def words(self) -> Mapping[str, str]:
        """What may stand in braces in a summary or name."""
        words = {**self.place.arguments, "method": self.method.lower()}
        return words | {"one": words["kind"].removesuffix("s")} if "kind" in words else words

    @property
    def name(self) -> str:
        first, *rest = (self.declared.name or self.view.__name__).format(**self.words).split("_")
        return first + "".join(word.capitalize() for word in rest)

    @property
    def types(self) -> list[object]:
        """Every type of it, in the order of their use."""
        found = [self.declared.body, *self.declared.answers.values(), *self.declared.media.values()]
        return [self._one(kind) for kind in found if kind is not None]

    def _one(self, kind: object) -> object:
        return kind.types[self.place.arguments[kind.argument]] if isinstance(kind, By) else kind


class UndescribedError(Exception):
    """A route of the API that declares nothing about itself; names it."""


def calls(rules: Iterable[Rule], views: Mapping[str, Callable[..., object]]) -> Iterator[Call]:
    """Every call of the API, in the order of paths."""
    for rule in sorted(rules, key=lambda rule: rule.rule):
        if not rule.rule.startswith(tuple(PREFIXES)):
            continue
        view = views[rule.endpoint]
        permission, declared = permission_of(view), operation_of(view)
        if permission is None or declared is None:
            raise UndescribedError(f"{rule.rule} lacks @requires or @describes")
        for place in places(rule.rule):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Call(place=place, method=method, view=view, permission=permission, declared=declared)


def document(rules: Iterable[Rule], views: Mapping[str, Callable[..., object]]) -> Schema:
    """The description of these routes."""
    found = list(calls(rules, views))
    kinds = [kind for call in found for kind in call.types]
    in_order, named = schemas_of([*kinds, ProblemBody])
    schemas, paths, tags = iter(in_order), dict[str, Schema](), dict[str, None]()
    used: set[int] = set()
    for call in found:
        operation = _operation(call, schemas, used)
        paths.setdefault(call.place.path, {})[call.method.lower()] = operation
        tags |= dict.fromkeys(operation["tags"])
    return {
        "openapi": "3.1.1",
        "info": INFO,
        "tags": [{"name": tag} | ({"description": TAGS[tag]} if tag in TAGS else {}) for tag in tags],
        "paths": paths,
        "components": {
            "securitySchemes": SCHEMES,
            "responses": {_phrase(status): _problem(status) for status in sorted(used)},
            "headers": HEADERS,
            "schemas": named,
        },
    }


def _operation(call: Call, schemas: Iterator[Schema], used: set[int]) -> Schema:
    declared = call.declared
    made: Schema = {
        "operationId": call.name,
        "summary": _sentence(declared.summary.format(**call.words)),
        "description": permission_text(call.permission),
        "tags": [_tag(call.place)],
        "x-tidegate-permission": permission_name(call.permission),
        "security": security_of(call.permission, call.method),
        "parameters": [*call.place.parameters, *(_parameter(one) for one in declared.parameters)],
    }
    if declared.body is not None:
        made["requestBody"] = {"required": declared.body_required, "content": {JSON: {"schema": next(schemas)}}}
    answers = {
        status: _answer(status, next(schemas) if kind is not None else None, declared.headers)
        for status, kind in declared.answers.items()
    }
    for media in declared.media:
        answers[min(answers)].setdefault("content", {})[media] = {"schema": next(schemas)}
    problems = sorted(set(_problems(call)))
    used |= set(problems)
    answers |= {status: {"$ref": f"#/components/responses/{_phrase(status)}"} for status in problems}
    made["responses"] = {str(status): answers[status] for status in sorted(answers)}
    return made


def _problems(call: Call) -> Iterator[int]:
    yield from refusals(call.permission, call.method)
    yield from call.declared.problems
    yield 503
    if call.place.parameters:
        yield 404
    if call.declared.body is not None:
        yield from (400, 413, 415, 422)
    if any(parameter.place == "query" for parameter in call.declared.parameters):
        yield 422


def _answer(status: int, schema: Schema | None, headers: Iterable[str]) -> Schema:
    made: Schema = {"description": HTTPStatus(status).phrase}
    if headers:
        made["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    if schema is not None:
        made["content"] = {JSON: {"schema": schema}}
    return made


def _problem(status: int) -> Schema:
    made: Schema = {
        "description": HTTPStatus(status).description or HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}}},
    }
    header = ON_PROBLEMS.get(status)
    if header is not None:
        made["headers"] = {header: {"$ref": f"#/components/headers/{header}"}}
    return made


def _parameter(one: Parameter) -> Schema:
    return {"name": one.name, "in": one.place, "description": one.description, "schema": dict(one.schema)}


def _tag(place: Place) -> str:
    whole = next(tag for prefix, tag in PREFIXES.items() if place.path.startswith(prefix))
    return whole or place.area


def _phrase(status: int) -> str:
    return "".join(word.capitalize() for word in HTTPStatus(status).phrase.split())


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
