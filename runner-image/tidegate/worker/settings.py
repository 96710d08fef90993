"""What the Deployment of a pool tells its workers, by variables of the environment."""

from __future__ import annotations

import json
from typing import Mapping, NamedTuple, Optional

from tidegate.errors import TidegateError

MOST_SLOTS = 256
DIRECTORY = "/tidegate/runs"
TERMINATION_LOG = "/dev/termination-log"
TERMINATION_LOG_VARIABLE = "TIDEGATE_POOL_TERMINATION_LOG"
"""Another file: for tests."""
KEPT = ("TIDEGATE_API_URL", "TIDEGATE_NAMESPACE")
_OWN_PREFIXES = ("TIDEGATE_DISPATCH_", "TIDEGATE_POOL")


class SettingsError(TidegateError):
    """The environment isn't one that the operator makes."""


class Settings(NamedTuple):
    """The settings of a worker."""

    host: str
    port: int
    """Of the operator."""
    server_name: str
    ca_file: str
    token_file: str
    pool: str
    namespace: str
    slots: int
    preload: tuple[str, ...]
    memory_per_run: Optional[int]
    drain_seconds: int
    grace_seconds: int
    health_port: int
    api_url: Optional[str]
    directory: str
    termination_log: str


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings. SettingsError names the variable that is wrong."""
    host, port = _address(_text(environment, "TIDEGATE_DISPATCH_ADDRESS"))
    return Settings(
        host=host,
        port=port,
        server_name=_text(environment, "TIDEGATE_DISPATCH_SERVER_NAME"),
        ca_file=_text(environment, "TIDEGATE_DISPATCH_CA_FILE"),
        token_file=_text(environment, "TIDEGATE_DISPATCH_TOKEN_FILE"),
        pool=_text(environment, "TIDEGATE_POOL"),
        namespace=_text(environment, "TIDEGATE_NAMESPACE"),
        slots=_number(environment, "TIDEGATE_POOL_SLOTS", least=1, most=MOST_SLOTS),
        preload=_names(environment, "TIDEGATE_POOL_PRELOAD"),
        memory_per_run=(
            _number(environment, "TIDEGATE_POOL_MEMORY_PER_RUN", least=1)
            if environment.get("TIDEGATE_POOL_MEMORY_PER_RUN")
            else None
        ),
        drain_seconds=_number(environment, "TIDEGATE_POOL_DRAIN_SECONDS"),
        grace_seconds=_number(environment, "TIDEGATE_POOL_GRACE_SECONDS"),
        health_port=_number(environment, "TIDEGATE_POOL_PORT", least=1, most=65535),
        api_url=environment.get("TIDEGATE_API_URL") or None,
        directory=environment.get("TIDEGATE_POOL_DIRECTORY") or DIRECTORY,
        termination_log=environment.get(TERMINATION_LOG_VARIABLE) or TERMINATION_LOG,
    )


def environment_of_runs(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the worker's environment reaches its runs: all but its own settings."""
    return {name: value for name, value in environment.items() if name in KEPT or not name.startswith(_OWN_PREFIXES)}


def _text(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is missing")
    return value


def _number(environment: Mapping[str, str], name: str, *, least: int = 0, most: Optional[int] = None) -> int:
    text = _text(environment, name)
    try:
        value = int(text)
    except ValueError:
        raise SettingsError(f"{name} must be an integer, not {text!r}") from None
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise SettingsError(f"{name} must be {bounds}, not {value}")
    return value


def _names(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    text = environment.get(name) or "[]"
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise SettingsError(f"{name} must be a JSON list of module names, not {text!r}")
    return tuple(value)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise SettingsError(f"TIDEGATE_DISPATCH_ADDRESS must be host:port, not {text!r}")
    return host, int(port)
