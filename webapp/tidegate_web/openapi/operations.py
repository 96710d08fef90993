"""What the description says about a route beyond its path and permission: declared on the view, where it can't be missed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tidegate_web.openapi.parameters import Parameter

View = TypeVar("View", bound=Callable[..., object])

_ATTRIBUTE = "_tidegate_operation"

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class By:
    """Types that differ by an argument of the path that has a few values only."""

    argument: str
    types: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call."""

    summary: str
    name: str | None = None
    """Its name in generated clients, if not that of the view."""
    parameters: Sequence[Parameter] = ()
    body: object = None
    """Type of the body; None: it takes none."""
    body_required: bool = True
    answers: Mapping[int, object]
    """Type of what is answered with each status; None: nothing."""
    media: Mapping[str, object]
    """Other media types of an answer than JSON, and what they carry."""
    headers: Sequence[str] = ()
    """Headers of a good answer."""
    problems: Sequence[int] = ()
    """Statuses of errors, beyond those that follow from the path, the permission and the body."""


def describes(
    summary: str,
    *,
    name: str | None = None,
    parameters: Sequence[Parameter] = (),
    body: object = None,
    body_required: bool = True,
    answer: object = None,
    status: int | Sequence[int] = 200,
    media: Mapping[str, object] | None = None,
    headers: Sequence[str] = (),
    problems: Sequence[int] = (),
) -> Callable[[View], View]:
    """Declare what a view takes and answers. ``summary`` and ``name`` may have the path's arguments in braces."""
    statuses = [status] if isinstance(status, int) else status
    operation = Operation(
        summary=summary,
        name=name,
        parameters=parameters,
        body=body,
        body_required=body_required,
        answers=dict.fromkeys(statuses, answer),
        media=media or {},
        headers=headers,
        problems=problems,
    )

    def declare(view: View) -> View:
        setattr(view, _ATTRIBUTE, operation)
        return view

    return declare


def operation_of(view: Callable[..., object] | None) -> Operation | None:
    """What a view has declared, None when it hasn't."""
    return getattr(view, _ATTRIBUTE, None)
