"""From an entrypoint, ``package.module:function``, to the task."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from tidegate.errors import EntrypointError, RunCancelled
from tidegate.failures import describe
from tidegate.task import AnyTask, Task


def load(entrypoint: str) -> AnyTask:
    """Import the task. A plain function is one too."""
    module_name, _, name = entrypoint.partition(":")
    if not module_name or not name:
        raise EntrypointError(f"{entrypoint!r} is not an entrypoint: it must look like package.module:function")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = load_module(module_name)
    try:
        found = getattr(module, name)
    except AttributeError:
        raise EntrypointError(f"{module_name} has no {name}") from None
    if isinstance(found, Task):
        return found
    if not callable(found):
        raise EntrypointError(f"{entrypoint} is a {type(found).__name__}, not a function")
    return Task(found)


def load_module(name: str) -> ModuleType:
    """Import a module. EntrypointError for whatever it raises, also for an exit of its own."""
    try:
        return importlib.import_module(name)
    except RunCancelled:
        raise
    except SystemExit as error:
        asked = "" if error.code is None else repr(error.code)
        raise EntrypointError(
            f"can't import {name}: it calls sys.exit({asked}) when it is imported; "
            'put that under `if __name__ == "__main__":`'
        ) from error
    except BaseException as error:
        raise EntrypointError(f"can't import {name}: {describe(error)}") from error
