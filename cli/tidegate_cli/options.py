"""Options that many commands have, and what they become: a way to Tidegate, a payload, a form of output, a time."""

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from tidegate_api.bodies import JsonObject

from tidegate_cli import exact_json
from tidegate_cli.backends import choosing
from tidegate_cli.deadlines import Duration
from tidegate_cli.errors import MISUSED, CommandError
from tidegate_cli.output import FORMS
from tidegate_cli.times import parse

Command = TypeVar("Command", bound=Callable[..., Any])

_CONNECTION = (
    click.option("-n", "--namespace", "--project", metavar="NAME", help="The project, which is a namespace."),
    click.option("--via", type=click.Choice([choosing.KUBERNETES, choosing.API]), help="Ask Kubernetes or the HTTP API, whatever is set up."),
    click.option("--context", metavar="NAME", help="A context of the kubeconfig; asks Kubernetes."),
    click.option("--kubeconfig", type=click.Path(path_type=Path), metavar="FILE", help="Another kubeconfig; asks Kubernetes."),
)  # fmt: skip


def connected(command: Command) -> Command:
    """Gives a command ``backend``, from the options that lead there."""

    @functools.wraps(command)
    def wrapped(
        *arguments: Any, namespace: str | None, via: str | None, context: str | None, kubeconfig: Path | None,
        **options: Any,
    ) -> Any:  # fmt: skip
        asked = choosing.Asked(via=via, namespace=namespace, context=context, kubeconfig=kubeconfig)
        return command(*arguments, backend=choosing.connect(asked, os.environ), **options)

    for option in reversed(_CONNECTION):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def asked_by(options: Mapping[str, Any]) -> choosing.Asked:
    """What such options say, of a line that may not be written to its end."""
    return choosing.Asked(**{field.name: options.get(field.name) for field in fields(choosing.Asked)})


def formatted(command: Command) -> Command:
    """Gives a command ``form``."""
    return click.option("-o", "--output", "form", type=click.Choice(FORMS), help="Instead of text for people.")(command)


def with_payload(command: Command) -> Command:
    """Gives a command ``payload``, None when nothing was said."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, payload: str | None, fields: Sequence[str], **options: Any) -> Any:
        return command(*arguments, payload=read_payload(payload, fields), **options)

    field = click.option(
        "-p", "--set", "fields", multiple=True, metavar="KEY=VALUE",
        help="A field of the payload: JSON, or text where that would not stay as it is written (7e45310, 1.10, 007). "
        "Quote a number to make it text: '\"7\"'. May be repeated.",
    )  # fmt: skip
    whole = click.option("--payload", metavar="JSON", help="A JSON object, @FILE, or - for stdin.")
    return whole(field(wrapped))  # type: ignore[return-value]


def read_payload(text: str | None, fields: Sequence[str] = ()) -> JsonObject | None:
    """The payload that was asked for."""
    if text is None and not fields:
        return None
    payload = _object(text) if text is not None else {}
    for field in fields:
        name, found, value = field.partition("=")
        if not found or not name:
            raise CommandError(f"--set {field!r} must look like KEY=VALUE", code=MISUSED)
        payload[name] = field_value(name, value)
    return payload


def _object(text: str) -> JsonObject:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        payload = exact_json.loads(text)
    except OSError as error:
        raise CommandError(f"the payload can't be read: {error.filename}: {error.strerror}", code=MISUSED) from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"the payload is not JSON: {error}", code=MISUSED) from error
    if not isinstance(payload, dict):
        raise CommandError('the payload must be a JSON object, such as {"width": 800}', code=MISUSED)
    return payload


def field_value(name: str, text: str) -> object:
    """What `--set NAME=TEXT` says: a number only where JSON writes it in the same way, so that a hash stays a hash."""
    try:
        return exact_json.field(text)
    except exact_json.InexactError as error:
        raise CommandError(f"--set {name}: {error}", code=MISUSED) from error
    except (ValueError, RecursionError):
        return text


class Moment(click.ParamType[datetime]):
    """An RFC 3339 time, or a duration: so long ago, or from now."""

    name = "time"

    def __init__(self, *, ahead: bool = False) -> None:
        self._sign = 1 if ahead else -1

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if found := parse(str(value)):
            return found
        try:
            seconds = Duration().convert(value, None, None)
        except click.BadParameter:
            self.fail(f"{value!r} is no time: write 2h, or 2026-12-31T08:00:00Z", param, ctx)
        return datetime.now(UTC) + self._sign * timedelta(seconds=seconds)
