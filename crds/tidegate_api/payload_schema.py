"""Whether a payload matches its task's `payloadSchema`: one rule for the operator and the HTTP API.

Both schema and payload come from any user who may create a run, and a schema can ask for any amount of work and memory. So
no check runs in the process that asks for it: `python -m tidegate_api.payload_schema SECONDS BYTES` is a worker that answers each
line of JSON with one, within those bounds. The kernel ends it when a check takes longer or needs more, also when the
parent is gone by then; else it ends with its standard input.
"""

import json
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

import jsonschema_rs

from tidegate_api.names import Reason
from tidegate_api.payload_mistakes import Mistake, json_path

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DIALECTS: Final = ("https://json-schema.org/", "http://json-schema.org/")
MESSAGE_MAX: Final = 1024
"""Bytes of a message; keys of a payload and values of a schema stand in it, and may be of any size."""
KEPT: Final = 64
"""Compiled schemas that a worker keeps: a burst of runs is mostly of a few tasks."""
UNCHECKABLE: Final = (ValueError, TypeError, OverflowError)
"""What the validator raises beside its own errors: for nesting too deep, for text that isn't Unicode."""

Compile = Callable[[str], jsonschema_rs.Validator]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What is wrong, with the payload or with the schema itself."""

    reason: Reason
    message: str


class InvalidSchemaError(ValueError):
    """No payload can be checked against the schema; the message says why."""


def compile_schema(text: str) -> jsonschema_rs.Validator:
    """A validator of the schema, given as JSON. Raises InvalidSchemaError."""
    try:
        schema = json.loads(text)
        _refuse_dialect(schema)
        # Patterns are matched in linear time. `offline`: no reference is followed out of the schema. Masked: what a
        # payload holds stays out of messages.
        return jsonschema_rs.Draft202012Validator(
            schema, pattern_options=jsonschema_rs.RegexOptions(), offline=True, mask="the value"
        )
    except InvalidSchemaError:
        raise
    except jsonschema_rs.ValidationError as error:
        hint = " (patterns have no look-around and no back-references)" if '"regex"' in error.message else ""
        raise InvalidSchemaError(f"at {json_path(error.instance_path)}: {error.message}{hint}") from error
    except RecursionError as error:
        raise InvalidSchemaError("it is nested too deeply") from error
    except UNCHECKABLE as error:
        raise InvalidSchemaError(str(error)) from error


def first_mismatch(
    schema: str, payload: Mapping[str, object], *, compiled: Compile = compile_schema
) -> Mismatch | None:
    """The first thing that is wrong with `payload` under `schema` (JSON), in one line; None for nothing."""
    try:
        compiled(schema).validate(payload)
    except InvalidSchemaError as error:
        return Mismatch(Reason.INVALID_TASK, _line(f"payloadSchema is invalid: {error}"))
    except jsonschema_rs.ValidationError as error:
        message = f"the payload doesn't match payloadSchema at {json_path(error.instance_path)}: {error.message}"
        return Mismatch(Reason.INVALID_PAYLOAD, _line(message))
    except UNCHECKABLE as error:
        return Mismatch(Reason.INVALID_PAYLOAD, _line(f"the payload can't be checked: {error}"))
    return None


def mistakes(
    schema: str, payload: Mapping[str, object], *, most: int, compiled: Compile = compile_schema
) -> list[Mistake]:
    """What is wrong with `payload` under `schema` (JSON), the first `most` of it."""
    try:
        found = islice(compiled(schema).iter_errors(payload), most)
        return [Mistake(json_path(error.instance_path), _line(error.message)) for error in found]
    except InvalidSchemaError as error:
        return [Mistake("", _line(f"payloadSchema is invalid: {error}"))]
    except UNCHECKABLE as error:
        return [Mistake("", _line(f"the payload can't be checked: {error}"))]


def _refuse_dialect(schema: object) -> None:
    said = schema.get("$schema", DIALECT) if isinstance(schema, dict) else DIALECT
    if not isinstance(said, str) or said.rstrip("#") != DIALECT:
        raise InvalidSchemaError(f"$schema is {said!r}, and only {DIALECT} is known")
    # The validator has the dialects' own schemas at hand by their address; what isn't in the schema is foreign all the same.
    nodes = [schema]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            for key in ("$ref", "$dynamicRef"):
                if isinstance(ref := node.get(key), str) and ref.startswith(DIALECTS):
                    raise InvalidSchemaError(f"{key} to {ref}: a reference has to be local")
            nodes.extend(node.values())
        elif isinstance(node, list):
            nodes.extend(node)


def _line(text: str) -> str:
    """One printable line of at most MESSAGE_MAX bytes."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: MESSAGE_MAX * 4]).split())
    raw = text.encode()
    return text if len(raw) <= MESSAGE_MAX else raw[: MESSAGE_MAX - 3].decode(errors="ignore") + "…"


def _answer(line: bytes, compiled: Compile) -> object:
    try:
        asked = json.loads(line)
    except RecursionError:
        message = "the payload is nested too deeply to be checked against payloadSchema"
        return {"reason": Reason.INVALID_PAYLOAD, "message": message}
    schema, payload, most = asked["schema"], asked["payload"], asked.get("most")
    if most is not None:
        found = mistakes(schema, payload, most=most, compiled=compiled)
        return {"mistakes": [{"at": each.at, "message": each.message} for each in found]}
    wrong = first_mismatch(schema, payload, compiled=compiled)
    return None if wrong is None else {"reason": wrong.reason, "message": wrong.message}


def main(arguments: list[str]) -> None:
    """Answer each line of JSON with one.

    ``{"schema": "…", "payload": {…}}`` is answered with ``null`` or ``{"reason": "…", "message": "…"}``; with ``"most": 20`` in
    it, with ``{"mistakes": [{"at": "$.size", "message": "…"}]}``.
    """
    seconds, memory = float(arguments[0]), int(arguments[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compiled = lru_cache(maxsize=KEPT)(compile_schema)
    for line in sys.stdin.buffer:
        # Its default action ends the process, in the midst of the validator's own code too.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = json.dumps(_answer(line, compiled)).encode()
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            sys.stdout.buffer.write(answer + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
