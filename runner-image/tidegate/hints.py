"""The annotations of a function or class, each read when it is needed: a name that is imported for the type checker alone,
or the type that is returned, hinders nothing.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from typing import Any, Callable

from tidegate.errors import PayloadError

Hint = Any
"""An annotation, or what it is written on: Python has no type for these."""

_QUALIFIERS = frozenset({"Required", "NotRequired", "ReadOnly", "Final", "ClassVar"})


def signature(function: Callable[..., object]) -> inspect.Signature:
    """What a function is called with, its annotations as they are written."""
    try:
        if sys.version_info >= (3, 14):  # annotations are code there, which is run when it is looked at
            import annotationlib

            return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise PayloadError(f"what the task is called with can't be read: {error}") from None


def of_parameter(owner: Callable[..., object], parameter: inspect.Parameter) -> Hint:
    """The type of a parameter of ``owner``. PayloadError when its annotation can't be read here."""
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    if isinstance(owner, type):
        for base in owner.__mro__:  # a dataclass inherits fields of other modules
            if parameter.name in _annotations(base):
                return _evaluated(parameter.annotation, parameter.name, _globals_of(base), dict(vars(base)))
    function = _innermost(owner)
    known = {one.__name__: one for one in getattr(function, "__type_params__", ())}
    return _evaluated(parameter.annotation, parameter.name, getattr(function, "__globals__", {}), known)


def of_keys(kind: Hint) -> dict[str, Callable[[], Hint]]:
    """The keys of a TypedDict; each is called for its type."""
    where = _globals_of(kind)
    return {name: functools.partial(_evaluated, raw, name, where, {}) for name, raw in _annotations(kind).items()}


def resolved(hint: Hint) -> Hint:
    """What a NewType, an alias, Annotated or a qualifier such as Required stands for."""
    while True:
        alias = hint if type(hint).__name__ == "TypeAliasType" else typing.get_origin(hint)
        if hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(alias).__name__ == "TypeAliasType":
            hint = _value(alias) if alias is hint else _value(alias)[typing.get_args(hint)]
        elif hasattr(hint, "__metadata__"):  # Annotated
            hint = hint.__origin__
        elif getattr(alias, "_name", None) in _QUALIFIERS:
            hint = typing.get_args(hint)[0]
        elif type(hint).__name__ == "InitVar":
            hint = hint.type
        else:
            return hint


def _value(alias: Hint) -> Hint:
    try:
        return alias.__value__
    except Exception as error:  # it is code, run when it is looked at
        raise _unreadable(f"type {alias.__name__}", error) from error


def _evaluated(raw: Hint, name: str, where: dict[str, Hint], known: dict[str, Hint]) -> Hint:
    if isinstance(raw, (type, typing.TypeVar)) and not typing.get_args(raw):
        return raw
    try:
        return typing.get_type_hints(types.SimpleNamespace(__annotations__={name: raw}), where, known)[name]
    except Exception as error:  # an annotation can be any expression
        raise _unreadable(f"argument {name!r}", error) from error


def _unreadable(what: str, error: Exception) -> PayloadError:
    version = ".".join(map(str, sys.version_info[:2]))
    return PayloadError(f"the annotation of {what} can't be read on Python {version}: {error}")


def _annotations(kind: Hint) -> dict[str, Hint]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return dict(annotationlib.get_annotations(kind, format=annotationlib.Format.FORWARDREF))
    return dict(vars(kind).get("__annotations__", {}))


def _globals_of(kind: Hint) -> dict[str, Hint]:
    return dict(vars(sys.modules[kind.__module__])) if kind.__module__ in sys.modules else {}


def _innermost(function: Hint) -> Hint:
    """The function whose annotations those of a wrapper, a partial, a method or a callable object are."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif hasattr(function, "__globals__") or isinstance(function, type):
            return function
        elif hasattr(function, "__func__"):
            function = function.__func__
        else:
            called = type(function).__call__
            if not hasattr(called, "__globals__") and not hasattr(called, "__wrapped__"):
                return function
            function = called
