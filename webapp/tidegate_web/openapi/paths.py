"""From Flask's rules to the paths of the description: an argument of a few values becomes a path for each of them."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidegate_api.names import DNS_LABEL

from tidegate_web.openapi.schemas import Schema
from tidegate_web.serving.routing import LARGEST_ID

_ARGUMENT = re.compile(r"<(?:(?P<converter>\w+)(?:\((?P<values>[^)]*)\))?:)?(?P<name>\w+)>")
_LABEL: Mapping[str, object] = {"type": "string", "minLength": 1, "maxLength": 63, "pattern": DNS_LABEL}
_ID: Mapping[str, object] = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}
_TEXTS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "project": ("A project: a namespace of the cluster.", _LABEL),
    "run": ("A run, by its uid, or by its name: then the newest one of that name.", _LABEL),
    "child": ("The child's uid.", {"type": "string", "format": "uuid"}),
    "uid": ("The run's uid.", {"type": "string", "format": "uuid"}),
    "name": ("Its name.", _LABEL),
    "queue": ("Name of a Queue.", _LABEL),
    "schedule": ("Name of a Schedule.", _LABEL),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """One path of the description."""

    path: str
    arguments: Mapping[str, str]
    """Of the arguments that were replaced by a value, which."""
    parameters: list[Schema]

    @property
    def area(self) -> str:
        """What it is about: the first word of the path, within a project if it is of one."""
        words = [re.split("[:.]", word)[0] for word in self.path.split("/")[3:]]
        of_project = words[0] == "projects" and len(words) > 2
        return words[2] if of_project else words[0]


def places(rule: str) -> Iterator[Place]:
    """The paths of a rule."""
    found = list(_ARGUMENT.finditer(rule))
    few = [match for match in found if match["converter"] == "any"]
    for values in itertools.product(*(match["values"].split(", ") for match in few)):
        arguments = {match["name"]: value for match, value in zip(few, values, strict=True)}
        path = _ARGUMENT.sub(lambda match, known=arguments: known.get(match["name"], f"{{{match['name']}}}"), rule)  # type: ignore[misc]
        parameters = [_parameter(match) for match in found if match["name"] not in arguments]
        yield Place(path=path, arguments=arguments, parameters=parameters)


def _parameter(match: re.Match[str]) -> Schema:
    name = match["name"]
    description, schema = (f"Number of the {name}.", _ID) if match["converter"] == "id" else _TEXTS[name]
    return {"name": name, "in": "path", "required": True, "description": description, "schema": dict(schema)}
