"""From a payload to arguments: each is filled by name and checked against its annotation.

Only the annotations of what the payload fills are read. JSON knows fewer types than Python, so that some values are converted (a list to a tuple, a string to an enum); nothing is
guessed: ``"3"`` is no ``int``.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import types
import typing
from typing import Any, Callable, Mapping

from tidegate.errors import PayloadError
from tidegate.hints import Hint, of_keys, of_parameter, resolved, signature

T = typing.TypeVar("T")
UNIONS: tuple[Hint, ...] = (typing.Union, getattr(types, "UnionType", typing.Union))
SEQUENCES: dict[Hint, Callable[[list[object]], object]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
}
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


def bind(function: Callable[..., object], payload: Mapping[str, object]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """``(args, kwargs)`` to call ``function`` with. Raises PayloadError with the argument's name."""
    left = dict(payload)
    args: list[object] = []
    kwargs: dict[str, object] = {}
    skipped: list[object] = []
    for name, parameter in signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            if left:
                hint = of_parameter(function, parameter)
                kwargs.update({k: _convert(v, hint, k) for k, v in left.items()})
                left = {}
            continue
        if name not in left:
            if parameter.default is inspect.Parameter.empty:
                raise PayloadError(f"argument {name!r} is missing from the payload")
            skipped.append(parameter.default)
            continue
        value = left.pop(name)
        if value is not None or parameter.default is not None:  # with a default of None, null is one
            value = _convert(value, of_parameter(function, parameter), name)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            args.extend([*skipped, value])  # what stands before it has to be given too
            skipped = []
        else:
            kwargs[name] = value
    if left:
        raise PayloadError(f"the payload has {', '.join(map(repr, sorted(left)))}, which the task doesn't take")
    return tuple(args), kwargs


def _convert(value: object, hint: Hint, where: str) -> object:
    hint = resolved(hint)
    if hint is Any or hint is inspect.Parameter.empty or hint is object or isinstance(hint, typing.TypeVar):
        return value
    if hint is None or hint is type(None):
        return _expect(value, type(None), where)
    origin: Hint = typing.get_origin(hint)
    inner = typing.get_args(hint)
    if origin in UNIONS:
        return _union(value, inner, where)
    if origin is typing.Literal:
        if any(value == choice and type(value) is type(choice) for choice in inner):
            return value
        raise PayloadError(f"argument {where!r} must be one of {', '.join(map(repr, inner))}, not {value!r}")
    kind = origin or hint
    if kind is tuple:
        return _tuple(value, inner, where)
    if kind in SEQUENCES:
        items = _expect(value, list, where)
        item = inner[0] if inner else Any
        return SEQUENCES[kind]([_convert(v, item, f"{where}[{i}]") for i, v in enumerate(items)])
    if kind in MAPPINGS:
        entries = _expect(value, dict, where)
        item = inner[1] if inner else Any
        return {k: _convert(v, item, f"{where}.{k}") for k, v in entries.items()}
    return _plain(value, kind, where)


def _plain(value: object, kind: Hint, where: str) -> object:
    if is_typed_dict(kind):
        return _typed_dict(value, kind, where)
    if not isinstance(kind, type):
        return value
    if is_model(kind):
        return _model(value, kind, where)
    if dataclasses.is_dataclass(kind):
        entries = _expect(value, dict, where)
        try:
            args, kwargs = bind(kind, entries)
        except PayloadError as error:
            raise PayloadError(f"in {where!r}: {error}") from None
        return kind(*args, **kwargs)
    if issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            choices = ", ".join(repr(m.value) for m in kind)
            raise PayloadError(f"argument {where!r} must be one of {choices}, not {value!r}") from None
    if kind is float and type(value) is int:
        return float(value)
    if kind in NAMES:
        return _expect(value, kind, where)
    raise PayloadError(f"argument {where!r} has the type {kind.__name__}, which a payload can't fill")


def is_typed_dict(kind: Hint) -> bool:
    """Whether it is a TypedDict, on any Python."""
    return bool(typing.is_typeddict(kind) if hasattr(typing, "is_typeddict") else hasattr(kind, "__total__"))


def is_model(kind: Hint) -> bool:
    """Whether it is a pydantic model, where the task has pydantic: this library never imports it."""
    return isinstance(kind, type) and hasattr(kind, "model_validate") and hasattr(kind, "model_json_schema")


def _model(value: object, kind: Hint, where: str) -> object:
    try:
        return kind.model_validate(_expect(value, dict, where))
    except ValueError as error:
        problems = getattr(error, "errors", None)
        if problems is None:
            raise
        first = problems()[0]
        place = ".".join([where, *map(str, first["loc"])])
        raise PayloadError(f"argument {place!r}: {first['msg']}") from None


def _typed_dict(value: object, kind: Hint, where: str) -> dict[str, object]:
    entries = _expect(value, dict, where)
    hints = of_keys(kind)
    for name in sorted(getattr(kind, "__required_keys__", hints)):
        if name not in entries:
            raise PayloadError(f"argument '{where}.{name}' is missing from the payload")
    return {k: _convert(v, hints[k]() if k in hints else Any, f"{where}.{k}") for k, v in entries.items()}


def _tuple(value: object, inner: tuple[Hint, ...], where: str) -> tuple[object, ...]:
    items = _expect(value, list, where)
    if not inner or (len(inner) == 2 and inner[1] is Ellipsis):
        item = inner[0] if inner else Any
        return tuple(_convert(v, item, f"{where}[{i}]") for i, v in enumerate(items))
    if len(items) != len(inner):
        raise PayloadError(f"argument {where!r} must have {len(inner)} items, not {len(items)}")
    return tuple(_convert(v, t, f"{where}[{i}]") for i, (v, t) in enumerate(zip(items, inner)))


def _union(value: object, choices: tuple[Hint, ...], where: str) -> object:
    problem = None
    for choice in choices:
        try:
            return _convert(value, choice, where)
        except PayloadError as error:
            # Of `Optional[X]`, what X said is the more telling.
            problem = problem or error
    assert problem is not None
    raise problem


def _expect(value: object, kind: type[T], where: str) -> T:
    # bool is an int in Python and not in JSON.
    if type(value) is kind:
        return value
    raise PayloadError(f"argument {where!r} must be {NAMES[kind]}, not {NAMES.get(type(value), type(value).__name__)}")
