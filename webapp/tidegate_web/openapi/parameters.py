"""Parameters of a query and headers: declared once, read by views and listed by the description."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from flask import request

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a request."""

    name: str
    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    place: Literal["query", "header"] = "query"


@dataclass(frozen=True, kw_only=True)
class Text(Parameter):
    """Some text of the query, which Postgres has to take."""

    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string", "pattern": "^[^\\x00]*$"})

    def asked(self) -> str | None:
        """What the request says; None for nothing."""
        text = request.args.get(self.name) or None
        if text is not None and "\x00" in text:
            raise Problem(422, f"'{self.name}' has a NUL character.")
        return text


@dataclass(frozen=True, kw_only=True)
class WholeNumber(Parameter):
    """An integer of the query, within bounds."""

    default: int
    least: int
    most: int
    schema: Mapping[str, object] = field(init=False)

    def __post_init__(self) -> None:
        schema: JsonObject = {"type": "integer", "minimum": self.least, "maximum": self.most}
        if self.least < self.default < self.most:  # else it stands for "from the beginning"
            schema["default"] = self.default
        object.__setattr__(self, "schema", schema)

    def asked(self) -> int:
        """What the request says; 422 for anything else."""
        text = request.args.get(self.name)
        if text is None:
            return self.default
        if not (text.isascii() and text.isdecimal() and len(text) <= 19 and self.least <= int(text) <= self.most):
            raise Problem(422, f"'{self.name}' must be an integer from {self.least} to {self.most}.")
        return int(text)


@dataclass(frozen=True, kw_only=True)
class Flag(Parameter):
    """``true`` or ``false``, which it is by default."""

    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "boolean", "default": False})

    def asked(self) -> bool:
        """What the request says; 422 for anything else."""
        text = request.args.get(self.name, "false")
        if text not in ("true", "false"):
            raise Problem(422, f"'{self.name}' must be true or false.")
        return text == "true"
